-- artifact.sql - objects (bytes known by their SHA-256), roots and the artifact tree.

-- name: object_get :one
-- in: sha256 blob
-- out: size int, gen int, state int, stage int, recipe blob?, body blob?
SELECT size, gen, state, stage, recipe, body FROM object WHERE sha256 = $1;

-- name: object_all :many
-- in: after blob, max int
-- out: sha256 blob, size int, gen int, state int, recipe blob?
SELECT sha256, size, gen, state, recipe FROM object WHERE sha256 > $1 ORDER BY sha256 LIMIT $2;

-- name: root_get :one
-- in: uri text
-- out: id int, owner int
SELECT id, owner FROM root WHERE uri = $1;

-- name: root_insert :exec
-- in: id int, uri text, owner int
INSERT INTO root (id, uri, owner) VALUES ($1, $2, $3);

-- name: root_range :many
-- in: from_uri text, to_uri text
-- out: id int, uri text
SELECT id, uri FROM root WHERE uri >= $1 AND uri < $2 ORDER BY uri;

-- name: root_first :one
-- in: from_uri text, to_uri text
-- out: uri text
SELECT uri FROM root WHERE uri > $1 AND uri < $2 ORDER BY uri LIMIT 1;

-- name: root_delete :exec
-- in: id int
DELETE FROM root WHERE id = $1;

-- name: artifact_get :one
-- in: root int, dir text, name text
-- out: kind int, size int, object blob?, mtime_ms int
SELECT kind, size, object, mtime_ms FROM artifact WHERE root = $1 AND dir = $2 AND name = $3;

-- name: artifact_put :exec
-- in: root int, dir text, name text, kind int, size int, object blob?, now_ms int
INSERT INTO artifact (root, dir, name, kind, size, object, mtime_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (root, dir, name) DO UPDATE
SET kind = excluded.kind, size = excluded.size, object = excluded.object, mtime_ms = excluded.mtime_ms;

-- name: artifact_ls :many
-- in: root int, dir text, after text, max int
-- out: name text, kind int, size int, object blob?, mtime_ms int
SELECT name, kind, size, object, mtime_ms FROM artifact WHERE root = $1 AND dir = $2 AND name > $3 ORDER BY name LIMIT $4;

-- name: artifact_delete :execrows
-- in: root int, dir text, name text
DELETE FROM artifact WHERE root = $1 AND dir = $2 AND name = $3;

-- name: artifact_delete_below :execrows
-- in: root int, dir text, from_dir text, to_dir text
DELETE FROM artifact WHERE root = $1 AND (dir = $2 OR (dir >= $3 AND dir < $4));

-- name: artifact_delete_root :execrows
-- in: root int
DELETE FROM artifact WHERE root = $1;

-- name: artifact_delete_roots :execrows
-- in: from_uri text, to_uri text
DELETE FROM artifact WHERE root IN (SELECT id FROM root WHERE uri >= $1 AND uri < $2);

-- name: root_delete_range :execrows
-- in: from_uri text, to_uri text
DELETE FROM root WHERE uri >= $1 AND uri < $2;

-- Everything of a root, a folder after the other.
-- name: artifact_all :many
-- in: root int
-- out: dir text, name text, kind int, size int, object blob?, mtime_ms int
SELECT dir, name, kind, size, object, mtime_ms FROM artifact WHERE root = $1 ORDER BY dir, name;

-- name: artifact_named :many
-- in: root int, dir text, from_name text, to_name text
-- out: dir text, name text, kind int, size int, object blob?, mtime_ms int
SELECT dir, name, kind, size, object, mtime_ms FROM artifact WHERE root = $1 AND dir = $2 AND name >= $3 AND name < $4 ORDER BY name;

-- name: artifact_dirs :many
-- in: root int, from_dir text, to_dir text
-- out: dir text, name text, kind int, size int, object blob?, mtime_ms int
SELECT dir, name, kind, size, object, mtime_ms FROM artifact WHERE root = $1 AND dir >= $2 AND dir < $3 ORDER BY dir, name;
