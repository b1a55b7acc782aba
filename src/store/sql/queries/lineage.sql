-- lineage.sql - the graph: what its memory is filled from, finding nodes, and reading many of them.

-- name: lineage_edges :many
-- in: after int
-- out: seq int, op int, src int, dst int, role int, context text?, claimed_ms int, seen_ms int
SELECT e.seq, e.op, e.src, e.dst, e.role, t.value, e.claimed_ms, e.seen_ms FROM edge_log e
LEFT JOIN edge_tag t ON t.dst = e.dst AND t.src = e.src AND t.role = e.role AND t.key = 'mlflow.data.context'
WHERE e.seq > $1 ORDER BY e.seq;

-- Versions that stand for a model; versions of data sets of OpenLineage.
-- name: lineage_members :many
-- in: after int
-- out: seq int, op int, ctx int, node int, role int, claimed_ms int, seen_ms int
SELECT seq, op, ctx, node, role, claimed_ms, seen_ms FROM member_log WHERE seq > $1 AND role IN (2, 8) ORDER BY seq;

-- Registered models of versions; runs that started runs.
-- name: lineage_parents :many
-- in: after int
-- out: seq int, op int, child int, parent int, role int, claimed_ms int, seen_ms int
SELECT seq, op, child, parent, role, claimed_ms, seen_ms FROM parent_log WHERE seq > $1 AND role IN (1, 5) ORDER BY seq;

-- Runs have no row here: what is in a link and in neither of these is a run.
-- name: lineage_types :many
-- in: after int
-- out: uid int, type_id int
SELECT uid, type_id FROM node WHERE uid > $1 ORDER BY uid;

-- name: lineage_gone_types :many
-- in: after int
-- out: uid int, type_id int
SELECT uid, type_id FROM tombstone WHERE uid > $1 ORDER BY uid;

-- name: lineage_datasets_named :many
-- in: name text, max int
-- out: uid int
SELECT uid FROM node WHERE type_id = 3 AND name = $1 ORDER BY uid LIMIT $2;

-- name: lineage_datasets_version :many
-- in: name text, digest text, max int
-- out: uid int
SELECT uid FROM node WHERE type_id = 3 AND name = $1 AND digest = $2 ORDER BY uid LIMIT $3;

-- name: lineage_datasets_digest :many
-- in: digest text, max int
-- out: uid int
SELECT uid FROM node WHERE type_id = 3 AND digest = $1 ORDER BY uid LIMIT $2;

-- name: lineage_nodes :many
-- in: uids int[]
-- out: uid int, name text?, uri text?, digest text?, create_ms int
SELECT uid, name, uri, digest, create_ms FROM node WHERE uid {in:$1};

-- name: lineage_tombstones :many
-- in: uids int[]
-- out: uid int, digest text?, gone_ms int, ref text?, name text?, experiment text?
SELECT uid, digest, gone_ms, ref, name, experiment FROM tombstone WHERE uid {in:$1};

-- name: lineage_logged_models :many
-- in: uids int[]
-- out: uid int, mid text, name text, status int, lifecycle int, artifact_uri text
SELECT uid, mid, name, status, lifecycle, artifact_uri FROM logged_model WHERE uid {in:$1};

-- name: lineage_registered_models :many
-- in: uids int[]
-- out: uid int, name text
SELECT uid, name FROM registered_model WHERE uid {in:$1};

-- name: lineage_versions :many
-- in: uids int[]
-- out: uid int, model int, name text, version int, stage int
SELECT v.uid, v.model, m.name, v.version, v.stage FROM model_version v JOIN registered_model m ON m.uid = v.model
WHERE v.uid {in:$1};

-- Rows by which a stored base of the graph is known to be of these logs.
-- name: lineage_edge_at :one
-- in: seq int
-- out: op int, src int, dst int, role int, claimed_ms int, seen_ms int
SELECT op, src, dst, role, claimed_ms, seen_ms FROM edge_log WHERE seq = $1;

-- name: lineage_member_at :one
-- in: seq int
-- out: op int, ctx int, node int, role int, claimed_ms int, seen_ms int
SELECT op, ctx, node, role, claimed_ms, seen_ms FROM member_log WHERE seq = $1;

-- name: lineage_parent_at :one
-- in: seq int
-- out: op int, child int, parent int, role int, claimed_ms int, seen_ms int
SELECT op, child, parent, role, claimed_ms, seen_ms FROM parent_log WHERE seq = $1;

-- name: lineage_same :many
-- in: after int
-- out: seq int, op int, a int, b int, rule int, claimed_ms int, seen_ms int
SELECT seq, op, a, b, rule, claimed_ms, seen_ms FROM same_log WHERE seq > $1 ORDER BY seq;

-- name: lineage_same_at :one
-- in: seq int
-- out: op int, a int, b int, claimed_ms int, seen_ms int
SELECT op, a, b, claimed_ms, seen_ms FROM same_log WHERE seq = $1;

-- name: same_log_append :exec
-- in: op int, a int, b int, rule int, reason text, who text, pin int, claimed_ms int, seen_ms int
INSERT INTO same_log (op, a, b, rule, reason, who, pin, claimed_ms, seen_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: same_get :one
-- in: a int, b int
-- out: state int
SELECT state FROM same WHERE a = $1 AND b = $2;

-- name: same_put :exec
-- in: a int, b int, state int, rule int, reason text, who text, ms int
INSERT INTO same (a, b, state, rule, reason, who, ms) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (a, b) DO UPDATE SET state = excluded.state, rule = excluded.rule, reason = excluded.reason,
    who = excluded.who, ms = excluded.ms;

-- name: same_delete :exec
-- in: a int, b int
DELETE FROM same WHERE a = $1 AND b = $2;

-- first 0: of any rule.
-- name: same_list :many
-- in: a int, b int, max int, first int, second int
-- out: a int, b int, state int, rule int, reason text, who text, ms int
SELECT a, b, state, rule, reason, who, ms FROM same WHERE (a, b) > ($1, $2) AND (CAST($4 AS bigint) = 0 OR rule IN ($4, $5)) ORDER BY a, b LIMIT $3;

-- Why two nodes are the same.
-- name: same_why :one
-- in: a int, b int
-- out: rule int, reason text
SELECT rule, reason FROM same WHERE a = $1 AND b = $2 AND state = 1;

-- What of a pair is there: types of both.
-- name: same_node :one
-- in: uid int
-- out: kind int, type_id int, digest text?
SELECT kind, type_id, digest FROM node WHERE uid = $1;

-- A place at which two things are, directly or as one of its versions.
-- name: same_meeting :one
-- in: a int, b int
-- out: uri text, digest text?
SELECT n.uri, n.digest FROM node n WHERE n.uid IN
    (SELECT b FROM same WHERE a = $1 AND rule BETWEEN 2 AND 5 AND state = 1
     UNION SELECT y.b FROM same x JOIN same y ON y.a = x.b AND y.rule = 4 AND y.state = 1
     WHERE x.a = $1 AND x.rule BETWEEN 2 AND 5 AND x.state = 1)
AND n.uid IN
    (SELECT b FROM same WHERE a = $2 AND rule BETWEEN 2 AND 5 AND state = 1
     UNION SELECT y.b FROM same x JOIN same y ON y.a = x.b AND y.rule = 4 AND y.state = 1
     WHERE x.a = $2 AND x.rule BETWEEN 2 AND 5 AND x.state = 1)
ORDER BY n.uid LIMIT 1;

-- Nodes of OpenLineage.
-- name: lineage_ol_jobs :many
-- in: uids int[]
-- out: uid int, ns text, name text, update_us int
SELECT j.uid, s.name, j.name, j.update_us FROM ol_job j JOIN ol_ns s ON s.uid = j.ns WHERE j.uid {in:$1};

-- name: lineage_ol_datasets :many
-- in: uids int[]
-- out: uid int, ns text, name text, update_us int
SELECT d.uid, s.name, d.name, d.update_us FROM ol_dataset d JOIN ol_ns s ON s.uid = d.ns WHERE d.uid {in:$1};

-- name: lineage_ol_versions :many
-- in: uids int[]
-- out: uid int, ns text, name text, version text?, event_us int
SELECT v.uid, s.name, d.name, v.name, v.event_us FROM ol_version v JOIN ol_dataset d ON d.uid = v.dataset JOIN ol_ns s ON s.uid = d.ns
WHERE v.uid {in:$1};

-- name: lineage_ol_runs :many
-- in: uids int[]
-- out: uid int, rid blob, state int, update_us int, start_us int?, ns text?, job text?
SELECT r.uid, r.rid, r.state, CASE WHEN r.update_us < r.create_us THEN r.create_us ELSE r.update_us END, r.start_us, s.name, j.name FROM ol_run r LEFT JOIN ol_job j ON j.uid = r.job
LEFT JOIN ol_ns s ON s.uid = j.ns WHERE r.uid {in:$1};

-- name: lineage_ol_runs_of_job :many
-- in: job int, max int
-- out: uid int
SELECT uid FROM ol_run WHERE job = $1 ORDER BY create_us DESC, uid DESC LIMIT $2;

-- name: lineage_ol_version_named :one
-- in: dataset int, name text
-- out: uid int
SELECT uid FROM ol_version WHERE dataset = $1 AND name = $2;
