-- 0018_datasets: data sets are found by name and by digest over all experiments.
CREATE INDEX node_dataset ON node (name, digest) WHERE type_id = 3;
CREATE INDEX node_digest ON node (digest) WHERE type_id = 3;
