-- logged_model.sql - logged models and the owners of their metric series.

-- name: logged_model_insert :exec
-- in: uid int, mid text, exp int, name text, model_type text?, source_run text?, status int, artifact_uri text, now_ms int
INSERT INTO logged_model (uid, mid, exp, name, model_type, source_run, status, lifecycle, artifact_uri, create_ms, update_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $9);

-- name: logged_model_get :one
-- in: mid text
-- out: uid int, mid text, exp int, name text, model_type text?, source_run text?, status int, lifecycle int, artifact_uri text, create_ms int, update_ms int
SELECT uid, mid, exp, name, model_type, source_run, status, lifecycle, artifact_uri, create_ms, update_ms
FROM logged_model WHERE mid = $1;

-- name: logged_model_of_experiment :many
-- in: exp int
-- out: uid int, mid text, exp int, name text, model_type text?, source_run text?, status int, lifecycle int, artifact_uri text, create_ms int, update_ms int
SELECT uid, mid, exp, name, model_type, source_run, status, lifecycle, artifact_uri, create_ms, update_ms
FROM logged_model WHERE exp = $1 AND lifecycle = 0 ORDER BY create_ms DESC, uid DESC;

-- name: logged_model_set_status :exec
-- in: uid int, status int, now_ms int
UPDATE logged_model SET status = $2, update_ms = $3 WHERE uid = $1;

-- name: logged_model_set_lifecycle :exec
-- in: uid int, lifecycle int, now_ms int
UPDATE logged_model SET lifecycle = $2, update_ms = $3 WHERE uid = $1;

-- name: model_series_insert :exec
-- in: uid int, model int, rid text, dataset_name text, dataset_digest text
INSERT INTO model_series (uid, model, rid, dataset_name, dataset_digest) VALUES ($1, $2, $3, $4, $5);

-- name: model_series_find :one
-- in: model int, rid text, dataset_name text, dataset_digest text
-- out: uid int
SELECT uid FROM model_series WHERE model = $1 AND rid = $2 AND dataset_name = $3 AND dataset_digest = $4;

-- name: model_series_of_model :many
-- in: model int
-- out: uid int, rid text, dataset_name text, dataset_digest text
SELECT uid, rid, dataset_name, dataset_digest FROM model_series WHERE model = $1 ORDER BY uid;

-- name: logged_model_list :many
-- in: exp int, lifecycle int, before_ms int, before_uid int, max int
-- out: uid int, mid text, name text, model_type text?, source_run text?, status int, artifact_uri text, create_ms int, update_ms int
SELECT uid, mid, name, model_type, source_run, status, artifact_uri, create_ms, update_ms
FROM logged_model WHERE exp = $1 AND lifecycle = $2 AND (create_ms, uid) < ($3, $4) ORDER BY create_ms DESC, uid DESC LIMIT $5;

-- name: models_of_run :many
-- in: run int
-- out: uid int, mid text, name text, status int, artifact_uri text, update_ms int, step text?
SELECT m.uid, m.mid, m.name, m.status, m.artifact_uri, m.update_ms, t.value FROM edge e JOIN logged_model m ON m.uid = e.dst
LEFT JOIN edge_tag t ON t.src = e.src AND t.dst = e.dst AND t.role = e.role AND t.key = 'mlflow.step'
WHERE e.src = $1 AND e.role = 4 AND m.lifecycle = 0 ORDER BY e.ms, m.uid;

-- name: model_is_of_run :one
-- in: run int, model int
-- out: model int
SELECT dst FROM edge WHERE src = $1 AND dst = $2 AND role = 4;
