-- 0011_registry_gone: the history of a model that was deleted is found by its name.
CREATE INDEX registry_log_gone ON registry_log (value) WHERE what = 2 AND version = 0;
