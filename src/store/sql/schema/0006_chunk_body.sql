-- 0006_chunk_body: bodies of chunks in a table of their own: the columns lie close together, 25 rows to a page, and bodies fill
-- their pages. chunk.id = chunk_body.id. The rest as in 0002.
ALTER TABLE chunk RENAME TO chunk_before;
CREATE TABLE chunk (
    owner {int} NOT NULL,
    key {int} NOT NULL,
    lvl {int} NOT NULL,
    t0 {int} NOT NULL,
    c {int} NOT NULL,
    t1 {int} NOT NULL,
    s0 {int} NOT NULL,
    s1 {int} NOT NULL,
    n {int} NOT NULL,
    nnan {int} NOT NULL,
    flags {int} NOT NULL,
    vmin {real},
    smin {int} NOT NULL,
    tmin {int} NOT NULL,
    vmax {real},
    smax {int} NOT NULL,
    tmax {int} NOT NULL,
    vsum {real},
    vfirst {real},
    vlast {real},
    id {int} NOT NULL,
    PRIMARY KEY (owner, key, lvl, t0, c)
) {rowless};
CREATE TABLE chunk_body (
    id {int} NOT NULL PRIMARY KEY,
    body {body} NOT NULL
) {strict};
-- engine: postgres
ALTER TABLE chunk_body ALTER COLUMN body SET STORAGE EXTERNAL;
INSERT INTO chunk_body (id, body)
SELECT ROW_NUMBER() OVER (ORDER BY owner, key, lvl, t0, c), body FROM chunk_before;
INSERT INTO chunk (owner, key, lvl, t0, c, t1, s0, s1, n, nnan, flags, vmin, smin, tmin, vmax, smax, tmax, vsum, vfirst, vlast, id)
SELECT owner, key, lvl, t0, c, t1, s0, s1, n, nnan, flags, vmin, smin, tmin, vmax, smax, tmax, vsum, vfirst, vlast,
       ROW_NUMBER() OVER (ORDER BY owner, key, lvl, t0, c)
FROM chunk_before;
DROP TABLE chunk_before;
