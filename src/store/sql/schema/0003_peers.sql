-- 0003_peers: several servers on one PostgreSQL database (store/seq_peers.c). On SQLite the columns stay as they are made.

-- Each row of the log knows the row before it, by a number drawn for that row alone: whoever has played the log up to one
-- row sees whether what follows is the same history. drain: number of the last drain when the row was written.
ALTER TABLE batch ADD COLUMN drain {int} NOT NULL DEFAULT 0;
ALTER TABLE batch ADD COLUMN prev {int} NOT NULL DEFAULT 0;
ALTER TABLE batch ADD COLUMN tag {int} NOT NULL DEFAULT 0;
UPDATE batch SET drain = (SELECT drain FROM part WHERE part = 0);

-- tip, tag: the last row of the log. owner: the server that drains; fence rises when the owner changes and whenever a
-- server is put off the list, and every commit of a server names the one it knows.
ALTER TABLE part ADD COLUMN tip {int} NOT NULL DEFAULT 0;
ALTER TABLE part ADD COLUMN tag {int} NOT NULL DEFAULT 0;
ALTER TABLE part ADD COLUMN owner {int} NOT NULL DEFAULT 0;
-- engine: postgres
UPDATE part SET tip = GREATEST(mark, (SELECT COALESCE(MAX(seq), 0) FROM batch));
-- engine: postgres
ALTER TABLE part SET (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- The servers that are running. pos: row of the log up to which all is in its memory. seen: the newest server it knows of.
-- process: see store/process.h. By the clock of the database: until alone_ms it may believe that it is alone, and a server that
-- is not back by until_ms is put off the list.
CREATE TABLE server (
    id {seqid},
    addr {text} NOT NULL,
    process {text} NOT NULL,
    pos {int} NOT NULL,
    seen {int} NOT NULL,
    alone_ms {int} NOT NULL,
    until_ms {int} NOT NULL
) {strict};
-- engine: postgres
ALTER TABLE server SET (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
