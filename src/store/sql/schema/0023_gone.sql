-- 0023_gone: what is left of things says what they were; experiments that are being deleted for good.
-- ref: what the thing was called by (run id, model id, NAME@DIGEST of a data set, id of an experiment). exp, experiment: where it was.
ALTER TABLE tombstone ADD COLUMN ref {text};
ALTER TABLE tombstone ADD COLUMN name {text};
ALTER TABLE tombstone ADD COLUMN exp {int};
ALTER TABLE tombstone ADD COLUMN experiment {text};
CREATE INDEX tombstone_ref ON tombstone (ref);
-- Experiments that have no row any more, while what was in them goes in steps.
CREATE TABLE purge_experiment (
    exp {int} NOT NULL PRIMARY KEY,
    uid {int} NOT NULL,
    name {text} NOT NULL,
    who {text} NOT NULL,
    since_ms {int} NOT NULL
) {strict};
-- Logged models in the trash.
CREATE INDEX logged_model_deleted ON logged_model (update_ms) WHERE lifecycle = 1;
-- Versions that stand for a logged model.
CREATE INDEX model_version_logged ON model_version (model_id) WHERE model_id IS NOT NULL;
