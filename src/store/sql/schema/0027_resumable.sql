-- 0027_resumable: uploads that go on where they stopped.
-- state: 1 open; 2 named, what was saved is to be removed; 3 given up, likewise; 4 named, nothing is left but this row, which tells
-- whoever missed the answer. have: so many bytes are durable; hash, ledger: what going on needs (store/blob/blob.h). token: of the
-- request that writes, whoever came last. mark: what the client knows its file by, to find its upload again. expect: the SHA-256 that
-- the whole must have. size: of the whole.
CREATE TABLE resumable (
    id {text} NOT NULL PRIMARY KEY,
    state {int} NOT NULL,
    token {text} NOT NULL,
    mark {text} NOT NULL,
    root_uri {text} NOT NULL,
    owner {int} NOT NULL,
    path {text} NOT NULL,
    size {int} NOT NULL,
    have {int} NOT NULL,
    expect {blob},
    hash {blob},
    ledger {blob},
    create_ms {int} NOT NULL,
    until_ms {int} NOT NULL
) {strict};
CREATE INDEX resumable_state ON resumable (state, until_ms, id);
CREATE INDEX resumable_mark ON resumable (mark) WHERE mark <> '';
