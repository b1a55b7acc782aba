-- typed.sql - nodes of declared types (core/typed): namespaces, types, nodes, and how they hang together. Lists are store/graph/nodelist.c.

-- name: ns_find :one
-- in: name text
-- out: id int
SELECT id FROM ns WHERE name = $1;

-- name: ns_insert :exec
-- in: id int, name text
INSERT INTO ns (id, name) VALUES ($1, $2);

-- name: type_insert :exec
-- in: id int, ns int, kind int, shown int, name text, version text, base int, description text?, external_id text?, input blob?, output blob?
INSERT INTO type (id, ns, kind, shown, name, version, base, description, external_id, input, output)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: type_set_external :exec
-- in: id int, external_id text
UPDATE type SET external_id = $2 WHERE id = $1;

-- name: type_set_base :exec
-- in: id int, base int
UPDATE type SET base = $2 WHERE id = $1;

-- name: type_named :one
-- in: ns int, kind int, name text, version text
-- out: id int, shown int, name text, version text, base int, description text?, external_id text?, input blob?, output blob?
SELECT id, shown, name, version, base, description, external_id, input, output FROM type
WHERE ns IN ($1, -1) AND kind = $2 AND name = $3 AND version = $4 AND shown > 0 ORDER BY shown LIMIT 1;

-- name: type_numbered :one
-- in: ns int, kind int, shown int
-- out: id int, shown int, name text, version text, base int, description text?, external_id text?, input blob?, output blob?
SELECT id, shown, name, version, base, description, external_id, input, output FROM type
WHERE ns IN ($1, -1) AND kind = $2 AND shown = $3 AND shown > 0 LIMIT 1;

-- name: type_external :one
-- in: ns int, kind int, external_id text
-- out: id int, shown int, name text, version text, base int, description text?, external_id text?, input blob?, output blob?
SELECT id, shown, name, version, base, description, external_id, input, output FROM type
WHERE ns = $1 AND kind = $2 AND external_id = $3;

-- lowest 10: without those that every namespace has.
-- name: type_list :many
-- in: ns int, kind int, lowest int
-- out: id int, shown int, name text, version text, base int, description text?, external_id text?, input blob?, output blob?
SELECT id, shown, name, version, base, description, external_id, input, output FROM type
WHERE ns IN ($1, -1) AND kind = $2 AND shown >= $3 ORDER BY shown;

-- name: type_props :many
-- in: type int
-- out: key text, vtype int
SELECT key, vtype FROM type_prop WHERE type = $1 ORDER BY key;

-- name: type_prop_insert :exec
-- in: type int, key text, vtype int
INSERT INTO type_prop (type, key, vtype) VALUES ($1, $2, $3);

-- name: typed_node_rows :rows
-- in: uid int, ns int, kind int, id int, type_id int, name text?, uri text?, flags int, create_ms int, update_ms int
INSERT INTO node (uid, ns, kind, id, type_id, name, uri, flags, create_ms, update_ms) {rows};

-- name: typed_node_update :exec
-- in: uid int, name text?, uri text?, flags int, now_ms int
UPDATE node SET name = $2, uri = $3, flags = $4, update_ms = $5 WHERE uid = $1;

-- A node with its properties, one a row, by its number, its uid, or what identifies it.
-- name: typed_whole :many
-- in: ns int, kind int, id int
-- out: uid int, kind int, id int, type_id int, shown int, type_name text, name text?, uri text?, flags int, create_ms int, update_ms int, external_id blob?, scope int?, key text?, vtype int?, i int?, d real?, s text?, b blob?
SELECT n.uid, n.kind, n.id, n.type_id, t.shown, t.name, n.name, n.uri, n.flags, n.create_ms, n.update_ms,
       (SELECT x.key FROM ident x WHERE x.uid = n.uid AND x.scheme = 11 + n.kind), p.scope, p.key, p.vtype, p.i, p.d, p.s, p.b
FROM node n JOIN type t ON t.id = n.type_id LEFT JOIN prop p ON p.uid = n.uid AND p.scope < 2
WHERE n.ns = $1 AND n.kind = $2 AND n.id = $3 AND n.type_id > 100 ORDER BY p.scope, p.key;

-- name: typed_whole_of_uid :many
-- in: uid int
-- out: uid int, kind int, id int, type_id int, shown int, type_name text, name text?, uri text?, flags int, create_ms int, update_ms int, external_id blob?, scope int?, key text?, vtype int?, i int?, d real?, s text?, b blob?
SELECT n.uid, n.kind, n.id, n.type_id, t.shown, t.name, n.name, n.uri, n.flags, n.create_ms, n.update_ms,
       (SELECT x.key FROM ident x WHERE x.uid = n.uid AND x.scheme = 11 + n.kind), p.scope, p.key, p.vtype, p.i, p.d, p.s, p.b
FROM node n JOIN type t ON t.id = n.type_id LEFT JOIN prop p ON p.uid = n.uid AND p.scope < 2
WHERE n.uid = $1 AND n.type_id > 100 ORDER BY p.scope, p.key;

-- name: typed_whole_of_ident :many
-- in: ns int, scheme int, key blob
-- out: uid int, kind int, id int, type_id int, shown int, type_name text, name text?, uri text?, flags int, create_ms int, update_ms int, external_id blob?, scope int?, key text?, vtype int?, i int?, d real?, s text?, b blob?
SELECT n.uid, n.kind, n.id, n.type_id, t.shown, t.name, n.name, n.uri, n.flags, n.create_ms, n.update_ms,
       (SELECT x.key FROM ident x WHERE x.uid = n.uid AND x.scheme = 11 + n.kind), p.scope, p.key, p.vtype, p.i, p.d, p.s, p.b
FROM ident i JOIN node n ON n.uid = i.uid JOIN type t ON t.id = n.type_id LEFT JOIN prop p ON p.uid = n.uid AND p.scope < 2
WHERE i.ns = $1 AND i.scheme = $2 AND i.key = $3 AND n.type_id > 100 ORDER BY p.scope, p.key;

-- name: typed_uid :one
-- in: ns int, kind int, id int
-- out: uid int
SELECT uid FROM node WHERE ns = $1 AND kind = $2 AND id = $3 AND type_id > 100;

-- name: typed_props :many
-- in: uid int
-- out: uid int, scope int, key text, vtype int, i int?, d real?, s text?, b blob?
SELECT uid, scope, key, vtype, i, d, s, b FROM prop WHERE uid = $1 AND scope < 2 ORDER BY scope, key;

-- name: typed_props_of_many :many
-- in: uids int[]
-- out: uid int, scope int, key text, vtype int, i int?, d real?, s text?, b blob?
SELECT uid, scope, key, vtype, i, d, s, b FROM prop WHERE uid {in:$1} AND scope < 2 ORDER BY uid, scope, key;

-- name: typed_prop_insert :exec
-- in: uid int, scope int, key text, vtype int, i int?, d real?, s text?, b blob?
INSERT INTO prop (uid, scope, key, vtype, i, d, s, b) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (uid, scope, key) DO UPDATE SET vtype = excluded.vtype, i = excluded.i, d = excluded.d, s = excluded.s, b = excluded.b;

-- name: typed_prop_log :exec
-- in: uid int, scope int, key text, vtype int, i int?, d real?, s text?, b blob?, who text, now_ms int
INSERT INTO prop_log (uid, scope, key, vtype, i, d, s, b, who, claimed_ms, seen_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10);

-- Properties that are not there yet.
-- name: typed_prop_rows :rows
-- in: uid int, scope int, key text, vtype int, i int?, d real?, s text?, b blob?
INSERT INTO prop (uid, scope, key, vtype, i, d, s, b) {rows};

-- All that nodes have which are not older than a node, as it is now.
-- name: typed_prop_log_made :exec
-- in: first int, last int, who text, now_ms int
INSERT INTO prop_log (uid, scope, key, vtype, i, d, s, b, who, claimed_ms, seen_ms)
SELECT uid, scope, key, vtype, i, d, s, b, CAST($3 AS text), CAST($4 AS bigint), CAST($4 AS bigint) FROM prop
WHERE uid BETWEEN $1 AND $2 ORDER BY uid, scope, key;

-- name: typed_edge_rows :rowsn
-- in: src int, dst int, role int, path blob?, ms int
INSERT INTO edge (src, dst, role, path, ms) {rows} ON CONFLICT (src, dst, role) DO NOTHING;

-- name: typed_edge_log_rows :rows
-- in: op int, src int, dst int, role int, path blob?, claimed_ms int, seen_ms int
INSERT INTO edge_log (op, src, dst, role, path, claimed_ms, seen_ms) {rows};

-- name: typed_member_rows :rows
-- in: ctx int, node int, role int
INSERT INTO member (ctx, node, role) {rows};

-- name: typed_member_log_rows :rows
-- in: op int, ctx int, node int, role int, claimed_ms int, seen_ms int
INSERT INTO member_log (op, ctx, node, role, claimed_ms, seen_ms) {rows};

-- Events in the order in which they were put; artifacts and executions by their numbers.
-- name: typed_events_into :many
-- in: dst int
-- out: src int, dst int, role int, path blob?, ms int, src_id int, dst_id int, seq int
SELECT e.src, e.dst, e.role, e.path, e.ms, s.id, d.id, l.seq FROM edge e
JOIN node s ON s.uid = e.src JOIN node d ON d.uid = e.dst
JOIN edge_log l ON l.src = e.src AND l.dst = e.dst AND l.role = e.role AND l.op = 1
WHERE e.dst = $1 AND s.type_id > 100 AND d.type_id > 100 ORDER BY l.seq;

-- name: typed_events_from :many
-- in: src int
-- out: src int, dst int, role int, path blob?, ms int, src_id int, dst_id int, seq int
SELECT e.src, e.dst, e.role, e.path, e.ms, s.id, d.id, l.seq FROM edge e
JOIN node s ON s.uid = e.src JOIN node d ON d.uid = e.dst
JOIN edge_log l ON l.src = e.src AND l.dst = e.dst AND l.role = e.role AND l.op = 1
WHERE e.src = $1 AND s.type_id > 100 AND d.type_id > 100 ORDER BY l.seq;

-- Contexts of an artifact or an execution (role 6), parents and children of a context (role 3).
-- name: typed_contexts_of :many
-- in: node int
-- out: uid int
SELECT m.ctx FROM member m JOIN node n ON n.uid = m.ctx WHERE m.node = $1 AND m.role = 6 ORDER BY n.id;

-- name: typed_parents_of :many
-- in: child int
-- out: uid int
SELECT p.parent FROM parent p JOIN node n ON n.uid = p.parent WHERE p.child = $1 AND p.role = 3 ORDER BY n.id;

-- name: typed_children_of :many
-- in: parent int
-- out: uid int
SELECT p.child FROM parent p JOIN node n ON n.uid = p.child WHERE p.parent = $1 AND p.role = 3 ORDER BY n.id;

-- Whether a context is an ancestor of another, or it itself.
-- name: typed_is_ancestor :one
-- in: above int, below int
-- out: found int
WITH RECURSIVE d(n) AS (
    SELECT CAST($2 AS bigint)
    UNION
    SELECT p.parent FROM d JOIN parent p ON p.child = d.n WHERE p.role = 3
)
SELECT COUNT(*) FROM d WHERE n = $1;

-- Events out of many nodes and into them, with the number and the kind of the other end; below: 8 = also those of other protocols. The plus signs keep an engine from beginning with all
-- nodes of the namespace.
-- name: typed_links_from :many
-- in: uids int[], ns int, below int
-- out: src int, dst int, role int, path blob?, ms int, id int, kind int
SELECT e.src, e.dst, e.role, e.path, e.ms, n.id, n.kind FROM edge e JOIN node n ON n.uid = e.dst
WHERE e.src {in:$1} AND e.role BETWEEN 1 AND 7 AND +n.ns = $2 AND (+n.type_id > 100 OR +n.type_id < $3) ORDER BY e.src, e.dst, e.role;

-- name: typed_links_into :many
-- in: uids int[], ns int, below int
-- out: src int, dst int, role int, path blob?, ms int, id int, kind int
SELECT e.src, e.dst, e.role, e.path, e.ms, n.id, n.kind FROM edge e JOIN node n ON n.uid = e.src
WHERE e.dst {in:$1} AND e.role BETWEEN 1 AND 7 AND +n.ns = $2 AND (+n.type_id > 100 OR +n.type_id < $3) ORDER BY e.dst, e.src, e.role;

-- name: typed_contexts_of_many :many
-- in: uids int[], below int
-- out: node int, ctx int, id int
SELECT m.node, m.ctx, n.id FROM member m JOIN node n ON n.uid = m.ctx
WHERE m.node {in:$1} AND m.role = 6 AND (+n.type_id > 100 OR +n.type_id < $2) ORDER BY m.node, m.ctx;
