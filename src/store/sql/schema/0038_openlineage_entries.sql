-- 0038_openlineage_entries: versions of a run's own are found by their uid, and need no entry by their hash. ol_io.last_us is in whole minutes.
DROP INDEX ol_version_ord;
CREATE UNIQUE INDEX ol_version_ord ON ol_version (dataset, ord) WHERE run = 0;
UPDATE ol_io SET last_us = last_us - (last_us % 60000000 + 60000000) % 60000000;
