-- 0019_server_listens: whether a server listens to the doorbell (store/sql/bell.h), so that nobody rings where nobody does.
ALTER TABLE server ADD COLUMN listens {int} NOT NULL DEFAULT 0;
