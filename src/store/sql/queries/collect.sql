-- collect.sql - bytes that nothing refers to: places that were given up, leases, and the states of objects on their way out.

-- name: retired_add :execrows
-- in: sha256 blob, gen int, bytes int, after_ms int
INSERT INTO retired (sha256, gen, bytes, after_ms) VALUES ($1, $2, $3, $4) ON CONFLICT (sha256, gen) DO NOTHING;

-- name: retired_due :many
-- in: now_ms int, max int
-- out: sha256 blob, gen int, bytes int, after_ms int
SELECT sha256, gen, bytes, after_ms FROM retired WHERE after_ms <= $1 ORDER BY after_ms, sha256, gen LIMIT $2;

-- name: retired_remove :execrows
-- in: sha256 blob, gen int
DELETE FROM retired WHERE sha256 = $1 AND gen = $2;
