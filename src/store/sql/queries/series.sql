-- series.sql - chunks, and what moving points from packs to chunks needs.

-- name: chunk_body_insert :exec
-- in: body blob
INSERT INTO chunk_body (id, body) SELECT COALESCE(MAX(id), 0) + 1, $1 FROM chunk_body;

-- The columns of the body that was inserted last, in the same transaction.
-- name: chunk_insert :exec
-- in: owner int, key int, lvl int, t0 int, c int, t1 int, s0 int, s1 int, n int, nnan int, flags int, vmin real?, smin int, tmin int, vmax real?, smax int, tmax int, vsum real?, vfirst real?, vlast real?
INSERT INTO chunk (owner, key, lvl, t0, c, t1, s0, s1, n, nnan, flags, vmin, smin, tmin, vmax, smax, tmax, vsum, vfirst,
                   vlast, id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
        (SELECT MAX(id) FROM chunk_body));

-- name: chunk_heads :many
-- in: owner int, key int, lvl int, from_ms int, to_ms int
-- out: t0 int, c int, t1 int, s0 int, s1 int, n int, nnan int, flags int, vmin real?, smin int, tmin int, vmax real?, smax int, tmax int, vsum real?, vfirst real?, vlast real?, id int
SELECT t0, c, t1, s0, s1, n, nnan, flags, vmin, smin, tmin, vmax, smax, tmax, vsum, vfirst, vlast, id
FROM chunk WHERE owner = $1 AND key = $2 AND lvl = $3 AND t1 >= $4 AND t0 <= $5 ORDER BY t0, c;

-- name: chunk_body :one
-- in: id int
-- out: body blob
SELECT body FROM chunk_body WHERE id = $1;

-- name: chunk_next_key :one
-- in: owner int, key int
-- out: key int?
SELECT MIN(key) FROM chunk WHERE owner = $1 AND key > $2;

-- name: chunk_delete :execrows
-- in: owner int, key int, lvl int, t0 int, c int
DELETE FROM chunk WHERE owner = $1 AND key = $2 AND lvl = $3 AND t0 = $4 AND c = $5;

-- name: chunk_body_delete :execrows
-- in: id int
DELETE FROM chunk_body WHERE id = $1;

-- name: pack_delete_list :execrows
-- in: owner int, w0s int[]
DELETE FROM pack WHERE owner = $1 AND w0 {in:$2};

-- name: pack_list :many
-- in: owner int, to_w0 int, max int
-- out: w0 int, n int, kn int
SELECT w0, n, kn FROM pack WHERE owner = $1 AND w0 <= $2 ORDER BY w0 LIMIT $3;

-- name: pack_one :one
-- in: owner int, w0 int
-- out: n int, body blob
SELECT n, body FROM pack WHERE owner = $1 AND w0 = $2;

-- Up to which drain the row of an owner is complete: no row for a model series, which has none.
-- name: run_ver :one
-- in: run int
-- out: ver int
SELECT ver FROM runhead WHERE run = $1;

-- name: pack_owners :many
-- in: owner int, max int
-- out: owner int, packs int
SELECT owner, COUNT(*) FROM pack WHERE owner > $1 GROUP BY owner ORDER BY owner LIMIT $2;

-- name: pack_owners_full :many
-- in: owner int, max int
-- out: owner int
SELECT DISTINCT owner FROM pack WHERE kn >= 2048 AND owner > $1 ORDER BY owner LIMIT $2;

-- Owners with what their packs hold, in pages and for a list.

-- name: pack_owners_sum :many
-- in: owner int, max int
-- out: owner int, packs int, kn int
SELECT owner, COUNT(*), MAX(kn) FROM pack WHERE owner > $1 GROUP BY owner ORDER BY owner LIMIT $2;

-- name: pack_owners_of :many
-- in: owners int[]
-- out: owner int, packs int, kn int
SELECT owner, COUNT(*), MAX(kn) FROM pack WHERE owner {in:$1} GROUP BY owner;

-- name: chunk_next_owner :one
-- in: owner int
-- out: owner int?
SELECT MIN(owner) FROM chunk WHERE owner > $1;
