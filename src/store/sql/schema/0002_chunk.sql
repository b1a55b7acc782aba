-- 0002_chunk: long series at rest, see store/series/chunk.h.
-- One series = one owner and key. lvl: 1 exact points. c tells chunks apart that start at the same t0. t0, t1, s0, s1: first and
-- last time, smallest and largest step. nnan of the n points are NaN and are left out of vmin, vmax, vsum, which are NULL when
-- nothing is left; vfirst and vlast are NULL when they are NaN. smin, tmin: step and time of vmin; smax, tmax of vmax.
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
    body {body} NOT NULL,
    PRIMARY KEY (owner, key, lvl, t0, c)
) {rowless};

-- Bodies are compressed already: out of line, as they are.
-- engine: postgres
ALTER TABLE chunk ALTER COLUMN body SET STORAGE EXTERNAL;
-- engine: postgres
ALTER TABLE pack ALTER COLUMN body SET STORAGE EXTERNAL;
-- engine: postgres
ALTER TABLE batch ALTER COLUMN body SET STORAGE EXTERNAL;
