-- 0034_prop_entries: a property is one entry instead of two, and its log has no index, which nothing asked for.
CREATE TABLE prop_entry (
    uid {int} NOT NULL,
    scope {int} NOT NULL,
    key {text} NOT NULL,
    vtype {int} NOT NULL,
    i {int},
    d {real},
    s {text},
    b {blob},
    PRIMARY KEY (uid, scope, key)
) {rowless};
INSERT INTO prop_entry (uid, scope, key, vtype, i, d, s, b)
SELECT uid, scope, key, vtype, i, d, s, b FROM prop ORDER BY uid, scope, key;
DROP TABLE prop;
ALTER TABLE prop_entry RENAME TO prop;
CREATE INDEX prop_i ON prop (key, i) WHERE i IS NOT NULL;
DROP INDEX prop_log_uid;
