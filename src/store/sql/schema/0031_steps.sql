-- 0031_steps: what steps were made of, and which executions did them (core/step.h). key: SHA-256 of body, which is the canonical bytes of
-- docs/formats/stepkey.md; body is NULL where only the key was said. ms: when it was recorded last.
CREATE TABLE step_key (
    ns {int} NOT NULL,
    key {blob} NOT NULL,
    name {text} NOT NULL,
    body {blob},
    ms {int} NOT NULL,
    PRIMARY KEY (ns, key)
) {strict};
CREATE INDEX step_key_name ON step_key (ns, name, ms);

-- execution: uid of a run, or of an execution of a declared type. gone: the row of step_gone that took it out, 0 = none did.
CREATE TABLE step_done (
    ns {int} NOT NULL,
    key {blob} NOT NULL,
    execution {int} NOT NULL,
    who {text} NOT NULL,
    ms {int} NOT NULL,
    gone {int} NOT NULL DEFAULT 0,
    PRIMARY KEY (ns, key, execution)
) {strict};

-- What it made, beyond the outputs that the graph knows. node: 0 = none; sha256: of bytes that this store has.
CREATE TABLE step_output (
    ns {int} NOT NULL,
    key {blob} NOT NULL,
    execution {int} NOT NULL,
    ord {int} NOT NULL,
    name {text} NOT NULL,
    node {int} NOT NULL,
    sha256 {blob},
    PRIMARY KEY (ns, key, execution, ord)
) {strict};

-- Appended, never changed. key: NULL = all of the step that were there then.
CREATE TABLE step_gone (
    id {int} NOT NULL PRIMARY KEY,
    ns {int} NOT NULL,
    name {text} NOT NULL,
    key {blob},
    n {int} NOT NULL,
    reason {text} NOT NULL,
    who {text} NOT NULL,
    ms {int} NOT NULL
) {strict};
