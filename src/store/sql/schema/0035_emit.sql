-- 0035_emit: how far what happened here was told to others (core/outbox.h). name: of the destination. mark: row of the log, registry: row of
-- registry_log, links: row of edge_log up to which all was told. owner: the server that tells; fence rises when the owner changes. lost: rows of
-- the log that were released before they were told. sent, dead: events.
CREATE TABLE emit (
    name {text} NOT NULL PRIMARY KEY,
    mark {int} NOT NULL,
    registry {int} NOT NULL,
    links {int} NOT NULL,
    owner {int} NOT NULL DEFAULT 0,
    fence {int} NOT NULL DEFAULT 0,
    lost {int} NOT NULL DEFAULT 0,
    sent {int} NOT NULL DEFAULT 0,
    dead {int} NOT NULL DEFAULT 0
) {strict};
