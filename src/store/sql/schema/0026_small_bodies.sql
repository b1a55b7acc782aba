-- The bytes of small contents are written as they come: trying to compress them costs PostgreSQL as much as storing them, and they move
-- to packs, where they are compressed.
-- engine: postgres
ALTER TABLE object ALTER COLUMN body SET STORAGE EXTERNAL;
