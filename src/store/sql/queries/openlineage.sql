-- openlineage.sql - events of OpenLineage and what they say (core/openlineage).

-- name: ol_events_known :many
-- in: h int[]
-- out: h int, h2 int
SELECT h, h2 FROM ol_event WHERE h {in:$1};

-- name: ol_event_insert :exec
-- in: seq int, h int, h2 int, event_us int, kind int, type int, run int, job int, dataset int
INSERT INTO ol_event (seq, h, h2, event_us, kind, type, run, job, dataset) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: ol_pack_insert :exec
-- in: first int, n int, raw_n int, body blob
INSERT INTO ol_pack (first, n, raw_n, body) VALUES ($1, $2, $3, $4);

-- name: ol_pack_of :one
-- in: seq int
-- out: first int, n int, raw_n int, body blob
SELECT first, n, raw_n, body FROM ol_pack WHERE first <= $1 ORDER BY first DESC LIMIT 1;

-- Events by time; a page begins behind (after_us, after).
-- name: ol_events_up :many
-- in: from_us int, until_us int, after_us int, after int, max int
-- out: seq int, event_us int, kind int
SELECT seq, event_us, kind FROM ol_event WHERE event_us >= $1 AND event_us < $2 AND (event_us, seq) > ($3, $4)
ORDER BY event_us, seq LIMIT $5;

-- name: ol_events_down :many
-- in: from_us int, until_us int, after_us int, after int, max int
-- out: seq int, event_us int, kind int
SELECT seq, event_us, kind FROM ol_event WHERE event_us >= $1 AND event_us < $2 AND (event_us, seq) < ($3, $4)
ORDER BY event_us DESC, seq DESC LIMIT $5;

-- name: ol_value_insert :exec
-- in: h int, h2 int, raw_n int, body blob
INSERT INTO ol_value (h, h2, raw_n, body) VALUES ($1, $2, $3, $4) ON CONFLICT (h, h2) DO NOTHING;

-- name: ol_value_get :one
-- in: h int, h2 int
-- out: raw_n int, body blob
SELECT raw_n, body FROM ol_value WHERE h = $1 AND h2 = $2;

-- name: ol_node_insert :exec
-- in: uid int, ns int, kind int, type_id int, name text?, now_ms int
INSERT INTO node (uid, ns, kind, id, type_id, name, create_ms, update_ms) VALUES ($1, $2, $3, $1, $4, $5, $6, $6);

-- name: ol_ns_get :one
-- in: name text
-- out: uid int, create_us int, update_us int
SELECT uid, create_us, update_us FROM ol_ns WHERE name = $1;

-- name: ol_ns_put :exec
-- in: uid int, name text, create_us int, update_us int
INSERT INTO ol_ns (uid, name, create_us, update_us) VALUES ($1, $2, $3, $4)
ON CONFLICT (uid) DO UPDATE SET create_us = excluded.create_us, update_us = excluded.update_us;

-- name: ol_job_get :one
-- in: ns int, name text
-- out: uid int, create_us int, update_us int, run int, body blob
SELECT uid, create_us, update_us, run, body FROM ol_job WHERE ns = $1 AND name = $2;

-- name: ol_job_put :exec
-- in: uid int, ns int, name text, create_us int, update_us int, run int, body blob
INSERT INTO ol_job (uid, ns, name, create_us, update_us, run, body) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (uid) DO UPDATE SET create_us = excluded.create_us, update_us = excluded.update_us, run = excluded.run, body = excluded.body;

-- name: ol_dataset_get :one
-- in: ns int, name text
-- out: uid int, create_us int, update_us int, body blob
SELECT uid, create_us, update_us, body FROM ol_dataset WHERE ns = $1 AND name = $2;

-- name: ol_dataset_put :exec
-- in: uid int, ns int, name text, create_us int, update_us int, body blob
INSERT INTO ol_dataset (uid, ns, name, create_us, update_us, body) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (uid) DO UPDATE SET create_us = excluded.create_us, update_us = excluded.update_us, body = excluded.body;

-- name: ol_run_get :one
-- in: ns int, scheme int, rid blob
-- out: uid int, text text?, job int, state int, create_us int, update_us int, start_us int?, end_us int?, nominal_start_us int?, nominal_end_us int?, parent int, parent_job int, root int, body blob
SELECT r.uid, r.text, r.job, r.state, r.create_us, r.update_us, r.start_us, r.end_us, r.nominal_start_us, r.nominal_end_us, r.parent,
       r.parent_job, r.root, r.body
FROM ident i JOIN ol_run r ON r.uid = i.uid WHERE i.ns = $1 AND i.scheme = $2 AND i.key = $3;

-- name: ol_run_put :exec
-- in: uid int, rid blob, text text?, job int, state int, create_us int, update_us int, start_us int?, end_us int?, nominal_start_us int?, nominal_end_us int?, parent int, parent_job int, root int, body blob
INSERT INTO ol_run (uid, rid, text, job, state, create_us, update_us, start_us, end_us, nominal_start_us, nominal_end_us, parent, parent_job, root, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT (uid) DO UPDATE SET text = excluded.text, job = excluded.job, state = excluded.state, create_us = excluded.create_us,
    update_us = excluded.update_us, start_us = excluded.start_us, end_us = excluded.end_us,
    nominal_start_us = excluded.nominal_start_us, nominal_end_us = excluded.nominal_end_us, parent = excluded.parent,
    parent_job = excluded.parent_job, root = excluded.root, body = excluded.body;

-- One that has a name, or the one before any; those of a run's own are known by their uid.
-- name: ol_version_of_ord :one
-- in: dataset int, ord int
-- out: uid int, live int, event_us int, body blob
SELECT uid, live, event_us, body FROM ol_version WHERE dataset = $1 AND ord = $2 AND run = 0;

-- name: ol_version_of_uid :one
-- in: uid int
-- out: live int, event_us int, body blob
SELECT live, event_us, body FROM ol_version WHERE uid = $1;

-- name: ol_version_put :exec
-- in: uid int, dataset int, live int, event_us int, ord int, run int, name text?, body blob
INSERT INTO ol_version (uid, dataset, live, event_us, ord, run, name, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (uid) DO UPDATE SET live = excluded.live, event_us = excluded.event_us, body = excluded.body;

-- The newest versions that were known at a time.
-- name: ol_versions_before :many
-- in: dataset int, event_us int, max int
-- out: uid int, event_us int, ord int
SELECT uid, event_us, ord FROM ol_version WHERE dataset = $1 AND live = 1 AND event_us <= $2 ORDER BY event_us DESC, ord DESC LIMIT $3;

-- name: ol_versions_after :many
-- in: dataset int, event_us int, ord int, max int
-- out: uid int, event_us int
SELECT uid, event_us FROM ol_version WHERE dataset = $1 AND live = 1 AND (event_us, ord) > ($2, $3) ORDER BY event_us, ord LIMIT $4;

-- name: ol_read_get :one
-- in: run int, dataset int
-- out: event_us int, version int, own int
SELECT event_us, version, own FROM ol_read WHERE run = $1 AND dataset = $2;

-- name: ol_read_put :exec
-- in: run int, dataset int, event_us int, version int, own int
INSERT INTO ol_read (run, dataset, event_us, version, own) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (run, dataset) DO UPDATE SET event_us = excluded.event_us, version = excluded.version, own = excluded.own;

-- name: ol_read_drop :exec
-- in: run int, dataset int
DELETE FROM ol_read WHERE run = $1 AND dataset = $2;

-- name: ol_reads_between :many
-- in: dataset int, from_us int, until_us int
-- out: run int, event_us int, version int, own int
SELECT run, event_us, version, own FROM ol_read WHERE dataset = $1 AND event_us >= $2 AND event_us < $3;

-- name: ol_edge_add :exec
-- in: src int, dst int, role int, ms int
INSERT INTO edge (src, dst, role, ms) VALUES ($1, $2, $3, $4) ON CONFLICT (src, dst, role) DO UPDATE SET ms = excluded.ms;

-- name: ol_edge_drop :exec
-- in: src int, dst int, role int
DELETE FROM edge WHERE src = $1 AND dst = $2 AND role = $3;

-- name: ol_member_add :exec
-- in: ctx int, node int, role int
INSERT INTO member (ctx, node, role) VALUES ($1, $2, $3) ON CONFLICT (ctx, node, role) DO NOTHING;

-- name: ol_member_drop :exec
-- in: ctx int, node int, role int
DELETE FROM member WHERE ctx = $1 AND node = $2 AND role = $3;

-- name: ol_parent_add :exec
-- in: child int, parent int, role int
INSERT INTO parent (child, parent, role) VALUES ($1, $2, $3) ON CONFLICT (child, parent, role) DO NOTHING;

-- name: ol_parent_drop :exec
-- in: child int, parent int, role int
DELETE FROM parent WHERE child = $1 AND parent = $2 AND role = $3;

-- name: ol_io_get :one
-- in: job int, dir int, dataset int
-- out: last_us int, said int
SELECT last_us, said FROM ol_io WHERE job = $1 AND dir = $2 AND dataset = $3;

-- name: ol_io_put :exec
-- in: job int, dir int, dataset int, last_us int, said int
INSERT INTO ol_io (job, dir, dataset, last_us, said) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (job, dir, dataset) DO UPDATE SET last_us = excluded.last_us, said = excluded.said;

-- name: ol_symlinks_drop :exec
-- in: dataset int
DELETE FROM ol_symlink WHERE dataset = $1 AND kind = 1;

-- name: ol_symlink_put :exec
-- in: dataset int, kind int, other int, type text, event_us int
INSERT INTO ol_symlink (dataset, kind, other, type, event_us) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (dataset, kind, other) DO UPDATE SET type = excluded.type,
    event_us = CASE WHEN excluded.event_us < ol_symlink.event_us THEN excluded.event_us ELSE ol_symlink.event_us END;

-- name: ol_columns_get :one
-- in: job int, dataset int
-- out: event_us int, h int, value_h int
SELECT event_us, h, value_h FROM ol_columns WHERE job = $1 AND dataset = $2;

-- name: ol_columns_put :exec
-- in: job int, dataset int, event_us int, h int, value_h int
INSERT INTO ol_columns (job, dataset, event_us, h, value_h) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (job, dataset) DO UPDATE SET event_us = excluded.event_us, h = excluded.h, value_h = excluded.value_h;

-- name: ol_links_drop :exec
-- in: of int
DELETE FROM ol_link WHERE of = $1;

-- name: ol_link_put :exec
-- in: of int, via int, src int, dst int, event_us int
INSERT INTO ol_link (of, via, src, dst, event_us) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (of, via, src, dst) DO NOTHING;

-- name: ol_dataset_name :one
-- in: uid int
-- out: ns text, name text, update_us int
SELECT s.name, d.name, d.update_us FROM ol_dataset d JOIN ol_ns s ON s.uid = d.ns WHERE d.uid = $1;

-- name: ol_newest_read :one
-- in: dataset int
-- out: event_us int
SELECT event_us FROM ol_read WHERE dataset = $1 ORDER BY event_us DESC LIMIT 1;

-- What a job says the columns of a data set were made of.
-- name: ol_column_edges :many
-- in: ds int, via int
-- out: src int, dst int, kind text, src_ds int, src_field text, dst_field text
SELECT e.src, e.dst, e.kind, e.src_ds, e.src_field, e.dst_field FROM field f JOIN column_edge e ON e.dst = f.uid
WHERE f.ds = $1 AND e.via = $2 AND e.kind <> 'use';
