-- runcols.sql - search columns at rest (store/runcols). colkey says of a key what colseg holds of it.

-- name: colkeys :many
-- in: exp int
-- out: kind int, id int, ver int, gen int, fill int?
SELECT kind, id, ver, gen, fill FROM colkey WHERE exp = $1 ORDER BY kind, id;

-- name: colkey_get :one
-- in: exp int, kind int, id int
-- out: ver int, gen int
SELECT ver, gen FROM colkey WHERE exp = $1 AND kind = $2 AND id = $3;

-- name: colkey_insert :execrows
-- in: exp int, kind int, id int, ver int, gen int
INSERT INTO colkey (exp, kind, id, ver, gen) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (exp, kind, id) DO NOTHING;

-- All keys but the numbers of the runs: their slots are others now.

-- name: colkey_forget :exec
-- in: exp int
DELETE FROM colkey WHERE exp = $1 AND NOT (kind = 0 AND id = 1);

-- name: colkey_step :execrows
-- in: exp int, kind int, id int, gen int
UPDATE colkey SET gen = gen + 1 WHERE exp = $1 AND kind = $2 AND id = $3 AND gen = $4;

-- name: colkey_complete :execrows
-- in: exp int, kind int, id int, gen int, ver int
UPDATE colkey SET gen = gen + 1, ver = $5, fill = NULL WHERE exp = $1 AND kind = $2 AND id = $3 AND gen = $4;

-- name: colkey_fill :exec
-- in: exp int, kind int, id int, ver int, fill int
INSERT INTO colkey (exp, kind, id, ver, gen, fill) VALUES ($1, $2, $3, $4, 1, $5)
ON CONFLICT (exp, kind, id) DO UPDATE SET gen = colkey.gen + 1, ver = excluded.ver, fill = excluded.fill;

-- name: colseg_of_key :many
-- in: exp int, kind int, id int, after int, max int
-- out: seg int, rows int, present int, nan int, vmin int, vmax int, body blob
SELECT seg, nrows, npresent, nnan, vmin, vmax, body FROM colseg
WHERE exp = $1 AND kind = $2 AND id = $3 AND seg > $4 ORDER BY seg LIMIT $5;

-- name: colseg_put :exec
-- in: exp int, kind int, id int, seg int, rows int, present int, nan int, vmin int, vmax int, body blob
INSERT INTO colseg (exp, kind, id, seg, nrows, npresent, nnan, vmin, vmax, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (exp, kind, id, seg) DO UPDATE SET nrows = excluded.nrows, npresent = excluded.npresent, nnan = excluded.nnan,
    vmin = excluded.vmin, vmax = excluded.vmax, body = excluded.body;

-- Runs of an experiment in the order of the drains that wrote them last.

-- name: run_since :many
-- in: exp int, ver int, run int, max int
-- out: run int, ver int
SELECT run, ver FROM runhead WHERE exp = $1 AND (ver, run) > ($2, $3) ORDER BY ver, run LIMIT $4;

-- name: run_attrs_by_uid :many
-- in: runs int[]
-- out: run int, exp int, rid text, name text, user_id text, status int, lifecycle int, start_ms int, end_ms int?, artifact_uri text
SELECT run, exp, rid, name, user_id, status, lifecycle, start_ms, end_ms, artifact_uri
FROM runhead WHERE run {in:$1};

-- name: colkey_exp_gone :one
-- in: exp text
-- out: gone_ms int
SELECT gone_ms FROM tombstone WHERE ref = $1 AND type_id = 1 LIMIT 1;
