-- batch.sql - the log, packs, the watermark, key names and counters: what the sequencer and the series live on.

-- name: batch_insert :exec
-- in: seq int, epoch int, part int, n int, body blob
INSERT INTO batch (seq, epoch, part, n, body) VALUES ($1, $2, $3, $4, $5);

-- name: batch_after :many
-- in: seq int, max int
-- out: seq int, epoch int, part int, n int, body blob
SELECT seq, epoch, part, n, body FROM batch WHERE seq > $1 ORDER BY seq LIMIT $2;

-- name: batch_last :one
-- out: seq int
SELECT COALESCE(MAX(seq), 0) FROM batch;

-- name: batch_drop_covered :exec
-- in: mark int
DELETE FROM batch WHERE seq <= $1;

-- name: part_get :one
-- in: part int
-- out: mark int, drain int, folded int, epoch int
SELECT mark, drain, folded, epoch FROM part WHERE part = $1;

-- name: part_advance :execrows
-- in: part int, drain_before int, mark int, drain int, folded int
UPDATE part SET mark = $3, drain = $4, folded = $5 WHERE part = $1 AND drain = $2;

-- name: pack_insert :exec
-- in: owner int, w0 int, n int, body blob
INSERT INTO pack (owner, w0, n, body) VALUES ($1, $2, $3, $4);

-- name: pack_of_owner :many
-- in: owner int, w0 int, max int
-- out: w0 int, n int, body blob
SELECT w0, n, body FROM pack WHERE owner = $1 AND w0 > $2 ORDER BY w0 LIMIT $3;

-- name: pack_after :many
-- in: w0 int, owner int, max int
-- out: owner int, w0 int, n int, body blob
SELECT owner, w0, n, body FROM pack WHERE (w0, owner) > ($1, $2) ORDER BY w0, owner LIMIT $3;

-- name: mkey_by_name :one
-- in: name text
-- out: id int
SELECT id FROM mkey WHERE name = $1;

-- name: mkey_by_id :one
-- in: id int
-- out: name text
SELECT name FROM mkey WHERE id = $1;

-- name: mkey_last :one
-- out: id int
SELECT COALESCE(MAX(id), 0) FROM mkey;

-- name: mkey_insert :exec
-- in: id int, name text
INSERT INTO mkey (id, name) VALUES ($1, $2);

-- name: counter_get :one
-- in: name text
-- out: value int
SELECT value FROM counter WHERE name = $1;

-- name: counter_set :exec
-- in: name text, value int
INSERT INTO counter (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: uid_last :one
-- out: uid int
SELECT MAX(uid) FROM (
    SELECT COALESCE(MAX(uid), 0) AS uid FROM node
    UNION ALL SELECT COALESCE(MAX(uid), 0) FROM model_series
    UNION ALL SELECT COALESCE(MAX(uid), 0) FROM tombstone
    UNION ALL SELECT COALESCE(MAX(uid), 0) FROM experiment) AS all_uids;
