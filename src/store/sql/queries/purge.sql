-- purge.sql - deleting runs for good: what names them at once, what they hold in steps.

-- name: purge_add :exec
-- in: owner int, root int
INSERT INTO purge (owner, root) VALUES ($1, $2);

-- name: purge_next :one
-- in: owner int
-- out: owner int, root int
SELECT owner, root FROM purge WHERE owner > $1 ORDER BY owner LIMIT 1;

-- name: purge_done :exec
-- in: owner int
DELETE FROM purge WHERE owner = $1;

-- The first chunk that stays.
-- name: purge_chunk_bound :one
-- in: owner int, skip int
-- out: key int, lvl int, t0 int, c int
SELECT key, lvl, t0, c FROM chunk WHERE owner = $1 ORDER BY key, lvl, t0, c LIMIT 1 OFFSET $2;

-- name: purge_bodies_before :execrows
-- in: owner int, key int, lvl int, t0 int, c int
DELETE FROM chunk_body WHERE id IN
    (SELECT id FROM chunk WHERE owner = $1 AND (key, lvl, t0, c) < ($2, $3, $4, $5));

-- name: purge_chunks_before :execrows
-- in: owner int, key int, lvl int, t0 int, c int
DELETE FROM chunk WHERE owner = $1 AND (key, lvl, t0, c) < ($2, $3, $4, $5);

-- name: purge_bodies :execrows
-- in: owner int
DELETE FROM chunk_body WHERE id IN (SELECT id FROM chunk WHERE owner = $1);

-- name: purge_chunks :execrows
-- in: owner int
DELETE FROM chunk WHERE owner = $1;

-- name: purge_pack_bound :one
-- in: owner int, skip int
-- out: w0 int
SELECT w0 FROM pack WHERE owner = $1 ORDER BY w0 LIMIT 1 OFFSET $2;

-- name: purge_packs_before :execrows
-- in: owner int, w0 int
DELETE FROM pack WHERE owner = $1 AND w0 < $2;

-- name: purge_packs :execrows
-- in: owner int
DELETE FROM pack WHERE owner = $1;

-- name: purge_artifact_bound :one
-- in: root int, skip int
-- out: dir text, name text
SELECT dir, name FROM artifact WHERE root = $1 ORDER BY dir, name LIMIT 1 OFFSET $2;

-- name: purge_artifacts_before :execrows
-- in: root int, dir text, name text
DELETE FROM artifact WHERE root = $1 AND (dir, name) < ($2, $3);

-- name: purge_run :execrows
-- in: run int
DELETE FROM runhead WHERE run = $1;

-- name: purge_tombstone :exec
-- in: uid int, who text, now_ms int
INSERT INTO tombstone (uid, kind, type_id, digest, who, gone_ms)
SELECT n.uid, n.kind, n.type_id, n.digest, CAST($2 AS text), CAST($3 AS bigint) FROM node n WHERE n.uid = $1;

-- name: purge_members_log :exec
-- in: node int, now_ms int
INSERT INTO member_log (op, ctx, node, role, claimed_ms, seen_ms)
SELECT 2, m.ctx, m.node, m.role, CAST($2 AS bigint), CAST($2 AS bigint) FROM member m WHERE m.node = $1;

-- name: purge_members :exec
-- in: node int
DELETE FROM member WHERE node = $1;

-- name: purge_events :exec
-- in: run int
DELETE FROM run_event WHERE run = $1;

-- name: purge_props :exec
-- in: uid int
DELETE FROM prop WHERE uid = $1;

-- name: purge_idents :exec
-- in: uid int
DELETE FROM ident WHERE uid = $1;

-- name: purge_node :exec
-- in: uid int
DELETE FROM node WHERE uid = $1;

-- name: tombstone_get :one
-- in: uid int
-- out: gone_ms int
SELECT gone_ms FROM tombstone WHERE uid = $1;

-- Runs that were deleted before a time, the longest ago first.
-- name: purge_deleted_runs :many
-- in: before_ms int, max int
-- out: rid text
SELECT rid FROM runhead WHERE lifecycle = 1 AND deleted_ms IS NOT NULL AND deleted_ms < $1 ORDER BY deleted_ms LIMIT $2;

-- Runs that are gone.
-- name: run_gone :many
-- in: uid int, max int
-- out: uid int
SELECT uid FROM tombstone WHERE uid > $1 AND type_id = 2 ORDER BY uid LIMIT $2;
