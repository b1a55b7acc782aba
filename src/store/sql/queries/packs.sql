-- packs.sql - packs, what lies in them, and the objects that are to be moved there.

-- name: object_todo :many
-- in: after blob, max int
-- out: sha256 blob, size int, gen int, recipe blob?
SELECT sha256, size, gen, recipe FROM object WHERE stage = 0 AND state = 1 AND sha256 > $1 ORDER BY sha256 LIMIT $2;

-- name: object_packed :execrows
-- in: sha256 blob, gen int, recipe blob
UPDATE object SET recipe = $3, body = NULL, stage = 1 WHERE sha256 = $1 AND gen = $2 AND state = 1 AND stage = 0;

-- name: object_stays :execrows
-- in: sha256 blob, gen int, stage int
UPDATE object SET stage = $3 WHERE sha256 = $1 AND gen = $2 AND stage = 0;

-- name: object_moved :execrows
-- in: sha256 blob, gen int, recipe blob, before blob
UPDATE object SET recipe = $3 WHERE sha256 = $1 AND gen = $2 AND stage = 1 AND recipe = $4;

-- name: packfile_get :one
-- in: id int
-- out: bytes int, state int, since_ms int
SELECT bytes, state, since_ms FROM packfile WHERE id = $1;

-- name: packfile_begin :execrows
-- in: id int, place text, now_ms int
INSERT INTO packfile (id, place, bytes, state, since_ms) VALUES ($1, $2, 0, 4, $3)
ON CONFLICT (id) DO NOTHING;

-- name: packfile_written :execrows
-- in: id int, bytes int
UPDATE packfile SET bytes = $2, state = 1 WHERE id = $1 AND state = 4;

-- name: packfile_all :many
-- in: after int, max int
-- out: id int, bytes int, state int, since_ms int
SELECT id, bytes, state, since_ms FROM packfile WHERE id > $1 ORDER BY id LIMIT $2;

-- name: packfile_deleting :execrows
-- in: id int, now_ms int
UPDATE packfile SET state = 3, since_ms = $2 WHERE id = $1 AND state IN (1, 4, 5)
AND NOT EXISTS (SELECT 1 FROM object_pack WHERE pack = $1);

-- name: packfile_due :many
-- in: before_ms int, max int
-- out: id int, bytes int
SELECT id, bytes FROM packfile WHERE state = 3 AND since_ms <= $1 ORDER BY id LIMIT $2;

-- name: packfile_gone :exec
-- in: id int
DELETE FROM packfile WHERE id = $1 AND state = 3;

-- name: object_pack_put :exec
-- in: pack int, sha256 blob
INSERT INTO object_pack (pack, sha256) VALUES ($1, $2) ON CONFLICT (pack, sha256) DO NOTHING;

-- The object has no bytes in packs any more: with its row, or before it gets another recipe.
-- name: object_pack_forget :exec
-- in: sha256 blob
DELETE FROM object_pack WHERE sha256 = $1;

-- name: object_pack_ls :many
-- in: pack int, after blob, max int
-- out: sha256 blob
SELECT sha256 FROM object_pack WHERE pack = $1 AND sha256 > $2 ORDER BY sha256 LIMIT $3;

-- In live packs.
-- name: chunk_at_find :many
-- in: id int
-- out: pack int, n int
SELECT c.pack, c.n FROM chunk_at c WHERE c.id = $1 AND EXISTS (SELECT 1 FROM packfile p WHERE p.id = c.pack AND p.state = 1)
ORDER BY c.pack, c.n LIMIT 4;

-- live: its pack is.
-- name: chunk_at_walk :many
-- in: id int, pack int, n int, max int
-- out: id int, pack int, n int, live int
SELECT c.id, c.pack, c.n, CASE WHEN EXISTS (SELECT 1 FROM packfile p WHERE p.id = c.pack AND p.state = 1) THEN 1 ELSE 0 END
FROM chunk_at c WHERE (c.id, c.pack, c.n) > ($1, $2, $3) ORDER BY c.id, c.pack, c.n LIMIT $4;

-- name: chunk_at_put :exec
-- in: id int, pack int, n int
INSERT INTO chunk_at (id, pack, n) VALUES ($1, $2, $3) ON CONFLICT (id, pack, n) DO NOTHING;

-- name: chunk_at_delete :exec
-- in: id int, pack int, n int
DELETE FROM chunk_at WHERE id = $1 AND pack = $2 AND n = $3;

-- Where an object lies in the trees of artifacts.
-- name: artifact_of :many
-- in: object blob, max int
-- out: root int, dir text, name text
SELECT root, dir, name FROM artifact WHERE object = $1 ORDER BY root, dir, name LIMIT $2;
