-- 0004_registry: registered models, their versions and aliases, and what happened to them.

-- uid is a context node. prompt: the model's tag mlflow.prompt.is_prompt is true. last: highest version number ever given.
CREATE TABLE registered_model (
    uid {int} NOT NULL PRIMARY KEY,
    name {text} NOT NULL UNIQUE,
    description {text} NOT NULL,
    prompt {int} NOT NULL DEFAULT 0,
    last {int} NOT NULL DEFAULT 0,
    create_ms {int} NOT NULL,
    update_ms {int} NOT NULL
) {strict};

-- uid is a context node, the model its parent. stage: 0 None, 1 Staging, 2 Production, 3 Archived, 4 deleted. storage: where the
-- bytes lie when source only names them (models:/...). status: 1 pending, 2 failed, 3 ready. Tags are prop rows (scope 3).
CREATE TABLE model_version (
    uid {int} NOT NULL PRIMARY KEY,
    model {int} NOT NULL,
    version {int} NOT NULL,
    stage {int} NOT NULL,
    description {text},
    source {text} NOT NULL,
    storage {text} NOT NULL,
    run_id {text} NOT NULL,
    run_link {text} NOT NULL,
    model_id {text},
    status {int} NOT NULL,
    prompt {int} NOT NULL DEFAULT 0,
    create_ms {int} NOT NULL,
    update_ms {int} NOT NULL,
    UNIQUE (model, version)
) {strict};
CREATE INDEX model_version_run ON model_version (run_id);

CREATE TABLE model_alias (
    model {int} NOT NULL,
    alias {text} NOT NULL,
    version {int} NOT NULL,
    PRIMARY KEY (model, alias)
) {strict};

-- What happened to a registered model, appended and never changed. version 0: the model itself. what: 1 created, 2 deleted, 3 renamed,
-- 4 description, 5 stage, 6 alias (key), 7 tag (key). value NULL: taken away.
CREATE TABLE registry_log (
    seq {seqid},
    x {x},
    epoch {int} NOT NULL DEFAULT 0,
    model {int} NOT NULL,
    version {int} NOT NULL,
    what {int} NOT NULL,
    key {text} NOT NULL,
    value {text},
    who {text} NOT NULL,
    claimed_ms {int} NOT NULL,
    seen_ms {int} NOT NULL
) {strict};
CREATE INDEX registry_log_model ON registry_log (model, what, key, seq);

-- The bytes that a version stands for, where no logged model is them.
INSERT INTO type (id, kind, name) VALUES (7, 1, 'cairn.Model');
