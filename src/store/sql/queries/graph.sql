-- graph.sql - nodes, their identities and properties, edges and memberships.

-- name: counter_next :one
-- in: name text
-- out: value int
INSERT INTO counter (name, value) VALUES ($1, 1)
ON CONFLICT (name) DO UPDATE SET value = counter.value + 1
RETURNING value;

-- name: node_insert :exec
-- in: uid int, ns int, kind int, id int, type_id int, name text?, uri text?, digest text?, now_ms int
INSERT INTO node (uid, ns, kind, id, type_id, name, uri, digest, create_ms, update_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9);

-- name: ident_insert :exec
-- in: ns int, scheme int, key blob, uid int
INSERT INTO ident (ns, scheme, key, uid) VALUES ($1, $2, $3, $4);

-- name: ident_find :one
-- in: ns int, scheme int, key blob
-- out: uid int
SELECT uid FROM ident WHERE ns = $1 AND scheme = $2 AND key = $3;

-- name: prop_set_text :exec
-- in: uid int, scope int, key text, value text
INSERT INTO prop (uid, scope, key, vtype, s) VALUES ($1, $2, $3, 3, $4)
ON CONFLICT (uid, scope, key) DO UPDATE SET vtype = 3, s = excluded.s, i = NULL, d = NULL, b = NULL;

-- name: prop_insert_text :execrows
-- in: uid int, scope int, key text, value text
INSERT INTO prop (uid, scope, key, vtype, s) VALUES ($1, $2, $3, 3, $4)
ON CONFLICT (uid, scope, key) DO NOTHING;

-- name: prop_delete :execrows
-- in: uid int, scope int, key text
DELETE FROM prop WHERE uid = $1 AND scope = $2 AND key = $3;

-- name: prop_texts :many
-- in: uid int, scope int
-- out: key text, value text
SELECT key, s FROM prop WHERE uid = $1 AND scope = $2 AND vtype = 3 ORDER BY key;

-- name: edge_log_append :exec
-- in: op int, src int, dst int, role int, path blob?, claimed_ms int, seen_ms int
INSERT INTO edge_log (op, src, dst, role, path, claimed_ms, seen_ms) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: edge_add :execrows
-- in: src int, dst int, role int, path blob?, ms int
INSERT INTO edge (src, dst, role, path, ms) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (src, dst, role) DO NOTHING;

-- name: edge_tag_set :exec
-- in: src int, dst int, role int, key text, value text
INSERT INTO edge_tag (src, dst, role, key, value) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (dst, src, role, key) DO UPDATE SET value = excluded.value;

-- name: member_log_append :exec
-- in: op int, ctx int, node int, role int, claimed_ms int, seen_ms int
INSERT INTO member_log (op, ctx, node, role, claimed_ms, seen_ms) VALUES ($1, $2, $3, $4, $5, $6);

-- name: member_add :execrows
-- in: ctx int, node int, role int
INSERT INTO member (ctx, node, role) VALUES ($1, $2, $3)
ON CONFLICT (ctx, node, role) DO NOTHING;

-- name: prop_text :one
-- in: uid int, scope int, key text
-- out: value text
SELECT s FROM prop WHERE uid = $1 AND scope = $2 AND key = $3 AND vtype = 3;

-- name: parent_log_append :exec
-- in: op int, child int, parent int, role int, claimed_ms int, seen_ms int
INSERT INTO parent_log (op, child, parent, role, claimed_ms, seen_ms) VALUES ($1, $2, $3, $4, $5, $6);

-- name: parent_add :execrows
-- in: child int, parent int, role int
INSERT INTO parent (child, parent, role) VALUES ($1, $2, $3) ON CONFLICT (child, parent, role) DO NOTHING;

-- name: ident_rename :exec
-- in: ns int, scheme int, uid int, key blob
UPDATE ident SET key = $4 WHERE ns = $1 AND scheme = $2 AND uid = $3;
