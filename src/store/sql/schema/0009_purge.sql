-- 0009_purge: owners that were deleted for good and still have rows of points or artifacts: they go in steps.
-- root: of its artifacts, 0 when it has none.
CREATE TABLE purge (
    owner {int} NOT NULL PRIMARY KEY,
    root {int} NOT NULL
) {strict};
