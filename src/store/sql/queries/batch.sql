-- batch.sql - the log, packs, the watermark, key names and counters: what the sequencer and the series live on.

-- One row of the log. On PostgreSQL it goes in only behind the row that the writer knows as the last, and under the fence
-- that it knows: otherwise its numbers are NULL, which fails the transaction (ST_INVALID).

-- name: batch_insert :exec
-- in: seq int, epoch int, part int, n int, body blob, drain int, prev int, tag int, fence int
-- engine: sqlite
INSERT INTO batch (seq, epoch, part, n, body, drain, prev, tag)
SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE $9 >= 0;
-- engine: postgres
WITH last AS (UPDATE part SET tip = $1, tag = $8
              WHERE part = $3 AND tip = $1 - 1 AND tag = $7 AND fence = $9 RETURNING tip, slot)
INSERT INTO batch (seq, epoch, part, n, body, drain, prev, tag, slot)
VALUES ((SELECT tip FROM last), $2, $3, $4, $5, $6, $7, $8, (SELECT slot FROM last));

-- name: batch_after :many
-- in: seq int, max int
-- out: seq int, epoch int, part int, n int, drain int, tag int, body blob
SELECT seq, epoch, part, n, drain, tag, body FROM batch WHERE seq > $1 ORDER BY seq LIMIT $2;

-- A row that could not be played whole, before it is deleted.

-- name: batch_set_aside :exec
-- in: seq int
INSERT INTO batch_aside (seq, epoch, part, n, body) SELECT seq, epoch, part, n, body FROM batch WHERE seq = $1
ON CONFLICT (seq, epoch) DO NOTHING;

-- name: batch_aside_after :many
-- in: seq int, max int
-- out: seq int, epoch int, part int, n int, body blob
SELECT seq, epoch, part, n, body FROM batch_aside WHERE seq > $1 ORDER BY seq LIMIT $2;

-- name: batch_tag :one
-- in: seq int
-- out: tag int
SELECT tag FROM batch WHERE seq = $1;

-- SQLite: rows that are covered.

-- name: batch_drop_covered :exec
-- in: mark int
DELETE FROM batch WHERE seq <= $1;

-- PostgreSQL: from now on the next table is filled, if it is empty.

-- name: log_rotate :exec
-- in: part int, fence int
-- engine: sqlite
UPDATE part SET slot = 0 WHERE part = $1 AND fence = $2;
-- engine: postgres
UPDATE part SET slot = (slot + 1) % 4 WHERE part = $1 AND fence = $2
  AND NOT EXISTS (SELECT 1 FROM batch b WHERE b.slot = (part.slot + 1) % 4);

-- PostgreSQL: the tables of the log that are not filled now, with their last row, and how far all other servers have played it.

-- name: log_tables :many
-- in: part int, me int
-- out: slot int, last int, played int
-- engine: sqlite
SELECT slot, 0, 0 FROM part WHERE part = $1 AND owner = $2;
-- engine: postgres
SELECT CAST(s.slot AS bigint), COALESCE((SELECT MAX(b.seq) FROM batch b WHERE b.slot = s.slot), 0),
       COALESCE((SELECT MIN(pos) FROM server WHERE id <> $2), 9223372036854775807)
FROM generate_series(0, 3) AS s (slot) JOIN part p ON p.part = $1 AND p.slot <> s.slot;

-- PostgreSQL: in this transaction, locks are waited for only shortly: whoever waits makes others wait.

-- name: lock_shortly :exec
-- engine: sqlite
DELETE FROM batch WHERE seq < 0;
-- engine: postgres
SET LOCAL lock_timeout = 50;

-- Emptying one of them; locked first, and looked at again.

-- name: log_lock_0 :exec
-- engine: sqlite
DELETE FROM batch WHERE seq < 0;
-- engine: postgres
LOCK TABLE batch_0 IN ACCESS EXCLUSIVE MODE;

-- name: log_lock_1 :exec
-- engine: sqlite
DELETE FROM batch WHERE seq < 0;
-- engine: postgres
LOCK TABLE batch_1 IN ACCESS EXCLUSIVE MODE;

-- name: log_lock_2 :exec
-- engine: sqlite
DELETE FROM batch WHERE seq < 0;
-- engine: postgres
LOCK TABLE batch_2 IN ACCESS EXCLUSIVE MODE;

-- name: log_lock_3 :exec
-- engine: sqlite
DELETE FROM batch WHERE seq < 0;
-- engine: postgres
LOCK TABLE batch_3 IN ACCESS EXCLUSIVE MODE;

-- name: log_clear_0 :exec
-- engine: sqlite
DELETE FROM batch WHERE seq < 0;
-- engine: postgres
TRUNCATE batch_0;

-- name: log_clear_1 :exec
-- engine: sqlite
DELETE FROM batch WHERE seq < 0;
-- engine: postgres
TRUNCATE batch_1;

-- name: log_clear_2 :exec
-- engine: sqlite
DELETE FROM batch WHERE seq < 0;
-- engine: postgres
TRUNCATE batch_2;

-- name: log_clear_3 :exec
-- engine: sqlite
DELETE FROM batch WHERE seq < 0;
-- engine: postgres
TRUNCATE batch_3;

-- name: part_get :one
-- in: part int
-- out: mark int, drain int, folded int, epoch int, fence int, tip int, tag int, owner int
SELECT mark, drain, folded, epoch, fence, tip, tag, owner FROM part WHERE part = $1;

-- name: part_advance :execrows
-- in: part int, drain_before int, mark int, drain int, folded int, fence int, tip int
-- engine: sqlite
UPDATE part SET mark = $3, drain = $4, folded = $5 WHERE part = $1 AND drain = $2 AND fence = $6 AND tip <= $7;
-- engine: postgres
UPDATE part SET mark = $3, drain = $4, folded = $5 WHERE part = $1 AND drain = $2 AND fence = $6 AND tip = $7;

-- name: pack_insert :exec
-- in: owner int, w0 int, n int, kn int, body blob
INSERT INTO pack (owner, w0, n, kn, body) VALUES ($1, $2, $3, $4, $5);

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

-- The highest number of a node, and when the last facts of the logs were recorded.
-- name: uid_last :one
-- out: uid int, recorded_ms int
SELECT (SELECT MAX(uid) FROM (
    SELECT COALESCE(MAX(uid), 0) AS uid FROM node
    UNION ALL SELECT COALESCE(MAX(uid), 0) FROM model_series
    UNION ALL SELECT COALESCE(MAX(uid), 0) FROM field
    UNION ALL SELECT COALESCE(MAX(uid), 0) FROM tombstone
    UNION ALL SELECT COALESCE(MAX(uid), 0) FROM experiment) AS all_uids), (SELECT COALESCE(MAX(ms), 0) FROM (
    SELECT seen_ms AS ms FROM edge_log WHERE seq = (SELECT MAX(seq) FROM edge_log)
    UNION ALL SELECT seen_ms FROM member_log WHERE seq = (SELECT MAX(seq) FROM member_log)
    UNION ALL SELECT seen_ms FROM parent_log WHERE seq = (SELECT MAX(seq) FROM parent_log)
    UNION ALL SELECT seen_ms FROM column_edge_log WHERE seq = (SELECT MAX(seq) FROM column_edge_log)
    UNION ALL SELECT seen_ms FROM same_log WHERE seq = (SELECT MAX(seq) FROM same_log)
    UNION ALL SELECT seen_ms FROM registry_log WHERE seq = (SELECT MAX(seq) FROM registry_log)) AS last_facts);
