-- registry.sql - registered models, versions, aliases, and their history.

-- name: registered_model_insert :exec
-- in: uid int, name text, description text, prompt int, now_ms int
INSERT INTO registered_model (uid, name, description, prompt, create_ms, update_ms) VALUES ($1, $2, $3, $4, $5, $5);

-- name: registered_model_get :one
-- in: name text
-- out: uid int, name text, description text, prompt int, last int, create_ms int, update_ms int
SELECT uid, name, description, prompt, last, create_ms, update_ms FROM registered_model WHERE name = $1;

-- name: registered_model_all :many
-- out: uid int, name text, prompt int, create_ms int, update_ms int
SELECT uid, name, prompt, create_ms, update_ms FROM registered_model ORDER BY uid;

-- name: registered_model_by_uid :one
-- in: uid int
-- out: name text, prompt int, create_ms int
SELECT name, prompt, create_ms FROM registered_model WHERE uid = $1;

-- name: registered_model_uid :one
-- in: name text
-- out: uid int
SELECT uid FROM registered_model WHERE name = $1;

-- A model that was deleted, the latest of that name.
-- name: registered_model_gone :one
-- in: name text
-- out: uid int, seen_ms int
SELECT model, seen_ms FROM registry_log WHERE what = 2 AND version = 0 AND value = $1 ORDER BY seen_ms DESC, seq DESC LIMIT 1;

-- name: registered_model_touch :exec
-- in: uid int, now_ms int
UPDATE registered_model SET update_ms = $2 WHERE uid = $1;

-- name: registered_model_describe :exec
-- in: uid int, description text, now_ms int
UPDATE registered_model SET description = $2, update_ms = $3 WHERE uid = $1;

-- name: registered_model_prompt :exec
-- in: uid int, prompt int
UPDATE registered_model SET prompt = $2 WHERE uid = $1;

-- name: registered_model_rename :exec
-- in: uid int, name text, now_ms int
UPDATE registered_model SET name = $2, update_ms = $3 WHERE uid = $1;

-- name: registered_model_last :exec
-- in: uid int, last int, now_ms int
UPDATE registered_model SET last = $2, update_ms = $3 WHERE uid = $1;

-- name: registered_model_delete :exec
-- in: uid int
DELETE FROM registered_model WHERE uid = $1;

-- name: model_version_insert :exec
-- in: uid int, model int, version int, description text?, source text, storage text, run_id text, run_link text, model_id text?, prompt int, now_ms int
INSERT INTO model_version (uid, model, version, stage, description, source, storage, run_id, run_link, model_id, status, prompt, create_ms, update_ms)
VALUES ($1, $2, $3, 0, $4, $5, $6, $7, $8, $9, 3, $10, $11, $11);

-- name: model_version_get :one
-- in: model int, version int
-- out: uid int, version int, stage int, description text?, source text, storage text, run_id text, run_link text, model_id text?, status int, prompt int, create_ms int, update_ms int
SELECT uid, version, stage, description, source, storage, run_id, run_link, model_id, status, prompt, create_ms, update_ms
FROM model_version WHERE model = $1 AND version = $2;

-- The highest and the lowest version of a stage: each is the end of a range of an index.
-- name: model_version_last :one
-- in: model int, stage int
-- out: version int
SELECT version FROM model_version WHERE model = $1 AND stage = $2 ORDER BY version DESC LIMIT 1;

-- The lowest stage but None that has a version.
-- name: model_version_staged :one
-- in: model int
-- out: stage int
SELECT stage FROM model_version WHERE model = $1 AND stage > 0 AND stage < 4 ORDER BY stage LIMIT 1;

-- name: model_version_first :one
-- in: model int, stage int
-- out: version int
SELECT version FROM model_version WHERE model = $1 AND stage = $2 ORDER BY version LIMIT 1;

-- name: model_version_all :many
-- out: model int, name text, model_prompt int, uid int, version int, source text, run_id text, prompt int, create_ms int, update_ms int
SELECT v.model, m.name, m.prompt, v.uid, v.version, v.source, v.run_id, v.prompt, v.create_ms, v.update_ms
FROM model_version v JOIN registered_model m ON m.uid = v.model WHERE v.stage < 4;

-- name: model_version_named :many
-- in: model_name text
-- out: model int, name text, model_prompt int, uid int, version int, source text, run_id text, prompt int, create_ms int, update_ms int
SELECT v.model, m.name, m.prompt, v.uid, v.version, v.source, v.run_id, v.prompt, v.create_ms, v.update_ms
FROM registered_model m JOIN model_version v ON v.model = m.uid WHERE m.name = $1 AND v.stage < 4;

-- name: model_version_by_run :many
-- in: run_id text
-- out: model int, name text, model_prompt int, uid int, version int, source text, run_id text, prompt int, create_ms int, update_ms int
SELECT v.model, m.name, m.prompt, v.uid, v.version, v.source, v.run_id, v.prompt, v.create_ms, v.update_ms
FROM model_version v JOIN registered_model m ON m.uid = v.model WHERE v.run_id = $1 AND v.stage < 4;

-- name: model_version_by_logged :many
-- in: mid text
-- out: name text, version int
SELECT m.name, v.version FROM model_version v JOIN registered_model m ON m.uid = v.model
WHERE v.model_id = $1 AND v.stage < 4 ORDER BY v.create_ms, v.uid LIMIT 1;

-- name: model_version_describe :exec
-- in: uid int, description text?, now_ms int
UPDATE model_version SET description = $2, update_ms = $3 WHERE uid = $1;

-- name: model_version_stage :exec
-- in: uid int, stage int, now_ms int
UPDATE model_version SET stage = $2, update_ms = $3 WHERE uid = $1;

-- name: model_version_prompt :exec
-- in: uid int, prompt int
UPDATE model_version SET prompt = $2 WHERE uid = $1;

-- name: model_version_in_stage :many
-- in: model int, stage int, except int
-- out: uid int, version int
SELECT uid, version FROM model_version WHERE model = $1 AND stage = $2 AND version <> $3 ORDER BY version;

-- name: model_version_touch_all :exec
-- in: model int, now_ms int
UPDATE model_version SET update_ms = $2 WHERE model = $1;

-- The tag of logged models that lists the versions made from them.
-- name: model_version_rename_tags :exec
-- in: model int, old text, new text
UPDATE prop SET s = REPLACE(s, $2, $3) WHERE scope = 3 AND key = 'mlflow.modelVersions'
AND uid IN (SELECT m.uid FROM model_version v JOIN logged_model m ON m.mid = v.model_id WHERE v.model = $1);

-- name: model_version_redact :exec
-- in: uid int, now_ms int
UPDATE model_version SET stage = 4, description = NULL, source = 'REDACTED-SOURCE-PATH', storage = '', run_id = 'REDACTED-RUN-ID',
    run_link = 'REDACTED-RUN-LINK', model_id = NULL, update_ms = $2 WHERE uid = $1;

-- name: model_version_delete_all :exec
-- in: model int
DELETE FROM model_version WHERE model = $1;

-- name: model_alias_set :exec
-- in: model int, alias text, version int
INSERT INTO model_alias (model, alias, version) VALUES ($1, $2, $3)
ON CONFLICT (model, alias) DO UPDATE SET version = excluded.version;

-- name: model_alias_get :one
-- in: model int, alias text
-- out: version int
SELECT version FROM model_alias WHERE model = $1 AND alias = $2;

-- name: model_alias_delete :execrows
-- in: model int, alias text
DELETE FROM model_alias WHERE model = $1 AND alias = $2;

-- name: model_alias_all :many
-- in: model int
-- out: alias text, version int
SELECT alias, version FROM model_alias WHERE model = $1 ORDER BY alias;

-- name: model_alias_of_version :many
-- in: model int, version int
-- out: alias text
SELECT alias FROM model_alias WHERE model = $1 AND version = $2 ORDER BY alias;

-- name: model_alias_delete_all :exec
-- in: model int
DELETE FROM model_alias WHERE model = $1;

-- name: registry_log_append :exec
-- in: model int, version int, what int, key text, value text?, who text, now_ms int
INSERT INTO registry_log (model, version, what, key, value, who, claimed_ms, seen_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $7);

-- name: registry_log_end :one
-- out: seq int
SELECT COALESCE(max(seq), 0) FROM registry_log;

-- name: registry_log_models :many
-- in: after int, max int
-- out: model int
SELECT model FROM registry_log WHERE seq > $1 ORDER BY seq LIMIT $2;

-- name: registry_log_of_model :many
-- what 0, version -1, key NULL: any.
-- in: model int, before int, what int, version int, key text?, until_ms int, limit int
-- out: seq int, version int, what int, key text, value text?, who text, seen_ms int
SELECT seq, version, what, key, value, who, seen_ms FROM registry_log
WHERE model = $1 AND seq < $2 AND ($3 = 0 OR what = $3) AND ($4 < 0 OR version = $4)
  AND (CAST($5 AS text) IS NULL OR key = CAST($5 AS text)) AND seen_ms <= $6
ORDER BY seq DESC LIMIT $7;

-- name: registry_alias_at :one
-- in: model int, alias text, at_ms int
-- out: version int, value text?, who text, seen_ms int
SELECT version, value, who, seen_ms FROM registry_log WHERE model = $1 AND what = 6 AND key = $2 AND seen_ms <= $3
ORDER BY seq DESC LIMIT 1;

-- Removing a model takes its versions along: first what hangs on them, then they.
-- name: registry_drop_members_log :exec
-- in: model int, now_ms int
INSERT INTO member_log (op, ctx, node, role, claimed_ms, seen_ms)
SELECT 2, m.ctx, m.node, m.role, CAST($2 AS bigint), CAST($2 AS bigint) FROM member m
WHERE m.ctx = $1 OR m.ctx IN (SELECT uid FROM model_version WHERE model = $1);

-- name: registry_drop_members :exec
-- in: model int
DELETE FROM member WHERE ctx = $1 OR ctx IN (SELECT uid FROM model_version WHERE model = $1);

-- name: registry_drop_parents_log :exec
-- in: model int, now_ms int
INSERT INTO parent_log (op, child, parent, role, claimed_ms, seen_ms)
SELECT 2, child, parent, role, CAST($2 AS bigint), CAST($2 AS bigint) FROM parent WHERE parent = $1;

-- name: registry_drop_parents :exec
-- in: model int
DELETE FROM parent WHERE parent = $1;

-- name: registry_drop_tombstones :exec
-- in: model int, who text, now_ms int
INSERT INTO tombstone (uid, kind, type_id, who, gone_ms)
SELECT n.uid, n.kind, n.type_id, CAST($2 AS text), CAST($3 AS bigint) FROM node n
WHERE n.uid = $1 OR n.uid IN (SELECT uid FROM model_version WHERE model = $1);

-- name: registry_drop_props :exec
-- in: model int
DELETE FROM prop WHERE uid = $1 OR uid IN (SELECT uid FROM model_version WHERE model = $1);

-- name: registry_drop_idents :exec
-- in: model int
DELETE FROM ident WHERE uid = $1 OR uid IN (SELECT uid FROM model_version WHERE model = $1);

-- name: registry_drop_nodes :exec
-- in: model int
DELETE FROM node WHERE uid = $1 OR uid IN (SELECT uid FROM model_version WHERE model = $1);
