-- others.sql - nodes of other protocols as ML Metadata sees them where it may (core/typed/others.c): types 1 to 7, in namespace 0.

-- name: other_node :one
-- in: kind int, id int
-- out: uid int, type_id int, name text?, uri text?, create_ms int, update_ms int
SELECT uid, type_id, name, uri, create_ms, update_ms FROM node WHERE ns = 0 AND kind = $1 AND id = $2 AND type_id < 8;

-- name: other_ident :one
-- in: uid int, scheme int
-- out: key blob
SELECT key FROM ident WHERE uid = $1 AND scheme = $2;

-- name: other_digest :one
-- in: uid int
-- out: digest text?
SELECT digest FROM node WHERE uid = $1;

-- Events of a node with those of this namespace, whatever their types are.
-- name: other_events_into :many
-- in: dst int
-- out: src int, dst int, role int, path blob?, ms int, src_id int, dst_id int, seq int
SELECT e.src, e.dst, e.role, e.path, e.ms, s.id, d.id, l.seq FROM edge e
JOIN node s ON s.uid = e.src JOIN node d ON d.uid = e.dst
JOIN edge_log l ON l.src = e.src AND l.dst = e.dst AND l.role = e.role AND l.op = 1
WHERE e.dst = $1 AND e.role BETWEEN 1 AND 7 AND s.ns = d.ns AND s.kind + d.kind = 3 ORDER BY l.seq;

-- name: other_events_from :many
-- in: src int
-- out: src int, dst int, role int, path blob?, ms int, src_id int, dst_id int, seq int
SELECT e.src, e.dst, e.role, e.path, e.ms, s.id, d.id, l.seq FROM edge e
JOIN node s ON s.uid = e.src JOIN node d ON d.uid = e.dst
JOIN edge_log l ON l.src = e.src AND l.dst = e.dst AND l.role = e.role AND l.op = 1
WHERE e.src = $1 AND e.role BETWEEN 1 AND 7 AND s.ns = d.ns AND s.kind + d.kind = 3 ORDER BY l.seq;

-- name: other_number :one
-- in: uid int
-- out: id int
SELECT id FROM node WHERE uid = $1 AND ns = 0 AND type_id < 8;
