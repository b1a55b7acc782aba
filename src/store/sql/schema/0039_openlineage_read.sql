-- 0039_openlineage_read: what the read API of OpenLineage is asked for, and what its clients write (core/openlineage/read.h).
-- Of what is hidden: ol_ns.hidden, ol_job.hidden and ol_dataset.hidden hold the update_us that it had then, at least 1: an event that is
-- newer brings it back.
CREATE INDEX ol_job_hidden ON ol_job (ns) WHERE hidden <> 0;
CREATE INDEX ol_dataset_hidden ON ol_dataset (ns) WHERE hidden <> 0;
CREATE INDEX ol_job_create ON ol_job (create_us);
CREATE INDEX ol_dataset_create ON ol_dataset (create_us);
CREATE INDEX ol_version_run ON ol_version (run) WHERE run <> 0;

CREATE TABLE ol_tag (
    name {text} NOT NULL PRIMARY KEY,
    description {text} NOT NULL,
    create_ms {int} NOT NULL,
    update_ms {int} NOT NULL
) {strict};
-- Tags of jobs, data sets and (field not empty) columns, beside those that facets say. state: 1 it has the tag, 2 it has not, whatever a
-- facet says.
CREATE TABLE ol_tagged (
    uid {int} NOT NULL,
    field {text} NOT NULL,
    tag {text} NOT NULL,
    state {int} NOT NULL,
    PRIMARY KEY (uid, field, tag)
) {rowless};
