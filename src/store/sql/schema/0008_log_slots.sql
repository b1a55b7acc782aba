-- 0008_log_slots: on PostgreSQL the log lies in four tables that are filled in turn and emptied whole, so that it never needs
-- vacuuming. part.slot: the one that is filled. On SQLite covered rows are deleted, and the column is not used.
ALTER TABLE part ADD COLUMN slot {int} NOT NULL DEFAULT 0;

-- engine: postgres
ALTER TABLE batch RENAME TO batch_before;
-- engine: postgres
CREATE TABLE batch (
    seq {int} NOT NULL,
    x {x},
    epoch {int} NOT NULL DEFAULT 0,
    part {int} NOT NULL,
    n {int} NOT NULL,
    body {body} NOT NULL,
    drain {int} NOT NULL DEFAULT 0,
    prev {int} NOT NULL DEFAULT 0,
    tag {int} NOT NULL DEFAULT 0,
    slot {int} NOT NULL DEFAULT 0,
    CONSTRAINT batch_seq PRIMARY KEY (seq, slot)
) PARTITION BY LIST (slot);
-- engine: postgres
CREATE TABLE batch_0 PARTITION OF batch FOR VALUES IN (0);
-- engine: postgres
CREATE TABLE batch_1 PARTITION OF batch FOR VALUES IN (1);
-- engine: postgres
CREATE TABLE batch_2 PARTITION OF batch FOR VALUES IN (2);
-- engine: postgres
CREATE TABLE batch_3 PARTITION OF batch FOR VALUES IN (3);
-- engine: postgres
INSERT INTO batch (seq, x, epoch, part, n, body, drain, prev, tag)
SELECT seq, x, epoch, part, n, body, drain, prev, tag FROM batch_before;
-- engine: postgres
DROP TABLE batch_before;
