-- experiment.sql - experiments and their tags.

-- name: experiment_insert :exec
-- in: id int, uid int, name text, artifact_location text, now_ms int
INSERT INTO experiment (id, uid, name, artifact_location, lifecycle, create_ms, update_ms)
VALUES ($1, $2, $3, $4, 0, $5, $5);

-- name: experiment_get :one
-- in: id int
-- out: id int, uid int, name text, artifact_location text, lifecycle int, create_ms int, update_ms int
SELECT id, uid, name, artifact_location, lifecycle, create_ms, update_ms FROM experiment WHERE id = $1;

-- name: experiment_get_by_name :one
-- in: name text
-- out: id int, uid int, name text, artifact_location text, lifecycle int, create_ms int, update_ms int
SELECT id, uid, name, artifact_location, lifecycle, create_ms, update_ms FROM experiment WHERE name = $1;

-- name: experiment_all :many
-- out: id int, uid int, name text, artifact_location text, lifecycle int, create_ms int, update_ms int
SELECT id, uid, name, artifact_location, lifecycle, create_ms, update_ms FROM experiment ORDER BY id;

-- name: experiment_rename :exec
-- in: id int, name text, now_ms int
UPDATE experiment SET name = $2, update_ms = $3 WHERE id = $1;

-- name: experiment_touch :exec
-- in: id int, now_ms int
UPDATE experiment SET update_ms = $2 WHERE id = $1;

-- name: experiment_set_lifecycle :exec
-- in: id int, lifecycle int, now_ms int
UPDATE experiment SET lifecycle = $2, update_ms = $3 WHERE id = $1;

-- name: experiment_tag_set :exec
-- in: exp int, key text, value text
INSERT INTO experiment_tag (exp, key, value) VALUES ($1, $2, $3)
ON CONFLICT (exp, key) DO UPDATE SET value = excluded.value;

-- name: experiment_tag_delete :execrows
-- in: exp int, key text
DELETE FROM experiment_tag WHERE exp = $1 AND key = $2;

-- name: experiment_tags :many
-- in: exp int
-- out: key text, value text
SELECT key, value FROM experiment_tag WHERE exp = $1 ORDER BY key;

-- name: experiment_tags_all :many
-- out: exp int, key text, value text
SELECT exp, key, value FROM experiment_tag ORDER BY exp, key;
