-- step.sql - keys of steps, the executions that did them, and what was taken out again (core/step).

-- A key that was there without its bytes gets them, and the name that is said with them; nothing takes a name away.
-- name: step_key_put :exec
-- in: ns int, key blob, name text, body blob?, now_ms int
INSERT INTO step_key (ns, key, name, body, ms) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (ns, key) DO UPDATE SET ms = excluded.ms, body = COALESCE(step_key.body, excluded.body),
    name = CASE WHEN step_key.body IS NULL AND excluded.name <> '' THEN excluded.name ELSE step_key.name END;

-- Other keys of a step that an execution stands for, the newest first.
-- name: step_keys_near :many
-- in: ns int, name text, key blob, max int
-- out: key blob, body blob?
SELECT k.key, k.body FROM step_key k WHERE k.ns = $1 AND k.name = $2 AND k.key <> $3
AND EXISTS (SELECT 1 FROM step_done d WHERE d.ns = k.ns AND d.key = k.key AND d.gone = 0)
ORDER BY k.ms DESC, k.key LIMIT $4;

-- Keys of a step that something stands for, for taking them out.
-- name: step_keys_live :many
-- in: ns int, name text, max int
-- out: key blob
SELECT k.key FROM step_key k WHERE k.ns = $1 AND k.name = $2
AND EXISTS (SELECT 1 FROM step_done d WHERE d.ns = k.ns AND d.key = k.key AND d.gone = 0)
ORDER BY k.ms DESC, k.key LIMIT $3;

-- name: step_done_get :one
-- in: ns int, key blob, execution int
-- out: gone int
SELECT gone FROM step_done WHERE ns = $1 AND key = $2 AND execution = $3;

-- name: step_done_add :exec
-- in: ns int, key blob, execution int, who text, now_ms int
INSERT INTO step_done (ns, key, execution, who, ms) VALUES ($1, $2, $3, $4, $5);

-- Newest first.
-- name: step_done_list :many
-- in: ns int, key blob, max int
-- out: execution int, who text, ms int
SELECT execution, who, ms FROM step_done WHERE ns = $1 AND key = $2 AND gone = 0 ORDER BY ms DESC, execution DESC LIMIT $3;

-- name: step_done_gone :execrows
-- in: ns int, key blob, gone int
UPDATE step_done SET gone = $3 WHERE ns = $1 AND key = $2 AND gone = 0;

-- One that only clients have put into the context of the key is known as taken out, too.
-- name: step_done_gone_there :exec
-- in: ns int, key blob, execution int, now_ms int, gone int
INSERT INTO step_done (ns, key, execution, who, ms, gone) VALUES ($1, $2, $3, '', $4, $5)
ON CONFLICT (ns, key, execution) DO UPDATE SET gone = excluded.gone WHERE step_done.gone > 0;

-- name: step_output_add :exec
-- in: ns int, key blob, execution int, ord int, name text, node int, sha256 blob?
INSERT INTO step_output (ns, key, execution, ord, name, node, sha256) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: step_output_list :many
-- in: ns int, key blob, execution int
-- out: name text, node int, sha256 blob?
SELECT name, node, sha256 FROM step_output WHERE ns = $1 AND key = $2 AND execution = $3 ORDER BY ord;

-- name: step_gone_add :exec
-- in: id int, ns int, name text, key blob?, n int, reason text, who text, now_ms int
INSERT INTO step_gone (id, ns, name, key, n, reason, who, ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- Why the newest execution of a key is not taken any more.
-- name: step_gone_of :one
-- in: ns int, key blob
-- out: execution int, reason text, who text, ms int
SELECT d.execution, g.reason, g.who, g.ms FROM step_done d JOIN step_gone g ON g.id = d.gone
WHERE d.ns = $1 AND d.key = $2 AND d.gone > 0 ORDER BY g.id DESC LIMIT 1;

-- Outputs of an execution (role 4), and what a node is.
-- name: step_outputs_of :many
-- in: execution int, max int
-- out: node int, path blob?
SELECT e.dst, e.path FROM edge e WHERE e.src = $1 AND e.role = 4 ORDER BY e.dst LIMIT $2;

-- name: step_node :one
-- in: uid int
-- out: ns int, kind int, id int, type_id int, name text?, uri text?, digest text?, flags int
SELECT ns, kind, id, type_id, name, uri, digest, flags FROM node WHERE uid = $1;

-- Executions in a context of a declared type, the newest first.
-- name: step_executions_in :many
-- in: ctx int, max int
-- out: uid int, ms int
SELECT n.uid, n.update_ms FROM member m JOIN node n ON n.uid = m.node
WHERE m.ctx = $1 AND m.role = 6 AND n.kind = 2 ORDER BY n.update_ms DESC, n.uid DESC LIMIT $2;

-- name: step_member_remove :execrows
-- in: ctx int, node int
DELETE FROM member WHERE ctx = $1 AND node = $2 AND role = 6;

-- name: step_model_of_uid :one
-- in: uid int
-- out: mid text, status int, lifecycle int, artifact_uri text
SELECT mid, status, lifecycle, artifact_uri FROM logged_model WHERE uid = $1;
