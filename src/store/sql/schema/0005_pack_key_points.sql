-- 0005_pack_key_points: what is to be moved to chunks is found without reading packs.
-- kn: points of the key that has most of them; 0 = not counted (written before this version).
ALTER TABLE pack ADD COLUMN kn {int} NOT NULL DEFAULT 0;
CREATE INDEX pack_full ON pack (owner) WHERE kn >= 2048;
