-- peer.sql - several servers on one PostgreSQL database: the turn, catching up, the list of servers. The texts for SQLite have
-- the same shape and are not used. Times are those of the database.

-- Until the transaction ends no other server writes.

-- name: turn_take :one
-- in: part int
-- out: tip int, tag int, drain int, fence int, owner int
-- engine: sqlite
SELECT tip, tag, drain, fence, owner FROM part WHERE part = $1;
-- engine: postgres
SELECT tip, tag, drain, fence, owner FROM part WHERE part = $1 FOR UPDATE;

-- What the log holds behind a row, the next few rows, and how far it is covered, in one snapshot. A row without seq: nothing
-- there. Numbers have no gaps.

-- name: batch_catch_up :many
-- in: part int, after int, max int
-- out: tip int, tip_tag int, mark int, drain int, folded int, seq int?, epoch int?, part int?, n int?, row_drain int?, prev int?, tag int?, body blob?
SELECT p.tip, p.tag, p.mark, p.drain, p.folded, b.seq, b.epoch, b.part, b.n, b.drain, b.prev, b.tag, b.body
FROM part p LEFT JOIN batch b ON b.seq > $2 AND b.seq <= $2 + $3 WHERE p.part = $1 ORDER BY b.seq;

-- name: part_own :one
-- in: part int, owner int
-- out: fence int
UPDATE part SET owner = $2, fence = fence + 1 WHERE part = $1 RETURNING fence;

-- name: part_disown :exec
-- in: part int, owner int
UPDATE part SET owner = 0, fence = fence + 1 WHERE part = $1 AND owner = $2;

-- name: server_add :one
-- in: addr text, process text, lease_ms int, listens int
-- out: id int
-- engine: sqlite
INSERT INTO server (addr, process, pos, seen, alone_ms, until_ms, listens) VALUES ($1, $2, 0, 0, 0, $3, $4) RETURNING id;
-- engine: postgres
INSERT INTO server (addr, process, pos, seen, alone_ms, until_ms, listens)
VALUES ($1, $2, 0, 0, 0, CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS bigint) + $3, $4) RETURNING id;

-- name: server_remove :exec
-- in: id int
DELETE FROM server WHERE id = $1;

-- Puts another server off the list: a given one, or (0) all that are overdue.

-- name: server_reap :execrows
-- in: me int, id int
-- engine: sqlite
DELETE FROM server WHERE id = $2 AND id <> $1;
-- engine: postgres
DELETE FROM server WHERE id <> $1 AND (id = $2 OR $2 = 0 AND until_ms < CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS bigint));

-- name: server_others :many
-- in: id int
-- out: id int, process text
SELECT id, process FROM server WHERE id > 0 AND id <> $1 ORDER BY id LIMIT 1000;

-- name: server_here :one
-- in: id int
-- out: n int
SELECT COUNT(*) FROM server WHERE id = $1;

-- here: 1 when the server is on the list; newest: the highest id of another one; expired: others that are overdue;
-- owned: 1 when the owner of the drains is on the list; listeners: others that listen to the doorbell.

-- name: server_beat :one
-- in: id int, pos int, lease_ms int, part int, alone_ms int
-- out: here int, others int, newest int, expired int, owner int, owned int, listeners int
-- engine: sqlite
SELECT COUNT(*), 0, 0, 0, 0, 0, 0 FROM server
WHERE id = $1 AND pos <= $2 AND until_ms <= $3 AND id <> $4 AND alone_ms <= $5;
-- engine: postgres
WITH me AS (UPDATE server SET pos = $2, until_ms = CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS bigint) + $3,
                alone_ms = CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS bigint) + $5
            WHERE id = $1 RETURNING id)
SELECT (SELECT COUNT(*) FROM me),
       (SELECT COUNT(*) FROM server WHERE id <> $1),
       (SELECT COALESCE(MAX(id), 0) FROM server WHERE id <> $1),
       (SELECT COUNT(*) FROM server WHERE id <> $1
          AND until_ms < CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS bigint)),
       p.owner,
       (SELECT COUNT(*) FROM server WHERE id = p.owner),
       (SELECT COUNT(*) FROM server WHERE id <> $1 AND listens = 1)
FROM part p WHERE p.part = $4;

-- name: server_seen :exec
-- in: id int, newest int
UPDATE server SET seen = $2 WHERE id = $1;

-- Others that have not yet seen this one and may believe that they are alone.

-- name: server_unseen :one
-- in: id int
-- out: n int
-- engine: sqlite
SELECT COUNT(*) FROM server WHERE id < $1;
-- engine: postgres
SELECT COUNT(*) FROM server
WHERE id < $1 AND seen < $1 AND alone_ms >= CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS bigint);
