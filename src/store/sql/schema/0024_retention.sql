-- 0024_retention: what may be deleted by itself, for each experiment that has a rule; and every change of a rule.
-- trash_after_ms: finished runs that ended longer ago go to the trash; purge_after_ms: what is longer in the trash goes for good; NULL:
-- never. keep_last: so many newest runs stay.
CREATE TABLE retention (
    exp {int} NOT NULL PRIMARY KEY,
    trash_after_ms {int},
    purge_after_ms {int},
    keep_last {int} NOT NULL
) {strict};
-- Appended and never changed. gone 1: the rule was taken away.
CREATE TABLE retention_log (
    seq {seqid},
    exp {int} NOT NULL,
    gone {int} NOT NULL,
    trash_after_ms {int},
    purge_after_ms {int},
    keep_last {int} NOT NULL,
    who {text} NOT NULL,
    seen_ms {int} NOT NULL
) {strict};
CREATE INDEX retention_log_exp ON retention_log (exp, seq);
-- What a run logged.
CREATE INDEX logged_model_run ON logged_model (source_run) WHERE source_run IS NOT NULL;
