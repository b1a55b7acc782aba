-- emit.sql - what is told to others: marks, who tells, and what there is to tell.

-- name: emit_all :many
-- out: name text, mark int, lost int, sent int, dead int
SELECT name, mark, lost, sent, dead FROM emit ORDER BY name;

-- The last rows of the logs.
-- name: emit_ends :one
-- in: part int
-- out: mark int, registry int, links int
SELECT (SELECT MAX(seq) FROM (SELECT COALESCE(MAX(seq), 0) AS seq FROM batch
                               UNION ALL SELECT mark FROM part WHERE part = $1) AS ends),
       (SELECT COALESCE(MAX(seq), 0) FROM registry_log), (SELECT COALESCE(MAX(seq), 0) FROM edge_log);

-- A destination that was not there begins at the end.
-- name: emit_add :exec
-- in: name text, mark int, registry int, links int
INSERT INTO emit (name, mark, registry, links) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING;

-- One that is configured no more holds nothing back; not while other servers may tell it.
-- name: emit_forget :exec
-- in: name text, me int
DELETE FROM emit WHERE name = $1 AND NOT EXISTS (SELECT 1 FROM server WHERE id < $2 OR id > $2);

-- name: emit_take :one
-- in: name text, me int
-- out: mark int, registry int, links int, fence int
UPDATE emit SET owner = $2, fence = fence + 1
WHERE name = $1 AND (owner = $2 OR NOT EXISTS (SELECT 1 FROM server s WHERE s.id = emit.owner))
RETURNING mark, registry, links, fence;

-- name: emit_advance :execrows
-- in: name text, fence int, mark int, registry int, links int, lost int, sent int, dead int
UPDATE emit SET mark = $3, registry = $4, links = $5, lost = lost + $6, sent = sent + $7, dead = dead + $8
WHERE name = $1 AND fence = $2;

-- Up to which row of the log all of them have told.
-- name: emit_floor_all :one
-- out: mark int
SELECT COALESCE(MIN(mark), 9223372036854775807) FROM emit;

-- What is held for them.
-- name: emit_held :one
-- in: after int, upto int
-- out: n int, bytes int
SELECT COUNT(*), CAST(COALESCE(SUM(LENGTH(body)), 0) AS bigint) FROM batch WHERE seq > $1 AND seq <= $2;

-- name: emit_registry :many
-- in: after int, max int
-- out: seq int, model int, version int, what int, key text, value text?, seen_ms int
SELECT seq, model, version, what, key, value, seen_ms FROM registry_log WHERE seq > $1 ORDER BY seq LIMIT $2;

-- The last value of a tag of a registered model, which may be gone.
-- name: emit_model_tag :one
-- in: model int, key text
-- out: value text?
SELECT value FROM registry_log WHERE model = $1 AND what = 7 AND version = 0 AND key = $2 ORDER BY seq DESC LIMIT 1;

-- Links that were recorded, with the execution of a declared type at one of their ends.
-- name: emit_links :many
-- in: after int, max int
-- out: seq int, execution int?
SELECT l.seq, (SELECT n.uid FROM node n WHERE n.uid IN (l.src, l.dst) AND n.kind = 2 AND n.type_id > 100)
FROM edge_log l WHERE l.seq > $1 ORDER BY l.seq LIMIT $2;

-- name: emit_execution :one
-- in: uid int
-- out: space text, id int, type text, flags int, create_ms int, update_ms int
SELECT s.name, n.id, t.name, n.flags, n.create_ms, n.update_ms FROM node n JOIN type t ON t.id = n.type_id JOIN ns s ON s.id = n.ns
WHERE n.uid = $1;

-- name: emit_inputs :many
-- in: uid int, max int
-- out: id int, type text, name text?, uri text?
SELECT n.id, t.name, n.name, n.uri FROM edge e JOIN node n ON n.uid = e.src JOIN type t ON t.id = n.type_id
WHERE e.dst = $1 ORDER BY n.uid LIMIT $2;

-- name: emit_outputs :many
-- in: uid int, max int
-- out: id int, type text, name text?, uri text?
SELECT n.id, t.name, n.name, n.uri FROM edge e JOIN node n ON n.uid = e.dst JOIN type t ON t.id = n.type_id
WHERE e.src = $1 ORDER BY n.uid LIMIT $2;
