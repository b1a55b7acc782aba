-- 0021_model_stages: the newest version of each stage of a model is the end of a range.
CREATE INDEX model_version_stage ON model_version (model, stage, version);
