-- columns.sql - lineage by column: which columns have a node, what was said of them, and what the graph's memory is filled from.

-- name: field_find :one
-- in: ds int, name text
-- out: uid int
SELECT uid FROM field WHERE ds = $1 AND name = $2;

-- name: field_insert :exec
-- in: ds int, name text, uid int, ms int
INSERT INTO field (ds, name, uid, ms) VALUES ($1, $2, $3, $4);

-- name: column_edge_add :execrows
-- in: src_ds int, src_field text, dst_ds int, dst_field text, via int, kind text, ms int, src int, dst int
INSERT INTO column_edge (src_ds, src_field, dst_ds, dst_field, via, kind, ms, src, dst)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (dst, src, via, kind) DO NOTHING;

-- name: column_edge_delete :execrows
-- in: src int, dst int, via int, kind text
DELETE FROM column_edge WHERE dst = $2 AND src = $1 AND via = $3 AND kind = $4;

-- name: column_edge_log_append :exec
-- in: op int, src_ds int, src_field text, dst_ds int, dst_field text, via int, kind text, claimed_ms int, seen_ms int, src int, dst int
INSERT INTO column_edge_log (op, src_ds, src_field, dst_ds, dst_field, via, kind, claimed_ms, seen_ms, src, dst)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- What one run made of a column still stands for some other reason.
-- name: column_edge_said :one
-- in: dst int, via int
-- out: n int
SELECT count(*) FROM column_edge WHERE dst = $1 AND via = $2;

-- The same pair in the same way, by any run.
-- name: column_edge_pair :one
-- in: src int, dst int, kind text
-- out: n int
SELECT count(*) FROM column_edge WHERE dst = $2 AND src = $1 AND kind = $3;

-- Whether `wanted` is made of `from`, over any columns between.
-- name: column_leads_to :one
-- in: from int, wanted int
-- out: n int
WITH RECURSIVE d(n) AS (SELECT CAST($1 AS BIGINT) UNION SELECT e.dst FROM d JOIN column_edge e ON e.src = d.n WHERE e.kind <> 'use')
SELECT count(*) FROM d WHERE n = $2;

-- name: lineage_columns :many
-- in: after int
-- out: seq int, op int, src int, dst int, kind text, claimed_ms int, seen_ms int
SELECT seq, op, src, dst, kind, claimed_ms, seen_ms FROM column_edge_log WHERE seq > $1 ORDER BY seq;

-- name: lineage_column_at :one
-- in: seq int
-- out: op int, src int, dst int, claimed_ms int, seen_ms int
SELECT op, src, dst, claimed_ms, seen_ms FROM column_edge_log WHERE seq = $1;

-- name: lineage_fields :many
-- in: uids int[]
-- out: uid int, name text, ms int, dataset text?, digest text?, gone text?
SELECT f.uid, f.name, f.ms, n.name, n.digest, t.ref FROM field f LEFT JOIN node n ON n.uid = f.ds
LEFT JOIN tombstone t ON t.uid = f.ds WHERE f.uid {in:$1};

-- name: edge_stands :one
-- in: src int, dst int, role int
-- out: ms int
SELECT ms FROM edge WHERE src = $1 AND dst = $2 AND role = $3;
