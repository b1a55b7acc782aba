-- retention.sql - rules about what may be deleted by itself, and what they find.

-- name: retention_put :exec
-- in: exp int, trash_after_ms int?, purge_after_ms int?, keep_last int, keep_best int, metric text, maximum int
INSERT INTO retention (exp, trash_after_ms, purge_after_ms, keep_last, keep_best, metric, maximum)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (exp) DO UPDATE SET trash_after_ms = excluded.trash_after_ms, purge_after_ms = excluded.purge_after_ms,
    keep_last = excluded.keep_last, keep_best = excluded.keep_best, metric = excluded.metric, maximum = excluded.maximum;

-- name: retention_drop :execrows
-- in: exp int
DELETE FROM retention WHERE exp = $1;

-- name: retention_note :exec
-- in: exp int, gone int, trash_after_ms int?, purge_after_ms int?, keep_last int, keep_best int, metric text, maximum int, who text, now_ms int
INSERT INTO retention_log (exp, gone, trash_after_ms, purge_after_ms, keep_last, keep_best, metric, maximum, who, seen_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: retention_get :one
-- in: exp int
-- out: trash_after_ms int?, purge_after_ms int?, keep_last int, keep_best int, metric text, maximum int
SELECT trash_after_ms, purge_after_ms, keep_last, keep_best, metric, maximum FROM retention WHERE exp = $1;

-- name: retention_next :one
-- in: after int
-- out: exp int, trash_after_ms int?, purge_after_ms int?, keep_last int, keep_best int, metric text, maximum int
SELECT exp, trash_after_ms, purge_after_ms, keep_last, keep_best, metric, maximum FROM retention WHERE exp > $1 ORDER BY exp LIMIT 1;

-- name: retention_last_change :one
-- in: exp int
-- out: who text, seen_ms int
SELECT who, seen_ms FROM retention_log WHERE exp = $1 ORDER BY seq DESC LIMIT 1;

-- The oldest of the newest runs that stay.
-- name: retention_newest :one
-- in: exp int, skip int
-- out: start_ms int, run int
SELECT start_ms, run FROM runhead WHERE exp = $1 AND lifecycle = 0 ORDER BY start_ms DESC, run DESC LIMIT 1 OFFSET $2;

-- Active runs that ended long ago and that no registered version stands on, oldest first, between two places.
-- name: retention_ended :one
-- in: exp int, before_ms int, from_ms int, from_run int, to_ms int, to_run int
-- out: run int, rid text, name text, start_ms int, end_ms int
SELECT r.run, r.rid, r.name, r.start_ms, r.end_ms FROM runhead r
WHERE r.exp = $1 AND (r.start_ms, r.run) > ($3, $4) AND (r.start_ms, r.run) < ($5, $6)
  AND r.lifecycle = 0 AND r.status > 2 AND r.end_ms IS NOT NULL AND r.end_ms < $2
  AND NOT EXISTS (SELECT 1 FROM model_version v WHERE v.run_id = r.rid AND v.stage < 4)
  AND NOT EXISTS (SELECT 1 FROM logged_model m JOIN model_version v ON v.model_id = m.mid
                  WHERE m.source_run = r.rid AND v.stage < 4)
ORDER BY r.start_ms, r.run LIMIT 1;

-- Runs in the trash for long.
-- name: retention_trashed :one
-- in: exp int, before_ms int, from_ms int, from_run int
-- out: run int, rid text, name text, start_ms int, deleted_ms int
SELECT r.run, r.rid, r.name, r.start_ms, r.deleted_ms FROM runhead r
WHERE r.exp = $1 AND (r.start_ms, r.run) > ($3, $4)
  AND r.lifecycle = 1 AND r.deleted_ms IS NOT NULL AND r.deleted_ms < $2
  AND NOT EXISTS (SELECT 1 FROM model_version v WHERE v.run_id = r.rid AND v.stage < 4)
  AND NOT EXISTS (SELECT 1 FROM logged_model m JOIN model_version v ON v.model_id = m.mid
                  WHERE m.source_run = r.rid AND v.stage < 4)
ORDER BY r.start_ms, r.run LIMIT 1;

-- Logged models in the trash for long.
-- name: retention_models :one
-- in: exp int, before_ms int, from_ms int, from_uid int
-- out: uid int, mid text, name text, create_ms int, update_ms int
SELECT m.uid, m.mid, m.name, m.create_ms, m.update_ms FROM logged_model m
WHERE m.exp = $1 AND (m.create_ms, m.uid) > ($3, $4) AND m.lifecycle = 1 AND m.update_ms < $2
  AND NOT EXISTS (SELECT 1 FROM model_version v WHERE v.model_id = m.mid AND v.stage < 4)
ORDER BY m.create_ms, m.uid LIMIT 1;

-- Versions that stand on a run, by its id or that of a model it logged.
-- name: retention_stands :one
-- in: rid text
-- out: n int
SELECT (SELECT COUNT(*) FROM model_version v WHERE v.run_id = $1 AND v.stage < 4)
     + (SELECT COUNT(*) FROM logged_model m JOIN model_version v ON v.model_id = m.mid
        WHERE m.source_run = $1 AND v.stage < 4);

-- Versions that stand on a run, by its id or that of a model it logged; those with an alias first.
-- name: stands_on_run :many
-- in: rid text, max int
-- out: name text, version int, aliased int
SELECT g.name, v.version, CAST(CASE WHEN EXISTS (SELECT 1 FROM model_alias a WHERE a.model = v.model AND a.version = v.version) THEN 1 ELSE 0 END AS bigint)
FROM model_version v CROSS JOIN registered_model g WHERE v.run_id = $1 AND v.stage < 4 AND g.uid = v.model
UNION
SELECT g.name, v.version, CAST(CASE WHEN EXISTS (SELECT 1 FROM model_alias a WHERE a.model = v.model AND a.version = v.version) THEN 1 ELSE 0 END AS bigint)
FROM logged_model m CROSS JOIN model_version v CROSS JOIN registered_model g
WHERE m.source_run = $1 AND v.model_id = m.mid AND v.stage < 4 AND g.uid = v.model
ORDER BY 3 DESC, 1, 2 LIMIT $2;

-- name: stands_on_model :many
-- in: mid text, max int
-- out: name text, version int, aliased int
SELECT g.name, v.version, CAST(CASE WHEN EXISTS (SELECT 1 FROM model_alias a WHERE a.model = v.model AND a.version = v.version) THEN 1 ELSE 0 END AS bigint)
FROM model_version v CROSS JOIN registered_model g WHERE v.model_id = $1 AND v.stage < 4 AND g.uid = v.model
ORDER BY 3 DESC, 1, 2 LIMIT $2;

-- On any run or logged model of an experiment.
-- name: stands_on_experiment :many
-- in: exp int, max int
-- out: name text, version int, aliased int
SELECT g.name, v.version, CAST(CASE WHEN EXISTS (SELECT 1 FROM model_alias a WHERE a.model = v.model AND a.version = v.version) THEN 1 ELSE 0 END AS bigint)
FROM runhead r CROSS JOIN model_version v CROSS JOIN registered_model g
WHERE r.exp = $1 AND v.run_id = r.rid AND v.stage < 4 AND g.uid = v.model
UNION
SELECT g.name, v.version, CAST(CASE WHEN EXISTS (SELECT 1 FROM model_alias a WHERE a.model = v.model AND a.version = v.version) THEN 1 ELSE 0 END AS bigint)
FROM logged_model m CROSS JOIN model_version v CROSS JOIN registered_model g
WHERE m.exp = $1 AND v.model_id = m.mid AND v.stage < 4 AND g.uid = v.model
ORDER BY 3 DESC, 1, 2 LIMIT $2;
