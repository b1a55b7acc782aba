-- collect.sql - bytes that nothing refers to: places that were given up, leases, and the states of objects on their way out.

-- name: retired_add :execrows
-- in: sha256 blob, gen int, bytes int, after_ms int
INSERT INTO retired (sha256, gen, bytes, after_ms) VALUES ($1, $2, $3, $4) ON CONFLICT (sha256, gen) DO NOTHING;

-- name: retired_due :many
-- in: now_ms int, max int
-- out: sha256 blob, gen int, bytes int, after_ms int
SELECT sha256, gen, bytes, after_ms FROM retired WHERE after_ms <= $1 ORDER BY after_ms, sha256, gen LIMIT $2;

-- What lies there, in all.
-- name: retired_sum :one
-- out: n int, bytes int
SELECT COUNT(*), CAST(COALESCE(SUM(bytes), 0) AS bigint) FROM retired WHERE after_ms >= 0;

-- name: retired_remove :execrows
-- in: sha256 blob, gen int
DELETE FROM retired WHERE sha256 = $1 AND gen = $2;

-- ---- leases ----

-- name: lease_add :exec
-- in: id text, sha256 blob, gen int, bytes int, until_ms int, now_ms int
INSERT INTO upload (id, root, path, sha256, gen, bytes, until_ms, create_ms) VALUES ($1, 0, '', $2, $3, $4, $5, $6);

-- name: lease_remove :execrows
-- in: id text
DELETE FROM upload WHERE id = $1;

-- Leases that end by a time, of generations up to one.
-- name: lease_ended :many
-- in: until_ms int, gen int, max int
-- out: id text, sha256 blob?, gen int, bytes int
SELECT id, sha256, gen, bytes FROM upload WHERE until_ms <= $1 AND gen <= $2 AND gen > 0
ORDER BY until_ms, id LIMIT $3;

-- name: lease_count :one
-- in: now_ms int
-- out: n int
SELECT COUNT(*) FROM upload WHERE gen > 0 AND until_ms <= $1;

-- ---- objects ----

-- name: object_state :one
-- in: sha256 blob
-- out: size int, gen int, state int, stage int, recipe blob?
SELECT size, gen, state, stage, recipe FROM object WHERE sha256 = $1;

-- name: object_new :execrows
-- in: sha256 blob, size int, gen int, recipe blob?, body blob?
INSERT INTO object (sha256, size, gen, state, recipe, body) VALUES ($1, $2, $3, 1, $4, $5)
ON CONFLICT (sha256) DO NOTHING;

-- name: object_replace :execrows
-- in: sha256 blob, gen int, recipe blob?, body blob?
UPDATE object SET gen = $2, state = 1, since_ms = 0, stage = 0, recipe = $3, body = $4 WHERE sha256 = $1;

-- name: object_set_state :execrows
-- in: sha256 blob, state int, now_ms int
UPDATE object SET state = $2, since_ms = $3 WHERE sha256 = $1;

-- Whatever names an object is asked here: what is not asked is collected.
-- name: object_is_held :one
-- in: sha256 blob
-- out: n int
SELECT COUNT(*) FROM object o WHERE o.sha256 = $1 AND
    (EXISTS (SELECT 1 FROM artifact a WHERE a.object = o.sha256) OR EXISTS (SELECT 1 FROM upload u WHERE u.sha256 = o.sha256));

-- held: an artifact names it, which is found in indexes alone.
-- name: object_walk :many
-- in: after blob, max int
-- out: sha256 blob, held int
SELECT o.sha256, CASE WHEN EXISTS (SELECT 1 FROM artifact a WHERE a.object = o.sha256) THEN 1 ELSE 0 END
FROM object o WHERE o.sha256 > $1 ORDER BY o.sha256 LIMIT $2;

-- held as object_is_held.
-- name: object_plan :many
-- in: after blob, max int
-- out: sha256 blob, size int, state int, held int
SELECT o.sha256, o.size, o.state, CASE WHEN EXISTS (SELECT 1 FROM artifact a WHERE a.object = o.sha256)
    OR EXISTS (SELECT 1 FROM upload u WHERE u.sha256 = o.sha256) THEN 1 ELSE 0 END
FROM object o WHERE o.sha256 > $1 ORDER BY o.sha256 LIMIT $2;

-- bytes: that go with the object, and not with a pack.
-- name: object_leaving :many
-- in: state int, before_ms int, max int
-- out: sha256 blob, bytes int, gen int
SELECT o.sha256, CASE WHEN EXISTS (SELECT 1 FROM object_pack p WHERE p.sha256 = o.sha256) THEN 0 ELSE o.size END, o.gen
FROM object o WHERE o.state = $1 AND o.since_ms <= $2 AND o.state <> 1
ORDER BY o.state, o.since_ms, o.sha256 LIMIT $3;

-- name: object_gone :execrows
-- in: sha256 blob, gen int
DELETE FROM object WHERE sha256 = $1 AND gen = $2 AND state = 3;

-- name: object_drop :execrows
-- in: sha256 blob
DELETE FROM object WHERE sha256 = $1;

-- Packs that no object names, live or damaged.
-- name: packfile_free :many
-- in: after int, max int
-- out: id int, bytes int
SELECT p.id, p.bytes FROM packfile p WHERE p.id > $1 AND p.state IN (1, 5)
AND NOT EXISTS (SELECT 1 FROM object_pack o WHERE o.pack = p.id) ORDER BY p.id LIMIT $2;
