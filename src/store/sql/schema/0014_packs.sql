-- 0014_packs: objects in packs.
-- object.stage: 0 the repack has not looked at it, 1 in packs, 2 stays as it is (its bytes are damaged or missing).
ALTER TABLE object ADD COLUMN stage {int} NOT NULL DEFAULT 0;
CREATE INDEX object_todo ON object (sha256) WHERE stage = 0;
-- packfile.state: 1 live, 3 deleting, 4 being written; since_ms: of the state that is not live. id: 63 random bits, the name of its place.
ALTER TABLE packfile ADD COLUMN since_ms {int} NOT NULL DEFAULT 0;
CREATE INDEX packfile_state ON packfile (state, since_ms);
-- Which objects have extents in a pack, as their recipes say: a pack that no row names is free.
CREATE TABLE object_pack (
    pack {int} NOT NULL,
    sha256 {blob} NOT NULL,
    PRIMARY KEY (pack, sha256)
) {rowless};
CREATE INDEX object_pack_object ON object_pack (sha256);
-- Where chunks lie, for deduplication only: made anew from the footers of the packs at any time. id: the first 8 bytes of the
-- chunk's, little-endian; the footer has all of it.
CREATE TABLE chunk_at (
    id {int} NOT NULL,
    pack {int} NOT NULL,
    n {int} NOT NULL,
    PRIMARY KEY (id, pack, n)
) {rowless};
