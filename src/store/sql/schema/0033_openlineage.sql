-- 0033_openlineage: events of OpenLineage as they came, and what they say of jobs, runs and data (core/openlineage/openlineage.h).
-- Times are microseconds UTC here and end in _us; those of shared tables are milliseconds. What the rows behind ol_value say is the same
-- for every order in which the same events came.

INSERT INTO type (id, ns, kind, name) VALUES (16, 0, 2, 'openlineage.Run');
INSERT INTO type (id, ns, kind, name) VALUES (17, 0, 3, 'openlineage.Job');
INSERT INTO type (id, ns, kind, name) VALUES (18, 0, 3, 'openlineage.Dataset');
INSERT INTO type (id, ns, kind, name) VALUES (19, 0, 1, 'openlineage.DatasetVersion');
INSERT INTO type (id, ns, kind, name) VALUES (20, 0, 3, 'openlineage.Namespace');

-- Events. h, h2: of the canonical body; an event that is there already is not stored again. kind: 1 of a run, 2 of a job, 3 of a data set.
-- type: 0 none, 1 START, 2 RUNNING, 3 COMPLETE, 4 ABORT, 5 FAIL, 6 OTHER, 7 any other word. run, job, dataset: nodes, 0 = none.
CREATE TABLE ol_event (
    seq {int} NOT NULL PRIMARY KEY,
    h {int} NOT NULL,
    h2 {int} NOT NULL,
    event_us {int} NOT NULL,
    kind {int} NOT NULL,
    type {int} NOT NULL,
    run {int} NOT NULL,
    job {int} NOT NULL,
    dataset {int} NOT NULL
) {strict};
CREATE UNIQUE INDEX ol_event_hash ON ol_event (h, h2);
CREATE INDEX ol_event_time ON ol_event (event_us, seq);
-- Their bytes: those of events first .. first + n - 1 together, compressed (docs/formats/olpack.md). Not each of these need have a row.
CREATE TABLE ol_pack (
    first {int} NOT NULL PRIMARY KEY,
    n {int} NOT NULL,
    raw_n {int} NOT NULL,
    body {body} NOT NULL
) {strict};

-- Values of facets that are too large to lie in the row of what has them, compressed, each once.
CREATE TABLE ol_value (
    h {int} NOT NULL,
    h2 {int} NOT NULL,
    raw_n {int} NOT NULL,
    body {body} NOT NULL,
    PRIMARY KEY (h, h2)
) {strict};

-- Everything below has a node of the same uid. body: facets, and what else is known of when they were said (docs/formats/olpack.md).
-- create_us, update_us: times of the oldest and the newest event that names it. hidden: deleted by a client of the read API.
CREATE TABLE ol_ns (
    uid {int} NOT NULL PRIMARY KEY,
    name {text} NOT NULL UNIQUE,
    create_us {int} NOT NULL,
    update_us {int} NOT NULL,
    hidden {int} NOT NULL DEFAULT 0
) {strict};
-- run: the one that the newest event of a run of it is of, 0 = none.
CREATE TABLE ol_job (
    uid {int} NOT NULL PRIMARY KEY,
    ns {int} NOT NULL,
    name {text} NOT NULL,
    create_us {int} NOT NULL,
    update_us {int} NOT NULL,
    run {int} NOT NULL,
    hidden {int} NOT NULL DEFAULT 0,
    body {body} NOT NULL,
    UNIQUE (ns, name)
) {strict};
CREATE INDEX ol_job_update ON ol_job (update_us, uid);
CREATE TABLE ol_dataset (
    uid {int} NOT NULL PRIMARY KEY,
    ns {int} NOT NULL,
    name {text} NOT NULL,
    create_us {int} NOT NULL,
    update_us {int} NOT NULL,
    hidden {int} NOT NULL DEFAULT 0,
    body {body} NOT NULL,
    UNIQUE (ns, name)
) {strict};
CREATE INDEX ol_dataset_update ON ol_dataset (update_us, uid);
-- rid: its UUID. text: what the producer called it, where that is no UUID. state: 1 new, 2 running, 3 complete, 4 failed, 6 cancelled.
-- parent, root: runs that its parent facet names, 0 = none; parent_job: the job named there.
CREATE TABLE ol_run (
    uid {int} NOT NULL PRIMARY KEY,
    rid {blob} NOT NULL,
    text {text},
    job {int} NOT NULL,
    state {int} NOT NULL,
    create_us {int} NOT NULL,
    update_us {int} NOT NULL,
    start_us {int},
    end_us {int},
    nominal_start_us {int},
    nominal_end_us {int},
    parent {int} NOT NULL,
    parent_job {int} NOT NULL,
    root {int} NOT NULL,
    body {body} NOT NULL
) {strict};
CREATE INDEX ol_run_job ON ol_run (job, create_us, uid);
CREATE INDEX ol_run_text ON ol_run (text) WHERE text IS NOT NULL;
CREATE INDEX ol_run_parent ON ol_run (parent, uid) WHERE parent <> 0;
-- A version of a data set. run: the one that made it without saying which version it is; name: the version that producers said; neither:
-- what was there before any version that is known (event_us is the smallest number). event_us: since when it is known. live 0: the run
-- said later that it made another one, or nothing.
CREATE TABLE ol_version (
    uid {int} NOT NULL PRIMARY KEY,
    dataset {int} NOT NULL,
    live {int} NOT NULL,
    event_us {int} NOT NULL,
    ord {int} NOT NULL,
    run {int} NOT NULL,
    name {text},
    body {body} NOT NULL
) {strict};
CREATE INDEX ol_version_time ON ol_version (dataset, live, event_us, ord);
CREATE UNIQUE INDEX ol_version_ord ON ol_version (dataset, ord);

-- Inputs of runs that did not say which version they read: the newest that was known when they first said so (event_us), but none that the
-- run makes itself (own, 0 = none).
CREATE TABLE ol_read (
    run {int} NOT NULL,
    dataset {int} NOT NULL,
    event_us {int} NOT NULL,
    version {int} NOT NULL,
    own {int} NOT NULL,
    PRIMARY KEY (run, dataset)
) {rowless};
CREATE INDEX ol_read_dataset ON ol_read (dataset, event_us);
-- Which jobs read (dir 1) and write (dir 2) a data set. last_us: the newest event that says so. said: bit 1 by runs, bit 2 by an
-- event of the job itself.
CREATE TABLE ol_io (
    job {int} NOT NULL,
    dir {int} NOT NULL,
    dataset {int} NOT NULL,
    last_us {int} NOT NULL,
    said {int} NOT NULL,
    PRIMARY KEY (job, dir, dataset)
) {rowless};
CREATE INDEX ol_io_dataset ON ol_io (dataset, dir, job);
-- Other names of a data set: kind 1 as its symlinks facet has them now, with their type; 2 what it was called before it was renamed.
CREATE TABLE ol_symlink (
    dataset {int} NOT NULL,
    kind {int} NOT NULL,
    other {int} NOT NULL,
    type {text} NOT NULL,
    event_us {int} NOT NULL,
    PRIMARY KEY (dataset, kind, other)
) {rowless};
CREATE INDEX ol_symlink_other ON ol_symlink (other, dataset);
-- What made the columns of a data set, as the newest event of a job says (0 = an event of the data set itself): the stamp of that event
-- and the hash of what it said.
CREATE TABLE ol_columns (
    job {int} NOT NULL,
    dataset {int} NOT NULL,
    event_us {int} NOT NULL,
    h {int} NOT NULL,
    value_h {int} NOT NULL,
    PRIMARY KEY (job, dataset)
) {rowless};
-- Links that lineage facets say: src and dst are jobs or data sets, via is the job that said so (0 = an event of the data set), of the
-- facet of `of`.
CREATE TABLE ol_link (
    of {int} NOT NULL,
    via {int} NOT NULL,
    src {int} NOT NULL,
    dst {int} NOT NULL,
    event_us {int} NOT NULL,
    PRIMARY KEY (of, via, src, dst)
) {rowless};
CREATE INDEX ol_link_src ON ol_link (src, dst);
CREATE INDEX ol_link_dst ON ol_link (dst, src);
