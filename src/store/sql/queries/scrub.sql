-- scrub.sql - bytes that are looked at again: objects in order, marks of damage, and files that no row knows.

-- name: object_scrub :many
-- in: after blob, max int
-- out: sha256 blob, size int, gen int, state int, stage int, recipe blob?, body blob?
SELECT sha256, size, gen, state, stage, recipe, body FROM object WHERE sha256 > $1 ORDER BY sha256 LIMIT $2;

-- Its bytes are wrong: as long as they lie where they lay when that was found.
-- name: object_damaged :execrows
-- in: sha256 blob, gen int, recipe blob
UPDATE object SET stage = 3 WHERE sha256 = $1 AND gen = $2 AND recipe = $3 AND state <> 3;

-- name: object_damaged_body :execrows
-- in: sha256 blob, gen int
UPDATE object SET stage = 3 WHERE sha256 = $1 AND gen = $2 AND recipe IS NULL AND state <> 3;

-- They are right after all.
-- name: object_sound :execrows
-- in: sha256 blob, gen int, stage int
UPDATE object SET stage = $3 WHERE sha256 = $1 AND gen = $2 AND stage = 3;

-- A pack that was live, or damaged, is the other.
-- name: packfile_judge :execrows
-- in: id int, was int, is int
UPDATE packfile SET state = $3, since_ms = 0 WHERE id = $1 AND state = $2;

-- Whether anything knows the place of a whole object. whole: the recipe of one.
-- name: place_is_known :one
-- in: sha256 blob, gen int, whole blob
-- out: n int
SELECT (SELECT COUNT(*) FROM object WHERE sha256 = $1 AND gen = $2 AND recipe = $3)
    + (SELECT COUNT(*) FROM retired WHERE sha256 = $1 AND gen = $2)
    + (SELECT COUNT(*) FROM upload WHERE sha256 = $1 AND gen = $2);

-- A pack without a row, that no object names, gets a row that lets the collector delete it.
-- name: packfile_orphan :execrows
-- in: id int, place text, bytes int
INSERT INTO packfile (id, place, bytes, state, since_ms)
SELECT CAST($1 AS bigint), CAST($2 AS text), CAST($3 AS bigint), 3, 0 WHERE NOT EXISTS (SELECT 1 FROM object_pack WHERE pack = $1)
ON CONFLICT (id) DO NOTHING;

-- Where an object is named.
-- name: object_names :many
-- in: sha256 blob, max int
-- out: uri text, owner int, dir text, name text
SELECT r.uri, r.owner, a.dir, a.name FROM artifact a JOIN root r ON r.id = a.root
WHERE a.object = $1 ORDER BY a.root, a.dir, a.name LIMIT $2;

-- Versions that stand for a node.
-- name: versions_of_node :many
-- in: node int, max int
-- out: name text, version int
SELECT m.name, v.version FROM member x JOIN model_version v ON v.uid = x.ctx JOIN registered_model m ON m.uid = v.model
WHERE x.node = $1 AND x.role = 2 AND v.stage < 4 ORDER BY v.uid LIMIT $2;
