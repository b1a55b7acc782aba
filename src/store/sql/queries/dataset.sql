-- dataset.sql - datasets as inputs of runs, models as inputs and outputs.

-- name: dataset_inputs_of_run :many
-- in: run int, max int
-- out: uid int, name text, digest text
SELECT n.uid, n.name, n.digest FROM edge e JOIN node n ON n.uid = e.src
WHERE e.dst = $1 AND e.role = 3 AND n.type_id = 3 ORDER BY e.ms, n.uid LIMIT $2;

-- Where a dataset lies and what its columns are; not its profile, which is large.
-- name: dataset_place :many
-- in: uid int, scope int
-- out: key text, value text
SELECT key, s FROM prop WHERE uid = $1 AND scope = $2 AND vtype = 3 AND key IN ('source', 'source_type', 'schema') ORDER BY key;

-- name: edge_tags_of_run :many
-- in: run int
-- out: src int, key text, value text
SELECT src, key, value FROM edge_tag WHERE dst = $1 AND role = 3 ORDER BY src, key;

-- name: model_inputs_of_run :many
-- in: run int, max int
-- out: mid text
SELECT m.mid FROM edge e JOIN logged_model m ON m.uid = e.src WHERE e.dst = $1 AND e.role = 3 ORDER BY e.ms, m.uid LIMIT $2;

-- name: model_outputs_of_run :many
-- in: run int, max int
-- out: mid text, step text?
SELECT m.mid, t.value FROM edge e JOIN logged_model m ON m.uid = e.dst
LEFT JOIN edge_tag t ON t.src = e.src AND t.dst = e.dst AND t.role = e.role AND t.key = 'mlflow.step'
WHERE e.src = $1 AND e.role = 4 ORDER BY e.ms, m.uid LIMIT $2;

-- name: dataset_summaries :many
-- in: exp int, max int
-- out: name text, digest text, context text?
SELECT DISTINCT n.name, n.digest, t.value FROM experiment x
JOIN member m ON m.ctx = x.uid
JOIN node n ON n.uid = m.node AND n.type_id = 3
JOIN edge e ON e.src = n.uid AND e.role = 3
LEFT JOIN edge_tag t ON t.src = e.src AND t.dst = e.dst AND t.role = e.role AND t.key = 'mlflow.data.context'
WHERE x.id = $1 ORDER BY n.name, n.digest, t.value LIMIT $2;

-- name: runs_with_links :many
-- in: runs int[]
-- out: run int
SELECT dst FROM edge WHERE dst {in:$1} AND role = 3
UNION SELECT src FROM edge WHERE src {in:$1} AND role = 4 ORDER BY 1;
