-- resumable.sql - uploads that go on where they stopped (core/resume.h).

-- name: resumable_add :execrows
-- in: id text, mark text, root_uri text, owner int, path text, size int, expect blob?, now_ms int, until_ms int
INSERT INTO resumable (id, state, token, mark, root_uri, owner, path, size, have, expect, create_ms, until_ms)
VALUES ($1, 1, '', $2, $3, $4, $5, $6, 0, $7, $8, $9);

-- name: resumable_get :one
-- in: id text
-- out: state int, token text, root_uri text, owner int, path text, size int, have int, expect blob?, hash blob?, ledger blob?, create_ms int, until_ms int
SELECT state, token, root_uri, owner, path, size, have, expect, hash, ledger, create_ms, until_ms FROM resumable WHERE id = $1;

-- The open upload of a client's file for a place.
-- name: resumable_find :one
-- in: mark text, root_uri text, path text, size int, now_ms int
-- out: id text, have int, until_ms int
SELECT id, have, until_ms FROM resumable
WHERE mark = $1 AND mark <> '' AND root_uri = $2 AND path = $3 AND size = $4 AND state = 1 AND until_ms > $5
ORDER BY have DESC, id LIMIT 1;

-- name: resumable_sum :one
-- in: state int, from_ms int, to_ms int
-- out: n int, bytes int
SELECT COUNT(*), CAST(COALESCE(SUM(have), 0) AS bigint) FROM resumable WHERE state = $1 AND until_ms >= $2 AND until_ms < $3;

-- name: resumable_take :execrows
-- in: id text, token text, until_ms int
UPDATE resumable SET token = $2, until_ms = $3 WHERE id = $1 AND state = 1;

-- name: resumable_save :execrows
-- in: id text, token text, have int, hash blob, ledger blob, until_ms int
UPDATE resumable SET have = $3, hash = $4, ledger = $5, until_ms = $6 WHERE id = $1 AND token = $2 AND state = 1;

-- name: resumable_name :execrows
-- in: id text, token text, until_ms int
UPDATE resumable SET state = 2, have = size, until_ms = $3 WHERE id = $1 AND token = $2 AND state = 1;

-- name: resumable_give_up :execrows
-- in: id text
UPDATE resumable SET state = 3 WHERE id = $1 AND state = 1;

-- Those in a state whose time has come.
-- name: resumable_due :many
-- in: state int, until_ms int, max int
-- out: id text, size int, have int, ledger blob?
SELECT id, size, have, ledger FROM resumable WHERE state = $1 AND until_ms <= $2 ORDER BY state, until_ms, id LIMIT $3;

-- name: resumable_expire :execrows
-- in: id text, now_ms int
UPDATE resumable SET state = 3 WHERE id = $1 AND state = 1 AND until_ms <= $2;

-- name: resumable_dropped :execrows
-- in: id text
UPDATE resumable SET state = 4, ledger = NULL, hash = NULL WHERE id = $1 AND state = 2;

-- name: resumable_forget :execrows
-- in: id text, state int
DELETE FROM resumable WHERE id = $1 AND state = $2;
