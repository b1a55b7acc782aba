-- 0007_columns: search columns at rest (store/runcols). A cache of runhead: all rows of both tables may be deleted at any time.
-- kind and id name a column (store/columns/columns.h). What colseg holds of a key is complete up to drain ver: newer are runs whose
-- runhead.ver is greater, and those of that drain or later that no segment of kind 0, id 1 names. ver -1: not complete yet. gen rises with every write of the
-- key. fill: every run has this value, whatever colseg holds.
CREATE TABLE colkey (
    exp {int} NOT NULL,
    kind {int} NOT NULL,
    id {int} NOT NULL,
    ver {int} NOT NULL,
    gen {int} NOT NULL,
    fill {int},
    PRIMARY KEY (exp, kind, id)
) {rowless};
-- One column of one segment of 4096 runs: the zone (store/columns/columns.h), and the body, empty when no run has the key.
CREATE TABLE colseg (
    exp {int} NOT NULL,
    kind {int} NOT NULL,
    id {int} NOT NULL,
    seg {int} NOT NULL,
    nrows {int} NOT NULL,
    npresent {int} NOT NULL,
    nnan {int} NOT NULL,
    vmin {int} NOT NULL,
    vmax {int} NOT NULL,
    body {body} NOT NULL,
    PRIMARY KEY (exp, kind, id, seg)
) {strict};
-- Runs that changed since a drain.
CREATE INDEX runhead_ver ON runhead (exp, ver, run);
-- engine: postgres
ALTER TABLE colseg ALTER COLUMN body SET STORAGE EXTERNAL;
