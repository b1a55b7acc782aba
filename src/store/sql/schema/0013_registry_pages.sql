-- 0013_registry_pages: pages of a model's history, newest first; the history of an alias apart, because few events are of one.
DROP INDEX registry_log_model;
CREATE INDEX registry_log_model ON registry_log (model, seq);
CREATE INDEX registry_log_alias ON registry_log (model, key, seq) WHERE what = 6;
