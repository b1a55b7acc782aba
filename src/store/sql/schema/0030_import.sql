-- 0030_import: what was taken from stores of others, so that taking from them again adds only what is new or changed.

-- A store of others, under the name that whoever imports it gives, in a namespace.
CREATE TABLE import_source (
    id {int} NOT NULL PRIMARY KEY,
    ns {int} NOT NULL,
    name {text} NOT NULL,
    UNIQUE (ns, name)
) {strict};
-- kind: that of a node (1, 2, 3), or 10 more for its types. number: as the source shows it. uid: of the node, or id of the type.
-- stamp: when the source last changed it, by its own clock.
CREATE TABLE import_map (
    source {int} NOT NULL,
    kind {int} NOT NULL,
    number {int} NOT NULL,
    uid {int} NOT NULL,
    stamp {int} NOT NULL,
    PRIMARY KEY (source, kind, number)
) {rowless};
