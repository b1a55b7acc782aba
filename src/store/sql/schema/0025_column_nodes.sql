-- 0025_column_nodes: columns of data sets are nodes of the graph, so that it is walked by column. column_edge_log has the facts: with
-- dst_field '' the end is a run (kind 'use') or the data set itself (kind 'of': the column is one of its own); with src_field '' the
-- begin is the run that made the column ('made'); else one column was made of another, by the run `via` (0 = not said), and kind says how.
-- src and dst are the nodes of both ends. Nothing was in either table before.
ALTER TABLE column_edge_log ADD COLUMN src {int} NOT NULL DEFAULT 0;
ALTER TABLE column_edge_log ADD COLUMN dst {int} NOT NULL DEFAULT 0;
-- The current view, of uses and of what was made of what.
DROP TABLE column_edge;
CREATE TABLE column_edge (
    src_ds {int} NOT NULL,
    src_field {text} NOT NULL,
    dst_ds {int} NOT NULL,
    dst_field {text} NOT NULL,
    via {int} NOT NULL,
    kind {text} NOT NULL,
    ms {int} NOT NULL,
    src {int} NOT NULL,
    dst {int} NOT NULL,
    PRIMARY KEY (dst, src, via, kind)
) {rowless};
CREATE INDEX column_edge_src ON column_edge (src, dst);
-- The node of a column.
CREATE TABLE field (
    ds {int} NOT NULL,
    name {text} NOT NULL,
    uid {int} NOT NULL,
    ms {int} NOT NULL,
    PRIMARY KEY (ds, name)
) {rowless};
CREATE UNIQUE INDEX field_uid ON field (uid);
