-- 0017_run_event: what happened to a run that its head does not say, appended and never changed. what: 1 taken up again. before: its status
-- until then. since_ms: its last sign of life before.
CREATE TABLE run_event (
    seq {seqid},
    x {x},
    epoch {int} NOT NULL DEFAULT 0,
    run {int} NOT NULL,
    what {int} NOT NULL,
    before {int} NOT NULL,
    since_ms {int} NOT NULL,
    who {text} NOT NULL,
    seen_ms {int} NOT NULL
) {strict};
CREATE INDEX run_event_run ON run_event (run, seq);
