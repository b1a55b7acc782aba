-- 0016_catalog: what the model registry knows beyond MLflow's: artifacts of versions, where models are served, typed properties.

INSERT INTO type (id, kind, name) VALUES (8, 1, 'kf.ModelArtifact');
INSERT INTO type (id, kind, name) VALUES (9, 1, 'kf.DocArtifact');
INSERT INTO type (id, kind, name) VALUES (10, 1, 'kf.DataSet');
INSERT INTO type (id, kind, name) VALUES (11, 1, 'kf.Metric');
INSERT INTO type (id, kind, name) VALUES (12, 1, 'kf.Parameter');
INSERT INTO type (id, kind, name) VALUES (13, 3, 'kf.ServingEnvironment');
INSERT INTO type (id, kind, name) VALUES (14, 3, 'kf.InferenceService');
INSERT INTO type (id, kind, name) VALUES (15, 2, 'kf.ServeModel');

-- Properties of nodes know two more types: 5 boolean (i: 0 or 1), 6 JSON object or list (s: its text).
-- What happened to the typed and custom properties of nodes other than registered models and versions (they have registry_log),
-- appended and never changed. vtype 0: taken away.
CREATE TABLE prop_log (
    seq {seqid},
    x {x},
    epoch {int} NOT NULL DEFAULT 0,
    uid {int} NOT NULL,
    scope {int} NOT NULL,
    key {text} NOT NULL,
    vtype {int} NOT NULL,
    i {int},
    d {real},
    s {text},
    who {text} NOT NULL,
    claimed_ms {int} NOT NULL,
    seen_ms {int} NOT NULL
) {strict};
CREATE INDEX prop_log_uid ON prop_log (uid, key, seq);
