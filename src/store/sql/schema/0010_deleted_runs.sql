-- 0010_deleted_runs: retention asks for the runs that were deleted long ago.
CREATE INDEX runhead_deleted ON runhead (deleted_ms) WHERE deleted_ms IS NOT NULL;
