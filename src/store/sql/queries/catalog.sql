-- catalog.sql - nodes by the numbers that are shown, their typed properties, and registered models and versions as nodes.

-- name: node_by_id :one
-- in: kind int, id int
-- out: uid int, type_id int
SELECT uid, type_id FROM node WHERE ns = 0 AND kind = $1 AND id = $2;

-- name: node_row :one
-- in: uid int
-- out: kind int, id int, type_id int, name text?, uri text?, create_ms int, update_ms int
SELECT kind, id, type_id, name, uri, create_ms, update_ms FROM node WHERE uid = $1;

-- name: node_of_types :many
-- in: types int[]
-- out: uid int, id int, type_id int, name text?, uri text?, create_ms int, update_ms int
SELECT uid, id, type_id, name, uri, create_ms, update_ms FROM node WHERE type_id {in:$1} ORDER BY uid;

-- name: node_of_context :many
-- in: ctx int, types int[]
-- out: uid int, id int, type_id int, name text?, uri text?, create_ms int, update_ms int
SELECT n.uid, n.id, n.type_id, n.name, n.uri, n.create_ms, n.update_ms FROM member m JOIN node n ON n.uid = m.node
WHERE m.ctx = $1 AND n.type_id {in:$2} ORDER BY n.uid;

-- name: node_of_parent :many
-- in: parent int, types int[]
-- out: uid int, id int, type_id int, name text?, uri text?, create_ms int, update_ms int
SELECT n.uid, n.id, n.type_id, n.name, n.uri, n.create_ms, n.update_ms FROM parent p JOIN node n ON n.uid = p.child
WHERE p.parent = $1 AND n.type_id {in:$2} ORDER BY n.uid;

-- name: node_touch :exec
-- in: uid int, now_ms int
UPDATE node SET update_ms = $2 WHERE uid = $1;

-- name: node_set_uri :exec
-- in: uid int, uri text
UPDATE node SET uri = $2 WHERE uid = $1;

-- The first context of a kind that a node belongs to.
-- name: node_context :one
-- in: node int, role int
-- out: ctx int
SELECT ctx FROM member WHERE node = $1 AND role = $2 ORDER BY ctx LIMIT 1;

-- name: node_parent :one
-- in: child int, role int
-- out: parent int
SELECT parent FROM parent WHERE child = $1 AND role = $2 LIMIT 1;

-- name: ident_of_node :one
-- in: uid int, scheme int
-- out: key blob
SELECT key FROM ident WHERE uid = $1 AND scheme = $2 LIMIT 1;

-- name: ident_drop :exec
-- in: uid int, scheme int
DELETE FROM ident WHERE uid = $1 AND scheme = $2;

-- name: prop_all :many
-- in: uid int
-- out: scope int, key text, vtype int, i int?, d real?, s text?
SELECT scope, key, vtype, i, d, s FROM prop WHERE uid = $1 AND scope < 2 ORDER BY scope, key;

-- name: prop_set :exec
-- in: uid int, scope int, key text, vtype int, i int?, d real?, s text?
INSERT INTO prop (uid, scope, key, vtype, i, d, s) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (uid, scope, key) DO UPDATE SET vtype = excluded.vtype, i = excluded.i, d = excluded.d, s = excluded.s, b = NULL;

-- name: prop_log_append :exec
-- in: uid int, scope int, key text, vtype int, i int?, d real?, s text?, who text, now_ms int
INSERT INTO prop_log (uid, scope, key, vtype, i, d, s, who, claimed_ms, seen_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9);

-- name: catalog_model :one
-- in: uid int
-- out: id int, name text, description text, create_ms int, update_ms int
SELECT n.id, m.name, m.description, m.create_ms, m.update_ms FROM registered_model m JOIN node n ON n.uid = m.uid
WHERE m.uid = $1;

-- name: catalog_model_all :many
-- out: uid int, id int, name text, description text, create_ms int, update_ms int
SELECT m.uid, n.id, m.name, m.description, m.create_ms, m.update_ms FROM registered_model m JOIN node n ON n.uid = m.uid
ORDER BY m.uid;

-- name: catalog_version :one
-- in: uid int
-- out: id int, label text?, model int, version int, stage int, description text?, source text, storage text, create_ms int, update_ms int
SELECT n.id, n.name, v.model, v.version, v.stage, v.description, v.source, v.storage, v.create_ms, v.update_ms
FROM model_version v JOIN node n ON n.uid = v.uid WHERE v.uid = $1;

-- name: catalog_version_all :many
-- out: uid int, id int, label text?, model int, version int, description text?, create_ms int, update_ms int
SELECT v.uid, n.id, n.name, v.model, v.version, v.description, v.create_ms, v.update_ms
FROM model_version v JOIN node n ON n.uid = v.uid WHERE v.stage < 4 ORDER BY v.uid;

-- name: catalog_versions_of :many
-- in: model int
-- out: uid int, id int, label text?, model int, version int, description text?, create_ms int, update_ms int
SELECT v.uid, n.id, n.name, v.model, v.version, v.description, v.create_ms, v.update_ms
FROM model_version v JOIN node n ON n.uid = v.uid WHERE v.model = $1 AND v.stage < 4 ORDER BY v.uid;

-- name: model_version_source :exec
-- in: uid int, source text, storage text, now_ms int
UPDATE model_version SET source = $2, storage = $3, update_ms = $4 WHERE uid = $1;

-- name: model_version_touch :exec
-- in: uid int, now_ms int
UPDATE model_version SET update_ms = $2 WHERE uid = $1;

-- What belongs to a version alone goes with it (types 8 to 12): of one version, or of all of a model (version 0).
-- name: catalog_owned :many
-- in: model int, version int
-- out: node int
SELECT m.node FROM model_version v JOIN member m ON m.ctx = v.uid JOIN node n ON n.uid = m.node
WHERE v.model = $1 AND (v.version = $2 OR $2 = 0) AND n.type_id BETWEEN 8 AND 12;

-- name: catalog_experiment :one
-- in: uid int
-- out: id int, exp int, name text, lifecycle int, create_ms int, update_ms int, note text?
SELECT n.id, e.id, e.name, e.lifecycle, e.create_ms, e.update_ms,
       (SELECT t.value FROM experiment_tag t WHERE t.exp = e.id AND t.key = 'mlflow.note.content')
FROM experiment e JOIN node n ON n.uid = e.uid WHERE e.uid = $1;

-- name: catalog_experiment_all :many
-- out: uid int, id int, exp int, name text, create_ms int, update_ms int
SELECT e.uid, n.id, e.id, e.name, e.create_ms, e.update_ms FROM experiment e JOIN node n ON n.uid = e.uid
WHERE e.lifecycle = 0 ORDER BY e.uid;

-- name: catalog_experiment_number :one
-- in: exp int
-- out: uid int, id int
SELECT e.uid, n.id FROM experiment e JOIN node n ON n.uid = e.uid WHERE e.id = $1;
