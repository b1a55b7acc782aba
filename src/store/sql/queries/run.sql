-- run.sql - the rows of runs. While a run is in memory with changes its row is behind (store/heads.h).

-- name: run_insert :exec
-- in: run int, exp int, rid text, name text, user_id text, status int, lifecycle int, start_ms int, end_ms int?, create_ms int, deleted_ms int?, artifact_uri text, ver int, body blob
INSERT INTO runhead (run, exp, rid, name, user_id, status, lifecycle, start_ms, end_ms, create_ms, deleted_ms,
                     artifact_uri, ver, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

-- name: run_update :execrows
-- in: run int, name text, status int, lifecycle int, end_ms int?, deleted_ms int?, ver int, body blob
UPDATE runhead SET name = $2, status = $3, lifecycle = $4, end_ms = $5, deleted_ms = $6, ver = $7, body = $8
WHERE run = $1;

-- name: run_by_rid :one
-- in: rid text
-- out: run int, exp int, rid text, name text, user_id text, status int, lifecycle int, start_ms int, end_ms int?, create_ms int, deleted_ms int?, artifact_uri text, ver int, body blob
SELECT run, exp, rid, name, user_id, status, lifecycle, start_ms, end_ms, create_ms, deleted_ms, artifact_uri, ver, body
FROM runhead WHERE rid = $1;

-- name: run_by_uid :one
-- in: run int
-- out: run int, exp int, rid text, name text, user_id text, status int, lifecycle int, start_ms int, end_ms int?, create_ms int, deleted_ms int?, artifact_uri text, ver int, body blob
SELECT run, exp, rid, name, user_id, status, lifecycle, start_ms, end_ms, create_ms, deleted_ms, artifact_uri, ver, body
FROM runhead WHERE run = $1;

-- name: runs_by_uid :many
-- in: runs int[]
-- out: run int, exp int, rid text, name text, user_id text, status int, lifecycle int, start_ms int, end_ms int?, create_ms int, deleted_ms int?, artifact_uri text, ver int, body blob
SELECT run, exp, rid, name, user_id, status, lifecycle, start_ms, end_ms, create_ms, deleted_ms, artifact_uri, ver, body
FROM runhead WHERE run {in:$1};

-- name: run_page :many
-- in: exp int, start_ms int, run int, max int
-- out: run int, exp int, rid text, name text, user_id text, status int, lifecycle int, start_ms int, end_ms int?, create_ms int, deleted_ms int?, artifact_uri text, ver int, body blob
SELECT run, exp, rid, name, user_id, status, lifecycle, start_ms, end_ms, create_ms, deleted_ms, artifact_uri, ver, body
FROM runhead WHERE exp = $1 AND (start_ms, run) > ($2, $3) ORDER BY start_ms, run LIMIT $4;

-- name: run_lifecycle_by_exp :exec
-- in: exp int, lifecycle int, deleted_ms int?
UPDATE runhead SET lifecycle = $2, deleted_ms = $3 WHERE exp = $1;

-- name: run_event_append :exec
-- in: run int, what int, before int, since_ms int, who text, now_ms int
INSERT INTO run_event (run, what, before, since_ms, who, seen_ms) VALUES ($1, $2, $3, $4, $5, $6);

-- name: run_event_last :one
-- in: run int
-- out: seen_ms int
SELECT seen_ms FROM run_event WHERE run = $1 ORDER BY seq DESC LIMIT 1;

-- name: run_event_list :many
-- in: run int, max int
-- out: what int, before int, since_ms int, who text, seen_ms int
SELECT what, before, since_ms, who, seen_ms FROM run_event WHERE run = $1 ORDER BY seq DESC LIMIT $2;
