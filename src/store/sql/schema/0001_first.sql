-- 0001_first: the first schema.
-- One text for SQLite and PostgreSQL. Macros: {int} {real} {text} {blob} column types, {strict} table suffix (STRICT on
-- SQLite), {rowless} the same for a table of small rows that lives in its primary key, {body} a large {blob} that is
-- compressed already, {seqid} an ascending primary key that the engine assigns, {x} the writing transaction's id (0 on SQLite).
-- Statements end with a semicolon at the end of a line. Times are milliseconds UTC and end in _ms.

-- Names of everything ---------------------------------------------------------------------------------------------

CREATE TABLE ns (
    id {int} NOT NULL PRIMARY KEY,
    name {text} NOT NULL UNIQUE
) {strict};
INSERT INTO ns (id, name) VALUES (0, 'default');

-- Types have fixed ids below 1000; kind: 1 artifact, 2 execution, 3 context.
CREATE TABLE type (
    id {int} NOT NULL PRIMARY KEY,
    kind {int} NOT NULL,
    name {text} NOT NULL,
    version {text} NOT NULL DEFAULT '',
    base {int} NOT NULL DEFAULT 0,
    description {text} NOT NULL DEFAULT '',
    UNIQUE (kind, name, version)
) {strict};
INSERT INTO type (id, kind, name) VALUES (1, 3, 'mlflow.Experiment');
INSERT INTO type (id, kind, name) VALUES (2, 2, 'mlflow.Run');
INSERT INTO type (id, kind, name) VALUES (3, 1, 'mlflow.Dataset');
INSERT INTO type (id, kind, name) VALUES (4, 1, 'mlflow.LoggedModel');
INSERT INTO type (id, kind, name) VALUES (5, 3, 'mlflow.RegisteredModel');
INSERT INTO type (id, kind, name) VALUES (6, 3, 'mlflow.ModelVersion');

-- One row per thing of any tongue. For runs it holds identity only: their attributes live in runhead.
CREATE TABLE node (
    uid {int} NOT NULL PRIMARY KEY,
    ns {int} NOT NULL,
    kind {int} NOT NULL,
    id {int} NOT NULL,
    type_id {int} NOT NULL,
    name {text},
    uri {text},
    digest {text},
    create_ms {int} NOT NULL,
    update_ms {int} NOT NULL,
    flags {int} NOT NULL DEFAULT 0
) {strict};
CREATE UNIQUE INDEX node_id ON node (ns, kind, id);
CREATE INDEX node_type ON node (type_id, uid);

-- Every identity that a tongue gave a node. scheme: 1 mlflow run id, 2 mlflow dataset (experiment NUL name NUL digest),
-- 3 mlflow logged model id, 4 mlflow experiment id (decimal).
CREATE TABLE ident (
    ns {int} NOT NULL,
    scheme {int} NOT NULL,
    key {blob} NOT NULL,
    uid {int} NOT NULL,
    PRIMARY KEY (ns, scheme, key)
) {rowless};
CREATE INDEX ident_uid ON ident (uid);

-- What is left of a hard-deleted node.
CREATE TABLE tombstone (
    uid {int} NOT NULL PRIMARY KEY,
    kind {int} NOT NULL,
    type_id {int} NOT NULL,
    digest {text},
    who {text} NOT NULL,
    gone_ms {int} NOT NULL
) {strict};

-- Dense numbers per name; "node:<ns>:<kind>" counts the ids that a tongue shows.
CREATE TABLE counter (
    name {text} NOT NULL PRIMARY KEY,
    value {int} NOT NULL
) {strict};

-- Properties of nodes that have no run head. scope: 0 typed, 1 custom, 2 param, 3 tag, 4 facet.
-- vtype: 1 integer (i), 2 double (d), 3 text (s), 4 bytes (b).
CREATE TABLE prop (
    uid {int} NOT NULL,
    scope {int} NOT NULL,
    key {text} NOT NULL,
    vtype {int} NOT NULL,
    i {int},
    d {real},
    s {text},
    b {blob},
    PRIMARY KEY (uid, scope, key)
) {strict};

-- Lineage: facts are appended (..._log, op 1 = set, 2 = gone), the tables without _log are their current view ----------

-- Edges point in data-flow direction. role: 1..7 are the event types of ML Metadata (3 = INPUT, 4 = OUTPUT).
CREATE TABLE edge_log (
    seq {seqid},
    x {x},
    epoch {int} NOT NULL DEFAULT 0,
    op {int} NOT NULL,
    src {int} NOT NULL,
    dst {int} NOT NULL,
    role {int} NOT NULL,
    path {blob},
    claimed_ms {int} NOT NULL,
    seen_ms {int} NOT NULL
) {strict};
CREATE INDEX edge_log_src ON edge_log (src, dst, role, seq);
CREATE TABLE edge (
    src {int} NOT NULL,
    dst {int} NOT NULL,
    role {int} NOT NULL,
    path {blob},
    ms {int} NOT NULL,
    PRIMARY KEY (src, dst, role)
) {rowless};
CREATE INDEX edge_dst ON edge (dst, src, role);
-- Tags of an edge, e.g. mlflow.data.context of a dataset input.
CREATE TABLE edge_tag (
    src {int} NOT NULL,
    dst {int} NOT NULL,
    role {int} NOT NULL,
    key {text} NOT NULL,
    value {text} NOT NULL,
    PRIMARY KEY (dst, src, role, key)
) {strict};

CREATE TABLE member_log (
    seq {seqid},
    x {x},
    epoch {int} NOT NULL DEFAULT 0,
    op {int} NOT NULL,
    ctx {int} NOT NULL,
    node {int} NOT NULL,
    role {int} NOT NULL,
    claimed_ms {int} NOT NULL,
    seen_ms {int} NOT NULL
) {strict};
CREATE TABLE member (
    ctx {int} NOT NULL,
    node {int} NOT NULL,
    role {int} NOT NULL,
    PRIMARY KEY (ctx, node, role)
) {rowless};
CREATE INDEX member_node ON member (node, ctx);

CREATE TABLE parent_log (
    seq {seqid},
    x {x},
    epoch {int} NOT NULL DEFAULT 0,
    op {int} NOT NULL,
    child {int} NOT NULL,
    parent {int} NOT NULL,
    role {int} NOT NULL,
    claimed_ms {int} NOT NULL,
    seen_ms {int} NOT NULL
) {strict};
CREATE TABLE parent (
    child {int} NOT NULL,
    parent {int} NOT NULL,
    role {int} NOT NULL,
    PRIMARY KEY (child, parent, role)
) {rowless};
CREATE INDEX parent_parent ON parent (parent, child);

CREATE TABLE column_edge_log (
    seq {seqid},
    x {x},
    epoch {int} NOT NULL DEFAULT 0,
    op {int} NOT NULL,
    src_ds {int} NOT NULL,
    src_field {text} NOT NULL,
    dst_ds {int} NOT NULL,
    dst_field {text} NOT NULL,
    via {int} NOT NULL,
    kind {text} NOT NULL,
    claimed_ms {int} NOT NULL,
    seen_ms {int} NOT NULL
) {strict};
CREATE TABLE column_edge (
    src_ds {int} NOT NULL,
    src_field {text} NOT NULL,
    dst_ds {int} NOT NULL,
    dst_field {text} NOT NULL,
    via {int} NOT NULL,
    kind {text} NOT NULL,
    ms {int} NOT NULL,
    PRIMARY KEY (dst_ds, dst_field, src_ds, src_field, via)
) {rowless};

-- Tracking ---------------------------------------------------------------------------------------------------------

-- lifecycle: 0 active, 1 deleted.
CREATE TABLE experiment (
    id {int} NOT NULL PRIMARY KEY,
    uid {int} NOT NULL UNIQUE,
    name {text} NOT NULL UNIQUE,
    artifact_location {text} NOT NULL,
    lifecycle {int} NOT NULL,
    create_ms {int} NOT NULL,
    update_ms {int} NOT NULL
) {strict};
CREATE TABLE experiment_tag (
    exp {int} NOT NULL,
    key {text} NOT NULL,
    value {text} NOT NULL,
    PRIMARY KEY (exp, key)
) {strict};

-- Metric, param and tag names; never run or model ids.
CREATE TABLE mkey (
    id {int} NOT NULL PRIMARY KEY,
    name {text} NOT NULL UNIQUE
) {strict};

-- The log: one row per group commit, transient.
CREATE TABLE batch (
    seq {seqid},
    x {x},
    epoch {int} NOT NULL DEFAULT 0,
    part {int} NOT NULL,
    n {int} NOT NULL,
    body {body} NOT NULL
) {strict};
-- All keys of one owner (a run, or a model series) for one drain.
CREATE TABLE pack (
    owner {int} NOT NULL,
    w0 {int} NOT NULL,
    n {int} NOT NULL,
    body {body} NOT NULL,
    PRIMARY KEY (owner, w0)
) {strict};
-- A start folds the packs that are newer than the heads into them.
CREATE INDEX pack_w0 ON pack (w0, owner);
-- A run: attributes as columns; latest metrics, params, tags in body. run = node.uid. status: 1 RUNNING, 2 SCHEDULED,
-- 3 FINISHED, 4 FAILED, 5 KILLED. end_ms NULL while running.
CREATE TABLE runhead (
    run {int} NOT NULL PRIMARY KEY,
    exp {int} NOT NULL,
    rid {text} NOT NULL UNIQUE,
    name {text} NOT NULL,
    user_id {text} NOT NULL,
    status {int} NOT NULL,
    lifecycle {int} NOT NULL,
    start_ms {int} NOT NULL,
    end_ms {int},
    create_ms {int} NOT NULL,
    deleted_ms {int},
    artifact_uri {text} NOT NULL,
    ver {int} NOT NULL,
    body {body} NOT NULL
) {strict};
CREATE INDEX runhead_exp ON runhead (exp, start_ms, run);
CREATE TABLE part (
    part {int} NOT NULL PRIMARY KEY,
    mark {int} NOT NULL,
    drain {int} NOT NULL,
    folded {int} NOT NULL,
    fence {int} NOT NULL DEFAULT 0,
    epoch {int} NOT NULL DEFAULT 0
) {strict};
INSERT INTO part (part, mark, drain, folded) VALUES (0, 0, 0, 0);

-- status: 1 PENDING, 2 READY, 3 UPLOAD_FAILED. params and tags are prop rows (scope 2 and 3).
CREATE TABLE logged_model (
    uid {int} NOT NULL PRIMARY KEY,
    mid {text} NOT NULL UNIQUE,
    exp {int} NOT NULL,
    name {text} NOT NULL,
    model_type {text},
    source_run {text},
    status {int} NOT NULL,
    lifecycle {int} NOT NULL,
    artifact_uri {text} NOT NULL,
    create_ms {int} NOT NULL,
    update_ms {int} NOT NULL
) {strict};
CREATE INDEX logged_model_exp ON logged_model (exp, create_ms);
-- Owner of the points that one run logged for one model, on one dataset ('' = none).
CREATE TABLE model_series (
    uid {int} NOT NULL PRIMARY KEY,
    model {int} NOT NULL,
    rid {text} NOT NULL,
    dataset_name {text} NOT NULL,
    dataset_digest {text} NOT NULL,
    UNIQUE (model, rid, dataset_name, dataset_digest)
) {strict};

-- Bytes ------------------------------------------------------------------------------------------------------------

-- state: 1 live, 2 condemned, 3 deleting. recipe: extents (version byte first); NULL when body holds the bytes.
CREATE TABLE object (
    sha256 {blob} NOT NULL PRIMARY KEY,
    size {int} NOT NULL,
    gen {int} NOT NULL,
    state {int} NOT NULL,
    recipe {blob},
    body {body}
) {strict};
CREATE TABLE packfile (
    id {int} NOT NULL PRIMARY KEY,
    place {text} NOT NULL UNIQUE,
    bytes {int} NOT NULL,
    state {int} NOT NULL
) {strict};
CREATE TABLE root (
    id {int} NOT NULL PRIMARY KEY,
    uri {text} NOT NULL UNIQUE,
    owner {int} NOT NULL
) {strict};
-- kind: 1 file, 2 directory. dir has no slash at either end ('' = top).
CREATE TABLE artifact (
    root {int} NOT NULL,
    dir {text} NOT NULL,
    name {text} NOT NULL,
    kind {int} NOT NULL,
    size {int} NOT NULL,
    object {blob},
    mtime_ms {int} NOT NULL,
    PRIMARY KEY (root, dir, name)
) {rowless};
CREATE INDEX artifact_object ON artifact (object);
-- An open upload: a lease that keeps collection away from its object.
CREATE TABLE upload (
    id {text} NOT NULL PRIMARY KEY,
    root {int} NOT NULL,
    path {text} NOT NULL,
    sha256 {blob},
    until_ms {int} NOT NULL,
    create_ms {int} NOT NULL
) {strict};

-- Access -----------------------------------------------------------------------------------------------------------

CREATE TABLE token (
    name {text} NOT NULL PRIMARY KEY,
    sha256 {blob} NOT NULL UNIQUE,
    principal {text} NOT NULL,
    create_ms {int} NOT NULL
) {strict};
CREATE TABLE idempotency (
    principal {text} NOT NULL,
    key {text} NOT NULL,
    request {blob} NOT NULL,
    status {int} NOT NULL,
    answer {blob} NOT NULL,
    create_ms {int} NOT NULL,
    PRIMARY KEY (principal, key)
) {strict};
CREATE INDEX idempotency_ms ON idempotency (create_ms);

-- Engine -----------------------------------------------------------------------------------------------------------

-- The number of the last commit: tells, after a lost connection, whether a commit happened.
-- engine: postgres
CREATE TABLE commit_mark (
    id {int} NOT NULL PRIMARY KEY,
    mark {int} NOT NULL
);
-- engine: postgres
INSERT INTO commit_mark (id, mark) VALUES (0, 0);

-- Rows that come and go are cleaned up by number, not by the share of a table that only grows.
-- engine: postgres
ALTER TABLE commit_mark SET (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
-- engine: postgres
ALTER TABLE batch SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 5000);
-- engine: postgres
ALTER TABLE runhead SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_vacuum_scale_factor = 0.05);
