-- token.sql - access tokens (only their SHA-256 is kept) and answers kept for repeated requests.

-- name: token_insert :execrows
-- in: name text, sha256 blob, principal text, now_ms int
INSERT INTO token (name, sha256, principal, create_ms) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING;

-- name: token_all :many
-- out: name text, sha256 blob, principal text, create_ms int
SELECT name, sha256, principal, create_ms FROM token ORDER BY name;

-- name: token_delete :execrows
-- in: name text
DELETE FROM token WHERE name = $1;

-- name: idempotency_get :one
-- in: principal text, key text, after_ms int
-- out: request blob, status int, answer blob
SELECT request, status, answer FROM idempotency WHERE principal = $1 AND key = $2 AND create_ms > $3;

-- name: idempotency_put :exec
-- in: principal text, key text, request blob, status int, answer blob, now_ms int
INSERT INTO idempotency (principal, key, request, status, answer, create_ms) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (principal, key) DO UPDATE
SET request = excluded.request, status = excluded.status, answer = excluded.answer, create_ms = excluded.create_ms;

-- name: idempotency_expire :execrows
-- in: before_ms int
DELETE FROM idempotency WHERE create_ms <= $1;
