-- 0036_column_edge_order: what identifies a row comes first in it. SQLite's own check reads such a table wrongly where it does not, and
-- calls a sound store damaged.
ALTER TABLE column_edge RENAME TO column_edge_before;
CREATE TABLE column_edge (
    dst {int} NOT NULL,
    src {int} NOT NULL,
    via {int} NOT NULL,
    kind {text} NOT NULL,
    src_ds {int} NOT NULL,
    src_field {text} NOT NULL,
    dst_ds {int} NOT NULL,
    dst_field {text} NOT NULL,
    ms {int} NOT NULL,
    PRIMARY KEY (dst, src, via, kind)
) {rowless};
INSERT INTO column_edge (dst, src, via, kind, src_ds, src_field, dst_ds, dst_field, ms)
SELECT dst, src, via, kind, src_ds, src_field, dst_ds, dst_field, ms FROM column_edge_before;
DROP TABLE column_edge_before;
CREATE INDEX column_edge_src ON column_edge (src, dst);
