-- place.sql - places of data (core/graph/place.h): what is at one, and what is left to be tied to it.

-- name: place_any :one
-- out: uid int
SELECT uid FROM ident WHERE ns = 0 AND scheme = 30 LIMIT 1;

-- Artifacts whose URI is written so.
-- name: place_written :many
-- in: uri text, after int, max int
-- out: uid int
SELECT uid FROM node WHERE type_id > 100 AND uri <> '' AND uri = $1 AND uid > $2 ORDER BY uid LIMIT $3;

-- Those whose URI is written in some other way.
-- name: place_spelled :many
-- in: after blob, before blob, max int
-- out: uid int
SELECT uid FROM ident WHERE ns = 0 AND scheme = 31 AND key > $1 AND key < $2 ORDER BY key LIMIT $3;

-- Not what a person said.
-- name: place_said :many
-- in: a int
-- out: b int, rule int
SELECT b, rule FROM same WHERE a = $1 AND rule IN (2, 5) AND state = 1 AND who = 'rule' ORDER BY b;

-- name: place_node :one
-- in: uid int
-- out: type_id int, uri text?, digest text?
SELECT type_id, uri, digest FROM node WHERE uid = $1;

-- What a store of before has.
-- name: place_before :many
-- in: after int, last int
-- out: uid int, type_id int, uri text?, digest text?
SELECT uid, type_id, uri, digest FROM node WHERE uid > $1 AND uid <= $2 AND (type_id = 3 OR type_id > 100) ORDER BY uid;

-- name: place_work_put :exec
-- in: place int, stage int, after_uid int, last int
INSERT INTO place_work (place, stage, after_uid, last) VALUES ($1, $2, $3, $4)
ON CONFLICT (place) DO UPDATE SET stage = excluded.stage, after_uid = excluded.after_uid, last = excluded.last;

-- name: place_work_next :one
-- out: place int, stage int, after_uid int, last int
SELECT place, stage, after_uid, last FROM place_work WHERE place >= 0 ORDER BY place LIMIT 1;

-- name: place_work_done :exec
-- in: place int
DELETE FROM place_work WHERE place = $1;

-- What a data set's other names are, and those that are the same for no name any more.
-- name: place_symlinks :many
-- in: dataset int
-- out: other int
SELECT DISTINCT other FROM ol_symlink WHERE dataset = $1 ORDER BY other;

-- name: place_symlinked :many
-- in: dataset int
-- out: other int
SELECT p.b FROM same p WHERE p.a = $1 AND p.rule = 6 AND p.state = 1
AND NOT EXISTS (SELECT 1 FROM ol_symlink x WHERE x.dataset = $1 AND x.other = p.b)
AND NOT EXISTS (SELECT 1 FROM ol_symlink y WHERE y.other = $1 AND y.dataset = p.b)
UNION SELECT p.a FROM same p WHERE p.b = $1 AND p.rule = 6 AND p.state = 1
AND NOT EXISTS (SELECT 1 FROM ol_symlink x WHERE x.dataset = $1 AND x.other = p.a)
AND NOT EXISTS (SELECT 1 FROM ol_symlink y WHERE y.other = $1 AND y.dataset = p.a);
