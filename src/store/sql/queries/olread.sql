-- olread.sql - what the read API of OpenLineage asks for (core/openlineage/read*.c), and what its clients write (edit.c).
-- What is hidden is left out by "hidden = 0 OR hidden < update_us".

-- name: ol_spaces :many
-- in: max int, skip int
-- out: uid int, name text, create_us int, update_us int, hidden int
SELECT uid, name, create_us, update_us, hidden FROM ol_ns WHERE name >= '' AND (hidden = 0 OR hidden < update_us)
ORDER BY name LIMIT $1 OFFSET $2;

-- name: ol_space_named :one
-- in: name text
-- out: uid int, create_us int, update_us int, hidden int
SELECT uid, create_us, update_us, hidden FROM ol_ns WHERE name = $1;

-- Which of these are namespaces that are not hidden.
-- name: ol_spaces_named :many
-- in: names text[]
-- out: uid int, name text
SELECT uid, name FROM ol_ns WHERE name {in:$1} AND (hidden = 0 OR hidden < update_us);

-- Namespaces that have data sets.
-- name: ol_sources :many
-- in: max int, skip int
-- out: uid int, name text, create_us int, update_us int, hidden int
SELECT n.uid, n.name, n.create_us, n.update_us, n.hidden FROM ol_ns n WHERE n.name >= '' AND (n.hidden = 0 OR n.hidden < n.update_us)
AND EXISTS (SELECT 1 FROM ol_dataset d WHERE d.ns = n.uid) ORDER BY n.name LIMIT $1 OFFSET $2;

-- name: ol_job_uid :one
-- in: ns int, name text
-- out: uid int, shown int
SELECT uid, CASE WHEN hidden = 0 OR hidden < update_us THEN 1 ELSE 0 END FROM ol_job WHERE ns = $1 AND name = $2;

-- name: ol_dataset_uid :one
-- in: ns int, name text
-- out: uid int, shown int
SELECT uid, CASE WHEN hidden = 0 OR hidden < update_us THEN 1 ELSE 0 END FROM ol_dataset WHERE ns = $1 AND name = $2;

-- name: ol_jobs_newest :many
-- in: until_us int, max int, skip int
-- out: uid int
SELECT j.uid FROM ol_job j JOIN ol_ns n ON n.uid = j.ns WHERE j.update_us <= $1 AND (j.hidden = 0 OR j.hidden < j.update_us)
AND (n.hidden = 0 OR n.hidden < n.update_us) ORDER BY j.update_us DESC, j.uid DESC LIMIT $2 OFFSET $3;

-- name: ol_jobs_newest_in :many
-- in: until_us int, states int[], max int, skip int
-- out: uid int
SELECT j.uid FROM ol_job j JOIN ol_ns n ON n.uid = j.ns JOIN ol_run r ON r.uid = j.run
WHERE j.update_us <= $1 AND r.state {in:$2} AND (j.hidden = 0 OR j.hidden < j.update_us)
AND (n.hidden = 0 OR n.hidden < n.update_us) ORDER BY j.update_us DESC, j.uid DESC LIMIT $3 OFFSET $4;

-- name: ol_jobs_count_in :one
-- in: until_us int, states int[]
-- out: n int
SELECT count(*) FROM ol_job j JOIN ol_ns n ON n.uid = j.ns JOIN ol_run r ON r.uid = j.run
WHERE j.update_us <= $1 AND r.state {in:$2} AND (j.hidden = 0 OR j.hidden < j.update_us) AND (n.hidden = 0 OR n.hidden < n.update_us);

-- name: ol_jobs_by_name :many
-- in: ns int, max int, skip int
-- out: uid int
SELECT uid FROM ol_job WHERE ns = $1 AND (hidden = 0 OR hidden < update_us) ORDER BY name LIMIT $2 OFFSET $3;

-- name: ol_jobs_by_name_in :many
-- in: ns int, states int[], max int, skip int
-- out: uid int
SELECT j.uid FROM ol_job j JOIN ol_run r ON r.uid = j.run WHERE j.ns = $1 AND r.state {in:$2} AND (j.hidden = 0 OR j.hidden < j.update_us)
ORDER BY j.name LIMIT $3 OFFSET $4;

-- name: ol_ns_jobs_count_in :one
-- in: ns int, states int[]
-- out: n int
SELECT count(*) FROM ol_job j JOIN ol_run r ON r.uid = j.run WHERE j.ns = $1 AND r.state {in:$2} AND (j.hidden = 0 OR j.hidden < j.update_us);

-- All jobs of a namespace, without a look at their rows; and those that are hidden.
-- name: ol_ns_jobs_count :one
-- in: ns int
-- out: n int
SELECT count(*) FROM ol_job WHERE ns = $1;

-- name: ol_ns_jobs_hidden :one
-- in: ns int
-- out: n int
SELECT count(*) FROM ol_job WHERE ns = $1 AND hidden <> 0 AND hidden >= update_us;

-- Jobs that are new since one, of what is counted already.
-- name: ol_jobs_since :one
-- in: after int
-- out: n int, last int
SELECT count(*), COALESCE(MAX(uid), 0) FROM ol_job WHERE uid > $1;

-- Hidden jobs, and those of hidden namespaces.
-- name: ol_jobs_hidden :one
-- in: least int
-- out: n int
SELECT count(*) FROM ol_ns n JOIN ol_job j ON j.ns = n.uid WHERE n.uid > $1 AND j.hidden <> 0 AND j.hidden >= j.update_us
AND (n.hidden = 0 OR n.hidden < n.update_us);

-- name: ol_spaces_hidden :many
-- in: least int
-- out: uid int
SELECT uid FROM ol_ns WHERE uid > $1 AND hidden <> 0 AND hidden >= update_us;

-- name: ol_datasets_by_name :many
-- in: ns int, max int, skip int
-- out: uid int
SELECT uid FROM ol_dataset WHERE ns = $1 AND (hidden = 0 OR hidden < update_us) ORDER BY name LIMIT $2 OFFSET $3;

-- name: ol_ns_datasets_count :one
-- in: ns int
-- out: n int
SELECT count(*) FROM ol_dataset WHERE ns = $1;

-- name: ol_ns_datasets_hidden :one
-- in: ns int
-- out: n int
SELECT count(*) FROM ol_dataset WHERE ns = $1 AND hidden <> 0 AND hidden >= update_us;

-- name: ol_jobs_of :many
-- in: uids int[]
-- out: uid int, ns text, name text, create_us int, update_us int, run int, shown int, body blob
SELECT j.uid, n.name, j.name, j.create_us, j.update_us, j.run,
       CASE WHEN (j.hidden = 0 OR j.hidden < j.update_us) AND (n.hidden = 0 OR n.hidden < n.update_us) THEN 1 ELSE 0 END, j.body
FROM ol_job j JOIN ol_ns n ON n.uid = j.ns WHERE j.uid {in:$1};

-- With the newest version.
-- name: ol_datasets_of :many
-- in: uids int[]
-- out: uid int, ns text, name text, create_us int, update_us int, version int?, shown int, body blob
SELECT d.uid, n.name, d.name, d.create_us, d.update_us,
       (SELECT v.uid FROM ol_version v WHERE v.dataset = d.uid AND v.live = 1 ORDER BY v.event_us DESC, v.ord DESC LIMIT 1),
       CASE WHEN (d.hidden = 0 OR d.hidden < d.update_us) AND (n.hidden = 0 OR n.hidden < n.update_us) THEN 1 ELSE 0 END, d.body
FROM ol_dataset d JOIN ol_ns n ON n.uid = d.ns WHERE d.uid {in:$1};

-- Names only.
-- name: ol_dataset_names :many
-- in: uids int[]
-- out: uid int, ns text, name text, shown int
SELECT d.uid, n.name, d.name,
       CASE WHEN (d.hidden = 0 OR d.hidden < d.update_us) AND (n.hidden = 0 OR n.hidden < n.update_us) THEN 1 ELSE 0 END
FROM ol_dataset d JOIN ol_ns n ON n.uid = d.ns WHERE d.uid {in:$1};

-- name: ol_job_names :many
-- in: uids int[]
-- out: uid int, ns text, name text, shown int
SELECT j.uid, n.name, j.name,
       CASE WHEN (j.hidden = 0 OR j.hidden < j.update_us) AND (n.hidden = 0 OR n.hidden < n.update_us) THEN 1 ELSE 0 END
FROM ol_job j JOIN ol_ns n ON n.uid = j.ns WHERE j.uid {in:$1};

-- name: ol_runs_of :many
-- in: uids int[]
-- out: uid int, rid blob, text text?, job int, state int, create_us int, update_us int, start_us int?, end_us int?, nominal_start_us int?, nominal_end_us int?, parent int, parent_job int, body blob
SELECT uid, rid, text, job, state, create_us, update_us, start_us, end_us, nominal_start_us, nominal_end_us, parent, parent_job, body
FROM ol_run WHERE uid {in:$1};

-- name: ol_runs_of_job :many
-- in: job int, max int, skip int
-- out: uid int
SELECT uid FROM ol_run WHERE job = $1 ORDER BY create_us DESC, uid DESC LIMIT $2 OFFSET $3;

-- name: ol_runs_count :one
-- in: job int
-- out: n int
SELECT count(*) FROM ol_run WHERE job = $1;

-- Without the one before all that are known (ever), where there are others.
-- name: ol_versions_newest :many
-- in: dataset int, ever int, max int, skip int
-- out: uid int
SELECT v.uid FROM ol_version v WHERE v.dataset = $1 AND v.live = 1 AND (v.event_us > $2
    OR NOT EXISTS (SELECT 1 FROM ol_version o WHERE o.dataset = $1 AND o.live = 1 AND o.event_us > $2))
ORDER BY v.event_us DESC, v.ord DESC LIMIT $3 OFFSET $4;

-- name: ol_versions_count :one
-- in: dataset int, ever int
-- out: n int
SELECT count(*) FROM ol_version v WHERE v.dataset = $1 AND v.live = 1 AND (v.event_us > $2
    OR NOT EXISTS (SELECT 1 FROM ol_version o WHERE o.dataset = $1 AND o.live = 1 AND o.event_us > $2));

-- name: ol_versions_of :many
-- in: uids int[]
-- out: uid int, dataset int, event_us int, run int, name text?, body blob
SELECT uid, dataset, event_us, run, name, body FROM ol_version WHERE uid {in:$1};

-- What runs read and wrote: versions of data sets. The other end is dst of an input, src of an output.
-- name: ol_run_inputs :many
-- in: runs int[], max int
-- out: run int, version int, dataset int
SELECT e.dst, e.src, v.dataset FROM edge e JOIN ol_version v ON v.uid = e.src WHERE e.dst {in:$1} AND e.role = 3
ORDER BY e.dst, e.src LIMIT $2;

-- name: ol_run_outputs :many
-- in: runs int[], max int
-- out: run int, version int, dataset int
SELECT e.src, e.dst, v.dataset FROM edge e JOIN ol_version v ON v.uid = e.dst WHERE e.src {in:$1} AND e.role = 4
ORDER BY e.src, e.dst LIMIT $2;

-- The runs that made versions.
-- name: ol_makers :many
-- in: versions int[], max int
-- out: run int, version int
SELECT e.src, e.dst FROM edge e JOIN ol_run r ON r.uid = e.src WHERE e.dst {in:$1} AND e.role = 4 ORDER BY e.dst, e.src LIMIT $2;

-- What jobs read and write now: what an event of the job itself says, what its newest run says, and where that says nothing of a direction,
-- what runs before it said. last_us is in whole minutes.
-- name: ol_io_of_jobs :many
-- in: jobs int[], max int
-- out: job int, dir int, dataset int
SELECT i.job, i.dir, i.dataset FROM ol_io i JOIN ol_job j ON j.uid = i.job LEFT JOIN ol_run r ON r.uid = j.run
WHERE i.job {in:$1} AND (i.said >= 2 OR r.uid IS NULL OR i.last_us + 60000000 > r.create_us
      OR NOT EXISTS (SELECT 1 FROM ol_io o WHERE o.job = i.job AND o.dir = i.dir AND o.last_us + 60000000 > r.create_us))
ORDER BY i.job, i.dir, i.dataset LIMIT $2;

-- name: ol_io_of_datasets :many
-- in: datasets int[], dir int, max int
-- out: job int, dir int, dataset int
SELECT i.job, i.dir, i.dataset FROM ol_io i JOIN ol_job j ON j.uid = i.job JOIN ol_ns n ON n.uid = j.ns LEFT JOIN ol_run r ON r.uid = j.run
WHERE i.dataset {in:$1} AND i.dir = $2 AND (j.hidden = 0 OR j.hidden < j.update_us) AND (n.hidden = 0 OR n.hidden < n.update_us)
      AND (i.said >= 2 OR r.uid IS NULL OR i.last_us + 60000000 > r.create_us
      OR NOT EXISTS (SELECT 1 FROM ol_io o WHERE o.job = i.job AND o.dir = i.dir AND o.last_us + 60000000 > r.create_us))
ORDER BY i.dataset, i.job LIMIT $3;

-- Search: names that hold a text, whatever the case of letters of ASCII. ns 0: in all.
-- name: ol_search_by_name :many
-- in: part text, least int, ns int, dataset int, job int, from_us int, until_us int, max int
-- out: is_job int, uid int, ns text, name text, update_us int
SELECT 0, d.uid, n.name, d.name, d.update_us FROM ol_ns n JOIN ol_dataset d ON d.ns = n.uid
WHERE n.uid > $2 AND ($3 = 0 OR n.uid = $3) AND $4 = 1 AND ($1 = '' OR replace(lower(d.name), $1, '') <> lower(d.name)) AND d.update_us >= $6 AND d.update_us < $7
      AND (d.hidden = 0 OR d.hidden < d.update_us) AND (n.hidden = 0 OR n.hidden < n.update_us)
UNION ALL
SELECT 1, j.uid, n.name, j.name, j.update_us FROM ol_ns n JOIN ol_job j ON j.ns = n.uid
WHERE n.uid > $2 AND ($3 = 0 OR n.uid = $3) AND $5 = 1 AND ($1 = '' OR replace(lower(j.name), $1, '') <> lower(j.name)) AND j.update_us >= $6 AND j.update_us < $7
      AND (j.hidden = 0 OR j.hidden < j.update_us) AND (n.hidden = 0 OR n.hidden < n.update_us)
ORDER BY 4, 3, 1 LIMIT $8;

-- name: ol_search_newest :many
-- in: part text, least int, ns int, dataset int, job int, from_us int, until_us int, max int
-- out: is_job int, uid int, ns text, name text, update_us int
SELECT 0, d.uid, n.name, d.name, d.update_us FROM ol_ns n JOIN ol_dataset d ON d.ns = n.uid
WHERE n.uid > $2 AND ($3 = 0 OR n.uid = $3) AND $4 = 1 AND ($1 = '' OR replace(lower(d.name), $1, '') <> lower(d.name)) AND d.update_us >= $6 AND d.update_us < $7
      AND (d.hidden = 0 OR d.hidden < d.update_us) AND (n.hidden = 0 OR n.hidden < n.update_us)
UNION ALL
SELECT 1, j.uid, n.name, j.name, j.update_us FROM ol_ns n JOIN ol_job j ON j.ns = n.uid
WHERE n.uid > $2 AND ($3 = 0 OR n.uid = $3) AND $5 = 1 AND ($1 = '' OR replace(lower(j.name), $1, '') <> lower(j.name)) AND j.update_us >= $6 AND j.update_us < $7
      AND (j.hidden = 0 OR j.hidden < j.update_us) AND (n.hidden = 0 OR n.hidden < n.update_us)
ORDER BY 5 DESC, 4, 3, 1 LIMIT $8;

-- name: ol_search_count :one
-- in: part text, least int, ns int, dataset int, job int, from_us int, until_us int
-- out: n int
SELECT (SELECT count(*) FROM ol_ns n JOIN ol_dataset d ON d.ns = n.uid
WHERE n.uid > $2 AND ($3 = 0 OR n.uid = $3) AND $4 = 1 AND ($1 = '' OR replace(lower(d.name), $1, '') <> lower(d.name)) AND d.update_us >= $6 AND d.update_us < $7
      AND (d.hidden = 0 OR d.hidden < d.update_us) AND (n.hidden = 0 OR n.hidden < n.update_us))
+ (SELECT count(*) FROM ol_ns n JOIN ol_job j ON j.ns = n.uid
WHERE n.uid > $2 AND ($3 = 0 OR n.uid = $3) AND $5 = 1 AND ($1 = '' OR replace(lower(j.name), $1, '') <> lower(j.name)) AND j.update_us >= $6 AND j.update_us < $7
      AND (j.hidden = 0 OR j.hidden < j.update_us) AND (n.hidden = 0 OR n.hidden < n.update_us));

-- Statistics: of events between two times.
-- name: ol_stat_events :one
-- in: from_us int, until_us int
-- out: started int, completed int, failed int, aborted int
SELECT COALESCE(SUM(CASE WHEN type = 1 THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN type = 3 THEN 1 ELSE 0 END), 0),
       COALESCE(SUM(CASE WHEN type = 5 THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN type = 4 THEN 1 ELSE 0 END), 0)
FROM ol_event WHERE event_us >= $1 AND event_us < $2;

-- name: ol_stat_jobs :one
-- in: from_us int, until_us int
-- out: n int
SELECT count(*) FROM ol_job WHERE create_us >= $1 AND create_us < $2;

-- name: ol_stat_datasets :one
-- in: from_us int, until_us int
-- out: n int
SELECT count(*) FROM ol_dataset WHERE create_us >= $1 AND create_us < $2;

-- name: ol_stat_sources :one
-- in: from_us int, until_us int
-- out: n int
SELECT count(*) FROM ol_ns n WHERE n.name >= '' AND n.create_us >= $1 AND n.create_us < $2
AND EXISTS (SELECT 1 FROM ol_dataset d WHERE d.ns = n.uid);

-- name: ol_events_count :one
-- in: from_us int, until_us int
-- out: n int
SELECT count(*) FROM ol_event WHERE event_us >= $1 AND event_us < $2;

-- name: ol_tags :many
-- in: max int, skip int
-- out: name text, description text
SELECT name, description FROM ol_tag WHERE name >= '' ORDER BY name LIMIT $1 OFFSET $2;

-- name: ol_tag_put :exec
-- in: name text, description text, now_ms int
INSERT INTO ol_tag (name, description, create_ms, update_ms) VALUES ($1, $2, $3, $3)
ON CONFLICT (name) DO UPDATE SET description = excluded.description, update_ms = excluded.update_ms;

-- name: ol_tag_need :exec
-- in: name text, now_ms int
INSERT INTO ol_tag (name, description, create_ms, update_ms) VALUES ($1, '', $2, $2) ON CONFLICT (name) DO NOTHING;

-- name: ol_tagged_of :many
-- in: uids int[]
-- out: uid int, field text, tag text, state int
SELECT uid, field, tag, state FROM ol_tagged WHERE uid {in:$1} ORDER BY uid, field, tag;

-- name: ol_tagged_put :exec
-- in: uid int, field text, tag text, state int
INSERT INTO ol_tagged (uid, field, tag, state) VALUES ($1, $2, $3, $4) ON CONFLICT (uid, field, tag) DO UPDATE SET state = excluded.state;

-- name: ol_job_hide :exec
-- in: uid int
UPDATE ol_job SET hidden = CASE WHEN update_us > 1 THEN update_us ELSE 1 END WHERE uid = $1;

-- name: ol_dataset_hide :exec
-- in: uid int
UPDATE ol_dataset SET hidden = CASE WHEN update_us > 1 THEN update_us ELSE 1 END WHERE uid = $1;

-- name: ol_ns_hide :exec
-- in: uid int
UPDATE ol_ns SET hidden = CASE WHEN update_us > 1 THEN update_us ELSE 1 END WHERE uid = $1;

-- name: ol_values_of :many
-- in: hs int[]
-- out: h int, h2 int, raw_n int, body blob
SELECT h, h2, raw_n, body FROM ol_value WHERE h {in:$1};

-- Columns of data sets that lineage knows.
-- name: ol_fields_of :many
-- in: sets int[], max int
-- out: uid int, ds int, name text
SELECT uid, ds, name FROM field WHERE ds {in:$1} ORDER BY ds, name LIMIT $2;

-- name: ol_fields :many
-- in: uids int[]
-- out: uid int, ds int, name text
SELECT uid, ds, name FROM field WHERE uid {in:$1};

-- name: ol_columns_up :many
-- in: columns int[], max int
-- out: src int, dst int, kind text
SELECT DISTINCT src, dst, kind FROM column_edge WHERE dst {in:$1} AND src_field <> '' AND dst_field <> '' ORDER BY dst, src, kind LIMIT $2;

-- name: ol_columns_down :many
-- in: columns int[], max int
-- out: src int, dst int, kind text
SELECT DISTINCT src, dst, kind FROM column_edge WHERE src {in:$1} AND src_field <> '' AND dst_field <> '' ORDER BY dst, src, kind LIMIT $2;

-- The last event of those that a page leaves out.
-- name: ol_event_skip_up :one
-- in: from_us int, until_us int, skip int
-- out: event_us int, seq int
SELECT event_us, seq FROM ol_event WHERE event_us >= $1 AND event_us < $2 ORDER BY event_us, seq LIMIT 1 OFFSET $3;

-- name: ol_event_skip_down :one
-- in: from_us int, until_us int, skip int
-- out: event_us int, seq int
SELECT event_us, seq FROM ol_event WHERE event_us >= $1 AND event_us < $2 ORDER BY event_us DESC, seq DESC LIMIT 1 OFFSET $3;

-- name: ol_events_since :one
-- in: after int
-- out: n int, last int
SELECT count(*), COALESCE(MAX(seq), 0) FROM ol_event WHERE seq > $1;
