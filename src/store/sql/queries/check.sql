-- check.sql - what must hold between rows; each query names the rows that break one rule (core/check.h).

-- name: check_run_node :many
-- out: what text
SELECT 'runhead ' || h.rid FROM runhead h LEFT JOIN node n ON n.uid = h.run AND n.type_id = 2 AND n.kind = 2
WHERE n.uid IS NULL LIMIT 100;

-- name: check_run_ident :many
-- out: what text
SELECT 'runhead ' || h.rid FROM runhead h
WHERE NOT EXISTS (SELECT 1 FROM ident i WHERE i.uid = h.run AND i.ns = 0 AND i.scheme = 1) LIMIT 100;

-- name: check_node_run :many
-- out: what text
SELECT 'node ' || CAST(n.uid AS text) FROM node n LEFT JOIN runhead h ON h.run = n.uid
WHERE n.type_id = 2 AND h.run IS NULL LIMIT 100;

-- name: check_run_experiment :many
-- out: what text
SELECT 'runhead ' || h.rid FROM runhead h LEFT JOIN experiment e ON e.id = h.exp
WHERE e.id IS NULL AND NOT EXISTS (SELECT 1 FROM purge_experiment p WHERE p.exp = h.exp) LIMIT 100;

-- name: check_experiment_node :many
-- out: what text
SELECT 'experiment ' || CAST(e.id AS text) FROM experiment e LEFT JOIN node n ON n.uid = e.uid AND n.type_id = 1
WHERE n.uid IS NULL LIMIT 100;

-- name: check_ident_node :many
-- out: what text
SELECT 'ident of node ' || CAST(i.uid AS text) FROM ident i LEFT JOIN node n ON n.uid = i.uid
WHERE n.uid IS NULL AND NOT EXISTS (SELECT 1 FROM tombstone t WHERE t.uid = i.uid) LIMIT 100;

-- name: check_node_ident :many
-- out: what text
SELECT 'node ' || CAST(n.uid AS text) FROM node n
WHERE n.type_id <= 4 AND NOT EXISTS (SELECT 1 FROM ident i WHERE i.uid = n.uid) LIMIT 100;

-- name: check_edge_node :many
-- out: what text
SELECT 'edge ' || CAST(e.src AS text) || ' -> ' || CAST(e.dst AS text) FROM edge e
WHERE NOT EXISTS (SELECT 1 FROM node n WHERE n.uid = e.src) AND NOT EXISTS (SELECT 1 FROM tombstone t WHERE t.uid = e.src)
   OR NOT EXISTS (SELECT 1 FROM node n WHERE n.uid = e.dst) AND NOT EXISTS (SELECT 1 FROM tombstone t WHERE t.uid = e.dst)
LIMIT 100;

-- name: check_edge_log :many
-- out: what text
SELECT 'edge ' || CAST(e.src AS text) || ' -> ' || CAST(e.dst AS text) FROM edge e
WHERE COALESCE((SELECT l.op FROM edge_log l WHERE l.src = e.src AND l.dst = e.dst AND l.role = e.role
                ORDER BY l.seq DESC LIMIT 1), 2) <> 1 LIMIT 100;

-- name: check_edge_tag :many
-- out: what text
SELECT 'edge_tag ' || t.key || ' of ' || CAST(t.src AS text) || ' -> ' || CAST(t.dst AS text) FROM edge_tag t
WHERE NOT EXISTS (SELECT 1 FROM edge e WHERE e.src = t.src AND e.dst = t.dst AND e.role = t.role) LIMIT 100;

-- name: check_member_node :many
-- out: what text
SELECT 'member ' || CAST(m.node AS text) || ' of ' || CAST(m.ctx AS text) FROM member m
WHERE NOT EXISTS (SELECT 1 FROM node n WHERE n.uid = m.node) AND NOT EXISTS (SELECT 1 FROM tombstone t WHERE t.uid = m.node)
   OR NOT EXISTS (SELECT 1 FROM node n WHERE n.uid = m.ctx) AND NOT EXISTS (SELECT 1 FROM tombstone t WHERE t.uid = m.ctx)
LIMIT 100;

-- name: check_model_node :many
-- out: what text
SELECT 'logged_model ' || m.mid FROM logged_model m LEFT JOIN node n ON n.uid = m.uid AND n.type_id = 4
WHERE n.uid IS NULL LIMIT 100;

-- name: check_model_experiment :many
-- out: what text
SELECT 'logged_model ' || m.mid FROM logged_model m LEFT JOIN experiment e ON e.id = m.exp
WHERE e.id IS NULL AND NOT EXISTS (SELECT 1 FROM purge_experiment p WHERE p.exp = m.exp) LIMIT 100;

-- name: check_series_model :many
-- out: what text
SELECT 'model_series ' || CAST(s.uid AS text) FROM model_series s LEFT JOIN logged_model m ON m.uid = s.model
WHERE m.uid IS NULL LIMIT 100;

-- name: check_pack_owner :many
-- out: what text
SELECT DISTINCT 'pack of owner ' || CAST(p.owner AS text) FROM pack p
WHERE NOT EXISTS (SELECT 1 FROM runhead h WHERE h.run = p.owner)
  AND NOT EXISTS (SELECT 1 FROM model_series s WHERE s.uid = p.owner)
  AND NOT EXISTS (SELECT 1 FROM purge u WHERE u.owner = p.owner) LIMIT 100;

-- name: check_chunk_owner :many
-- out: what text
SELECT DISTINCT 'chunk of owner ' || CAST(c.owner AS text) FROM chunk c
WHERE NOT EXISTS (SELECT 1 FROM runhead h WHERE h.run = c.owner)
  AND NOT EXISTS (SELECT 1 FROM model_series s WHERE s.uid = c.owner)
  AND NOT EXISTS (SELECT 1 FROM purge u WHERE u.owner = c.owner) LIMIT 100;

-- name: check_chunk_body :many
-- out: what text
SELECT 'body ' || CAST(b.id AS text) || ' of no chunk' FROM chunk_body b
WHERE b.id NOT IN (SELECT c.id FROM chunk c) LIMIT 100;

-- name: check_chunk_id :many
-- out: what text
SELECT 'chunks share body ' || CAST(id AS text) FROM chunk GROUP BY id HAVING COUNT(*) > 1 LIMIT 100;

-- name: check_pack_folded :many
-- out: what text
SELECT DISTINCT 'runhead ' || h.rid FROM pack p JOIN runhead h ON h.run = p.owner
WHERE p.w0 > h.ver AND p.w0 <= (SELECT folded FROM part WHERE part = 0) LIMIT 100;

-- name: check_drain :many
-- out: what text
SELECT 'pack ' || CAST(w0 AS text) || ' of owner ' || CAST(owner AS text) FROM pack
WHERE w0 > (SELECT drain FROM part WHERE part = 0) LIMIT 100;

-- name: check_counter :many
-- out: what text
SELECT 'counter node:0:' || CAST(n.kind AS text) FROM node n
WHERE n.ns = 0 GROUP BY n.kind
HAVING MAX(n.id) > COALESCE(MAX((SELECT c.value FROM counter c WHERE c.name = 'node:0:' || CAST(n.kind AS text))), 0);

-- name: check_artifact_object :many
-- out: what text
SELECT 'artifact ' || CAST(a.root AS text) || ' ' || a.dir || '/' || a.name FROM artifact a
WHERE a.kind = 1 AND a.object IS NOT NULL AND NOT EXISTS (SELECT 1 FROM object o WHERE o.sha256 = a.object) LIMIT 100;

-- name: check_artifact_root :many
-- out: what text
SELECT 'artifact ' || CAST(a.root AS text) || ' ' || a.dir || '/' || a.name FROM artifact a
WHERE NOT EXISTS (SELECT 1 FROM root r WHERE r.id = a.root) LIMIT 100;

-- name: check_object_bytes :many
-- out: what text
SELECT 'object of ' || CAST(size AS text) || ' bytes' FROM object
WHERE recipe IS NULL AND body IS NULL OR body IS NOT NULL AND LENGTH(body) <> size LIMIT 100;

-- name: check_run_rows :many
-- in: run int, max int
-- out: run int, exp int, rid text, name text, user_id text, status int, lifecycle int, start_ms int, end_ms int?, create_ms int, deleted_ms int?, artifact_uri text, ver int, body blob
SELECT run, exp, rid, name, user_id, status, lifecycle, start_ms, end_ms, create_ms, deleted_ms, artifact_uri, ver, body
FROM runhead WHERE run > $1 ORDER BY run LIMIT $2;

-- name: check_pack_rows :many
-- in: owner int, w0 int, max int
-- out: owner int, w0 int, n int, body blob
SELECT owner, w0, n, body FROM pack WHERE (owner, w0) > ($1, $2) ORDER BY owner, w0 LIMIT $3;

-- name: check_chunk_rows :many
-- in: owner int, key int, lvl int, t0 int, c int, last int, max int
-- out: owner int, key int, lvl int, t0 int, c int, t1 int, s0 int, s1 int, n int, nnan int, flags int, vmin real?, smin int, tmin int, vmax real?, smax int, tmax int, vsum real?, vfirst real?, vlast real?, id int, body blob?
SELECT owner, key, lvl, t0, c, t1, s0, s1, n, nnan, flags, vmin, smin, tmin, vmax, smax, tmax, vsum, vfirst, vlast, chunk.id, body
FROM chunk LEFT JOIN chunk_body ON chunk_body.id = chunk.id WHERE (owner, key, lvl, t0, c) > ($1, $2, $3, $4, $5) AND owner <= $6 ORDER BY owner, key, lvl, t0, c LIMIT $7;

-- name: check_rid :one
-- in: run int
-- out: rid text, name text
SELECT rid, name FROM runhead WHERE run = $1;

-- Search columns at rest, experiment by experiment, segment by segment.

-- name: check_colkey_exp :one
-- in: exp int
-- out: exp int?
SELECT MIN(exp) FROM colkey WHERE exp > $1;

-- name: check_colseg :one
-- in: exp int, kind int, id int, seg int
-- out: rows int, present int, nan int, vmin int, vmax int, body blob
SELECT nrows, npresent, nnan, vmin, vmax, body FROM colseg WHERE exp = $1 AND kind = $2 AND id = $3 AND seg = $4;

-- name: check_colseg_next :one
-- in: exp int, kind int, id int, seg int
-- out: seg int?
SELECT MIN(seg) FROM colseg WHERE exp = $1 AND kind = $2 AND id = $3 AND seg > $4;

-- Owners of packs that their rows may not have taken in.

-- name: check_pack_newer :many
-- in: w0 int
-- out: owner int
SELECT DISTINCT owner FROM pack WHERE w0 > $1;
