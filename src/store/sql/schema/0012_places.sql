-- 0012_places: bytes that nothing refers to any more, and when an object entered its state.

-- Places of the blob store whose bytes are to be deleted: no row names them, and none ever will again. after_ms: not before.
CREATE TABLE retired (
    sha256 {blob} NOT NULL,
    gen {int} NOT NULL,
    bytes {int} NOT NULL,
    after_ms {int} NOT NULL,
    PRIMARY KEY (sha256, gen)
) {rowless};
CREATE INDEX retired_after ON retired (after_ms, sha256, gen);

-- since_ms: of the state that is not live.
ALTER TABLE object ADD COLUMN since_ms {int} NOT NULL DEFAULT 0;
CREATE INDEX object_leaving ON object (state, since_ms, sha256) WHERE state <> 1;
-- gen, bytes: the place that the holder of the lease may write; gen 0: none, it relies on the object that is there.
ALTER TABLE upload ADD COLUMN gen {int} NOT NULL DEFAULT 0;
ALTER TABLE upload ADD COLUMN bytes {int} NOT NULL DEFAULT 0;
CREATE INDEX upload_object ON upload (sha256);
CREATE INDEX upload_until ON upload (until_ms);
