-- 0015_batch_aside: rows of the log that could not be played whole, because they or the run they name are damaged. They are put here by the
-- drain that would have deleted them, so that nothing acknowledged is thrown away; reported by every check, read by nobody else.
CREATE TABLE batch_aside (
    seq {int} NOT NULL,
    epoch {int} NOT NULL,
    part {int} NOT NULL,
    n {int} NOT NULL,
    body {body} NOT NULL,
    PRIMARY KEY (seq, epoch)
) {strict};
