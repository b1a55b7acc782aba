-- 0020_inspection: what the files of a model version said about themselves when they were last looked at (core/model_inspect.h).
-- worst, severity: 0 info, 1 warning, 2 danger; worst -1: nothing was found. Findings: the worst first, at most 200.
CREATE TABLE inspection (
    version {int} NOT NULL PRIMARY KEY,
    files {int} NOT NULL,
    size {int} NOT NULL,
    params {int} NOT NULL,
    tensors {int} NOT NULL,
    findings {int} NOT NULL,
    worst {int} NOT NULL,
    complete {int} NOT NULL,
    formats {text} NOT NULL,
    who {text} NOT NULL,
    at_ms {int} NOT NULL
) {strict};
CREATE TABLE inspection_finding (
    version {int} NOT NULL,
    n {int} NOT NULL,
    severity {int} NOT NULL,
    code {text} NOT NULL,
    what {text} NOT NULL,
    place {text} NOT NULL,
    PRIMARY KEY (version, n)
) {strict};
