-- 0022_same: two nodes of data that are the same thing though they were recorded as two. a < b. same_log is appended and never changed
-- (op 1 = they are the same, 2 = taken back); same is its current view. rule: 1 somebody said so. state: 1 the same, 2 not, and no rule
-- may say so again (pin).
CREATE TABLE same_log (
    seq {seqid},
    x {x},
    epoch {int} NOT NULL DEFAULT 0,
    op {int} NOT NULL,
    a {int} NOT NULL,
    b {int} NOT NULL,
    rule {int} NOT NULL,
    reason {text} NOT NULL,
    who {text} NOT NULL,
    pin {int} NOT NULL,
    claimed_ms {int} NOT NULL,
    seen_ms {int} NOT NULL
) {strict};
CREATE TABLE same (
    a {int} NOT NULL,
    b {int} NOT NULL,
    state {int} NOT NULL,
    rule {int} NOT NULL,
    reason {text} NOT NULL,
    who {text} NOT NULL,
    ms {int} NOT NULL,
    PRIMARY KEY (a, b)
) {strict};
CREATE INDEX same_b ON same (b, a);
