-- inspection.sql - what the files of model versions said about themselves.

-- name: inspection_put :exec
-- in: version int, files int, size int, params int, tensors int, findings int, worst int, complete int, formats text, who text, now_ms int
INSERT INTO inspection (version, files, size, params, tensors, findings, worst, complete, formats, who, at_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: inspection_get :one
-- in: version int
-- out: files int, size int, params int, tensors int, findings int, worst int, complete int, formats text, who text, at_ms int
SELECT files, size, params, tensors, findings, worst, complete, formats, who, at_ms FROM inspection WHERE version = $1;

-- name: inspection_drop :exec
-- in: version int
DELETE FROM inspection WHERE version = $1;

-- name: inspection_drop_model :exec
-- in: model int
DELETE FROM inspection WHERE version IN (SELECT uid FROM model_version WHERE model = $1);

-- name: inspection_finding_put :exec
-- in: version int, n int, severity int, code text, what text, place text
INSERT INTO inspection_finding (version, n, severity, code, what, place) VALUES ($1, $2, $3, $4, $5, $6);

-- name: inspection_finding_list :many
-- in: version int
-- out: severity int, code text, what text, place text
SELECT severity, code, what, place FROM inspection_finding WHERE version = $1 ORDER BY n;

-- name: inspection_finding_drop :exec
-- in: version int
DELETE FROM inspection_finding WHERE version = $1;

-- name: inspection_finding_drop_model :exec
-- in: model int
DELETE FROM inspection_finding WHERE version IN (SELECT uid FROM model_version WHERE model = $1);
