-- purge.sql - deleting for good: what names things at once, what they hold in steps.

-- name: purge_add :exec
-- in: owner int, root int
INSERT INTO purge (owner, root) VALUES ($1, $2);

-- name: purge_list :many
-- in: after int, max int
-- out: owner int, root int
SELECT owner, root FROM purge WHERE owner > $1 ORDER BY owner LIMIT $2;

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

-- name: purge_runs :execrows
-- in: runs int[]
DELETE FROM runhead WHERE run {in:$1};

-- Runs with the roots of their own artifacts, where they lie in this store.
-- name: purge_run_roots :exec
-- in: runs int[]
INSERT INTO purge (owner, root)
SELECT r.run, COALESCE((SELECT t.id FROM root t WHERE t.uri = r.artifact_uri AND t.owner = r.run), 0)
FROM runhead r WHERE r.run {in:$1};

-- name: purge_model_series :exec
-- in: model int
INSERT INTO purge (owner, root) SELECT s.uid, 0 FROM model_series s WHERE s.model = $1;

-- name: purge_model_series_drop :exec
-- in: model int
DELETE FROM model_series WHERE model = $1;

-- name: purge_model :execrows
-- in: uid int
DELETE FROM logged_model WHERE uid = $1;

-- An experiment: it leaves its table, and what was in it goes in steps.

-- name: purge_experiment_add :exec
-- in: exp int, who text, now_ms int
INSERT INTO purge_experiment (exp, uid, name, who, since_ms)
SELECT e.id, e.uid, e.name, CAST($2 AS text), CAST($3 AS bigint) FROM experiment e WHERE e.id = $1;

-- name: purge_experiment_tags :exec
-- in: exp int
DELETE FROM experiment_tag WHERE exp = $1;

-- name: purge_experiment_row :execrows
-- in: exp int
DELETE FROM experiment WHERE id = $1;

-- name: purge_experiment_next :one
-- in: after int
-- out: exp int, uid int, name text, who text
SELECT exp, uid, name, who FROM purge_experiment WHERE exp > $1 ORDER BY exp LIMIT 1;

-- name: purge_experiment_done :exec
-- in: exp int
DELETE FROM purge_experiment WHERE exp = $1;

-- name: purge_experiment_runs :many
-- in: exp int, max int
-- out: run int
SELECT run FROM runhead WHERE exp = $1 ORDER BY start_ms, run LIMIT $2;

-- name: purge_experiment_models :many
-- in: exp int, max int
-- out: uid int, artifact_uri text
SELECT uid, artifact_uri FROM logged_model WHERE exp = $1 ORDER BY create_ms, uid LIMIT $2;

-- name: purge_experiment_members :many
-- in: ctx int, max int
-- out: node int, type_id int
SELECT m.node, COALESCE(n.type_id, 0) FROM member m LEFT JOIN node n ON n.uid = m.node WHERE m.ctx = $1 ORDER BY m.node LIMIT $2;

-- name: purge_experiment_members_log :exec
-- in: ctx int, nodes int[], now_ms int
INSERT INTO member_log (op, ctx, node, role, claimed_ms, seen_ms)
SELECT 2, m.ctx, m.node, m.role, CAST($3 AS bigint), CAST($3 AS bigint) FROM member m WHERE m.ctx = $1 AND m.node {in:$2};

-- name: purge_experiment_members_drop :exec
-- in: ctx int, nodes int[]
DELETE FROM member WHERE ctx = $1 AND node {in:$2};

-- name: purge_columns_next :one
-- in: exp int
-- out: kind int, id int
SELECT kind, id FROM colseg WHERE exp = $1 ORDER BY kind, id LIMIT 1;

-- name: purge_column :exec
-- in: exp int, kind int, id int
DELETE FROM colseg WHERE exp = $1 AND kind = $2 AND id = $3;

-- name: purge_columns_keys :exec
-- in: exp int
DELETE FROM colkey WHERE exp = $1;

-- What has no name of its own.
-- name: purge_tombstone :exec
-- in: uid int, who text, now_ms int
INSERT INTO tombstone (uid, kind, type_id, digest, who, gone_ms)
SELECT n.uid, n.kind, n.type_id, n.digest, CAST($2 AS text), CAST($3 AS bigint) FROM node n WHERE n.uid = $1;

-- experiment: the name of one that has no row any more. name: newer than the row's.
-- name: purge_run_tombstones :exec
-- in: uids int[], who text, now_ms int, experiment text?, name text?
INSERT INTO tombstone (uid, kind, type_id, digest, who, gone_ms, ref, name, exp, experiment)
SELECT n.uid, n.kind, n.type_id, n.digest, CAST($2 AS text), CAST($3 AS bigint), r.rid,
       COALESCE(CAST($5 AS text), r.name), r.exp,
       COALESCE(CAST($4 AS text), (SELECT e.name FROM experiment e WHERE e.id = r.exp))
FROM node n JOIN runhead r ON r.run = n.uid WHERE n.uid {in:$1};

-- name: purge_model_tombstone :exec
-- in: uid int, who text, now_ms int, digest text?, experiment text?
INSERT INTO tombstone (uid, kind, type_id, digest, who, gone_ms, ref, name, exp, experiment)
SELECT n.uid, n.kind, n.type_id, COALESCE(CAST($4 AS text), n.digest), CAST($2 AS text), CAST($3 AS bigint), m.mid, m.name, m.exp,
       COALESCE(CAST($5 AS text), (SELECT e.name FROM experiment e WHERE e.id = m.exp))
FROM node n JOIN logged_model m ON m.uid = n.uid WHERE n.uid = $1;

-- name: purge_experiment_tombstone :exec
-- in: exp int, who text, now_ms int
INSERT INTO tombstone (uid, kind, type_id, digest, who, gone_ms, ref, name, exp, experiment)
SELECT n.uid, n.kind, n.type_id, n.digest, CAST($2 AS text), CAST($3 AS bigint), CAST(e.id AS text), e.name, e.id, e.name
FROM experiment e JOIN node n ON n.uid = e.uid WHERE e.id = $1;

-- name: purge_node_tombstones :exec
-- in: uids int[], who text, now_ms int, exp int, experiment text
INSERT INTO tombstone (uid, kind, type_id, digest, who, gone_ms, ref, name, exp, experiment)
SELECT n.uid, n.kind, n.type_id, n.digest, CAST($2 AS text), CAST($3 AS bigint), n.name || '@' || n.digest, n.name,
       CAST($4 AS bigint), CAST($5 AS text)
FROM node n WHERE n.uid {in:$1};

-- That a version stands for a model stays true when the model is gone (role 2).
-- name: purge_members_log :exec
-- in: nodes int[], now_ms int
INSERT INTO member_log (op, ctx, node, role, claimed_ms, seen_ms)
SELECT 2, m.ctx, m.node, m.role, CAST($2 AS bigint), CAST($2 AS bigint) FROM member m WHERE m.node {in:$1} AND m.role <> 2;

-- name: purge_members :exec
-- in: nodes int[]
DELETE FROM member WHERE node {in:$1} AND role <> 2;

-- name: purge_members_all_log :exec
-- in: node int, now_ms int
INSERT INTO member_log (op, ctx, node, role, claimed_ms, seen_ms)
SELECT 2, m.ctx, m.node, m.role, CAST($2 AS bigint), CAST($2 AS bigint) FROM member m WHERE m.node = $1;

-- name: purge_members_all :exec
-- in: node int
DELETE FROM member WHERE node = $1;

-- name: purge_events :exec
-- in: runs int[]
DELETE FROM run_event WHERE run {in:$1};

-- name: purge_props :exec
-- in: uids int[]
DELETE FROM prop WHERE uid {in:$1};

-- name: purge_idents :exec
-- in: uids int[]
DELETE FROM ident WHERE uid {in:$1};

-- name: purge_nodes :exec
-- in: uids int[]
DELETE FROM node WHERE uid {in:$1};

-- The newest thing that was called so.
-- name: tombstone_by_ref :one
-- in: ref text, type int
-- out: uid int
SELECT uid FROM tombstone WHERE ref = $1 AND type_id = $2 ORDER BY uid DESC LIMIT 1;

-- name: tombstone_get :one
-- in: uid int
-- out: gone_ms int
SELECT gone_ms FROM tombstone WHERE uid = $1;

-- Runs that were deleted before a time and that no registered version stands on, the longest ago first.
-- name: purge_deleted_runs :many
-- in: before_ms int, max int
-- out: rid text
SELECT r.rid FROM runhead r WHERE r.lifecycle = 1 AND r.deleted_ms IS NOT NULL AND r.deleted_ms < $1
  AND NOT EXISTS (SELECT 1 FROM model_version v WHERE v.run_id = r.rid AND v.stage < 4)
  AND NOT EXISTS (SELECT 1 FROM logged_model m JOIN model_version v ON v.model_id = m.mid
                  WHERE m.source_run = r.rid AND v.stage < 4)
ORDER BY r.deleted_ms LIMIT $2;

-- Runs that are gone.
-- name: run_gone :many
-- in: uid int, max int
-- out: uid int
SELECT uid FROM tombstone WHERE uid > $1 AND type_id = 2 ORDER BY uid LIMIT $2;

-- name: purge_experiment_waits :one
-- in: exp int
-- out: name text, since_ms int
SELECT name, since_ms FROM purge_experiment WHERE exp = $1;

-- What is in an experiment, or in one thing, and what stands on it.

-- name: contents_runs :one
-- in: exp int
-- out: n int
SELECT COUNT(*) FROM runhead WHERE exp = $1;

-- name: contents_models :one
-- in: exp int
-- out: n int
SELECT COUNT(*) FROM logged_model WHERE exp = $1;

-- name: contents_run_files :one
-- in: exp int
-- out: n int, bytes int
SELECT COUNT(*), CAST(COALESCE(SUM(a.size), 0) AS bigint)
FROM runhead r CROSS JOIN root t CROSS JOIN artifact a
WHERE r.exp = $1 AND t.uri = r.artifact_uri AND t.owner = r.run AND a.root = t.id AND a.kind = 1;

-- name: contents_model_files :one
-- in: exp int
-- out: n int, bytes int
SELECT COUNT(*), CAST(COALESCE(SUM(a.size), 0) AS bigint)
FROM logged_model m CROSS JOIN root t CROSS JOIN artifact a
WHERE m.exp = $1 AND t.uri = m.artifact_uri AND t.owner = m.uid AND a.root = t.id AND a.kind = 1;

-- name: contents_root :one
-- in: uri text, owner int
-- out: n int, bytes int
SELECT COUNT(*), CAST(COALESCE(SUM(a.size), 0) AS bigint)
FROM root t CROSS JOIN artifact a WHERE t.uri = $1 AND t.owner = $2 AND a.root = t.id AND a.kind = 1;

-- name: contents_run_versions :many
-- in: exp int, max int
-- out: name text, version int
SELECT g.name, v.version FROM runhead r CROSS JOIN model_version v CROSS JOIN registered_model g
WHERE r.exp = $1 AND v.run_id = r.rid AND v.stage < 4 AND g.uid = v.model LIMIT $2;

-- name: contents_model_versions :many
-- in: exp int, max int
-- out: name text, version int
SELECT g.name, v.version FROM logged_model m CROSS JOIN model_version v CROSS JOIN registered_model g
WHERE m.exp = $1 AND v.model_id = m.mid AND v.stage < 4 AND g.uid = v.model LIMIT $2;

-- name: versions_of_run :many
-- in: rid text, max int
-- out: name text, version int
SELECT g.name, v.version FROM model_version v JOIN registered_model g ON g.uid = v.model
WHERE v.run_id = $1 AND v.stage < 4 LIMIT $2;

-- name: versions_of_model :many
-- in: mid text, max int
-- out: name text, version int
SELECT g.name, v.version FROM model_version v JOIN registered_model g ON g.uid = v.model
WHERE v.model_id = $1 AND v.stage < 4 LIMIT $2;
