-- 0028_typed_nodes: nodes whose types clients declare, in namespaces of their own.

-- Types of a namespace. id: below 100 those of other tongues, 101 to 109 the ones that every namespace has (ns -1), 1001 and more
-- declared ones. shown: the number that clients see, dense per namespace over all kinds; 0: not shown. base: id of the type that it is a kind of.
ALTER TABLE type RENAME TO type_before;
CREATE TABLE type (
    id {int} NOT NULL PRIMARY KEY,
    ns {int} NOT NULL,
    kind {int} NOT NULL,
    shown {int} NOT NULL DEFAULT 0,
    name {text} NOT NULL,
    version {text} NOT NULL DEFAULT '',
    base {int} NOT NULL DEFAULT 0,
    description {text},
    external_id {text},
    input {blob},
    output {blob},
    UNIQUE (ns, kind, name, version)
) {strict};
INSERT INTO type (id, ns, kind, name, version, base) SELECT id, 0, kind, name, version, base FROM type_before;
DROP TABLE type_before;
CREATE INDEX type_shown ON type (ns, kind, shown);
CREATE UNIQUE INDEX type_external ON type (ns, kind, external_id) WHERE external_id IS NOT NULL;
INSERT INTO type (id, ns, kind, shown, name) VALUES (101, -1, 1, 1, 'mlmd.Dataset');
INSERT INTO type (id, ns, kind, shown, name) VALUES (102, -1, 1, 2, 'mlmd.Model');
INSERT INTO type (id, ns, kind, shown, name) VALUES (103, -1, 1, 3, 'mlmd.Metrics');
INSERT INTO type (id, ns, kind, shown, name) VALUES (104, -1, 1, 4, 'mlmd.Statistics');
INSERT INTO type (id, ns, kind, shown, name) VALUES (105, -1, 2, 5, 'mlmd.Train');
INSERT INTO type (id, ns, kind, shown, name) VALUES (106, -1, 2, 6, 'mlmd.Transform');
INSERT INTO type (id, ns, kind, shown, name) VALUES (107, -1, 2, 7, 'mlmd.Process');
INSERT INTO type (id, ns, kind, shown, name) VALUES (108, -1, 2, 8, 'mlmd.Evaluate');
INSERT INTO type (id, ns, kind, shown, name) VALUES (109, -1, 2, 9, 'mlmd.Deploy');

-- Properties that a type declares. vtype as in prop.
CREATE TABLE type_prop (
    type {int} NOT NULL,
    key {text} NOT NULL,
    vtype {int} NOT NULL,
    PRIMARY KEY (type, key)
) {rowless};

-- Properties of nodes know one more type: 7, a message that its sender names (s: the URL of its type, b: its bytes).
ALTER TABLE prop_log ADD COLUMN b {blob};
-- node.flags of a node of a declared type: 0 it has no state, else 1 + state.
CREATE INDEX node_typed_uri ON node (uri) WHERE type_id > 100 AND uri <> '';
