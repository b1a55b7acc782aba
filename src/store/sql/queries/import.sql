-- import.sql - what was taken from stores of others (core/typed/import.c).

-- name: import_source_find :one
-- in: ns int, name text
-- out: id int
SELECT id FROM import_source WHERE ns = $1 AND name = $2;

-- name: import_source_insert :exec
-- in: id int, ns int, name text
INSERT INTO import_source (id, ns, name) VALUES ($1, $2, $3);

-- name: import_node_find :one
-- in: source int, kind int, number int
-- out: uid int, id int, stamp int
SELECT m.uid, n.id, m.stamp FROM import_map m JOIN node n ON n.uid = m.uid
WHERE m.source = $1 AND m.kind = $2 AND m.number = $3;

-- kind: of the nodes.
-- name: import_type_find :one
-- in: source int, kind int, number int
-- out: shown int
SELECT t.shown FROM import_map m JOIN type t ON t.id = m.uid
WHERE m.source = $1 AND m.kind = 10 + $2 AND m.number = $3;

-- Kinds: 1 to 3 of nodes, 10 more of their types, 20 the run that an execution became.
-- name: import_map_put :exec
-- in: source int, kind int, number int, uid int, stamp int
INSERT INTO import_map (source, kind, number, uid, stamp) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (source, kind, number) DO UPDATE SET uid = excluded.uid, stamp = excluded.stamp;

-- The run that an execution became (kind 20).
-- name: import_run_find :one
-- in: source int, number int
-- out: run blob, stamp int
SELECT i.key, m.stamp FROM import_map m JOIN ident i ON i.uid = m.uid AND i.scheme = 1
WHERE m.source = $1 AND m.kind = 20 AND m.number = $2;

-- The times of a node that was made elsewhere.
-- name: import_node_times :exec
-- in: uid int, create_ms int, update_ms int
UPDATE node SET create_ms = $2, update_ms = $3 WHERE uid = $1;

-- name: import_number_taken :one
-- in: ns int, kind int, id int
-- out: uid int
SELECT uid FROM node WHERE ns = $1 AND kind = $2 AND id = $3;
