-- 0029_keep_best: rules keep the best runs by a metric. keep_best 0: none; maximum 1: the highest value is best, 0: the lowest.
ALTER TABLE retention ADD COLUMN keep_best {int} NOT NULL DEFAULT 0;
ALTER TABLE retention ADD COLUMN metric {text} NOT NULL DEFAULT '';
ALTER TABLE retention ADD COLUMN maximum {int} NOT NULL DEFAULT 0;
ALTER TABLE retention_log ADD COLUMN keep_best {int} NOT NULL DEFAULT 0;
ALTER TABLE retention_log ADD COLUMN metric {text} NOT NULL DEFAULT '';
ALTER TABLE retention_log ADD COLUMN maximum {int} NOT NULL DEFAULT 0;
