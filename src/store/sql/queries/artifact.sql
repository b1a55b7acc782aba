-- artifact.sql - objects (bytes known by their SHA-256), roots and the artifact tree.

-- name: object_get :one
-- in: sha256 blob
-- out: size int, gen int, state int, stage int, recipe blob?, body blob?
SELECT size, gen, state, stage, recipe, body FROM object WHERE sha256 = $1;

-- name: object_all :many
-- in: after blob, max int
-- out: sha256 blob, size int, gen int, state int, recipe blob?
SELECT sha256, size, gen, state, recipe FROM object WHERE sha256 > $1 ORDER BY sha256 LIMIT $2;

-- name: root_get :one
-- in: uri text
-- out: id int, owner int
SELECT id, owner FROM root WHERE uri = $1;

-- name: root_insert :exec
-- in: id int, uri text, owner int
INSERT INTO root (id, uri, owner) VALUES ($1, $2, $3);

-- name: root_range :many
-- in: from_uri text, to_uri text
-- out: id int, uri text
SELECT id, uri FROM root WHERE uri >= $1 AND uri < $2 ORDER BY uri;

-- name: root_first :one
-- in: from_uri text, to_uri text
-- out: uri text
SELECT uri FROM root WHERE uri > $1 AND uri < $2 ORDER BY uri LIMIT 1;

-- name: root_delete :exec
-- in: id int
DELETE FROM root WHERE id = $1;

-- name: artifact_get :one
-- in: root int, dir text, name text
-- out: kind int, size int, object blob?, mtime_ms int
SELECT kind, size, object, mtime_ms FROM artifact WHERE root = $1 AND dir = $2 AND name = $3;

-- name: artifact_put :exec
-- in: root int, dir text, name text, kind int, size int, object blob?, now_ms int
INSERT INTO artifact (root, dir, name, kind, size, object, mtime_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (root, dir, name) DO UPDATE
SET kind = excluded.kind, size = excluded.size, object = excluded.object, mtime_ms = excluded.mtime_ms;

-- name: artifact_ls :many
-- in: root int, dir text, after text, max int
-- out: name text, kind int, size int, object blob?, mtime_ms int
SELECT name, kind, size, object, mtime_ms FROM artifact WHERE root = $1 AND dir = $2 AND name > $3 ORDER BY name LIMIT $4;

-- name: artifact_delete :execrows
-- in: root int, dir text, name text
DELETE FROM artifact WHERE root = $1 AND dir = $2 AND name = $3;

-- name: artifact_delete_below :execrows
-- in: root int, dir text, from_dir text, to_dir text
DELETE FROM artifact WHERE root = $1 AND (dir = $2 OR (dir >= $3 AND dir < $4));

-- name: artifact_delete_root :execrows
-- in: root int
DELETE FROM artifact WHERE root = $1;

-- name: artifact_delete_roots :execrows
-- in: from_uri text, to_uri text
DELETE FROM artifact WHERE root IN (SELECT id FROM root WHERE uri >= $1 AND uri < $2);

-- name: root_delete_range :execrows
-- in: from_uri text, to_uri text
DELETE FROM root WHERE uri >= $1 AND uri < $2;

-- Everything of a root, a folder after the other.
-- name: artifact_all :many
-- in: root int
-- out: dir text, name text, kind int, size int, object blob?, mtime_ms int
SELECT dir, name, kind, size, object, mtime_ms FROM artifact WHERE root = $1 ORDER BY dir, name;

-- name: artifact_named :many
-- in: root int, dir text, from_name text, to_name text
-- out: dir text, name text, kind int, size int, object blob?, mtime_ms int
SELECT dir, name, kind, size, object, mtime_ms FROM artifact WHERE root = $1 AND dir = $2 AND name >= $3 AND name < $4 ORDER BY name;

-- name: artifact_dirs :many
-- in: root int, from_dir text, to_dir text
-- out: dir text, name text, kind int, size int, object blob?, mtime_ms int
SELECT dir, name, kind, size, object, mtime_ms FROM artifact WHERE root = $1 AND dir >= $2 AND dir < $3 ORDER BY dir, name;

-- Many at once, for a group of uploads. Element n of each list belongs together; each is found through an index, whatever the
-- planner believes of tables that were empty a moment ago. below: a root lies in [from_uri, to_uri). state, stage: of the content whose
-- SHA-256 is the n-th of sha256s.

-- name: artifact_look_many :many
-- in: uris text[], dirs text[], names text[], from_uris text[], to_uris text[], sha256s blob
-- out: n int, root int?, kind int?, below int, state int?, stage int?
-- engine: sqlite
SELECT u.key, (SELECT r.id FROM root r WHERE r.uri = u.value),
       (SELECT a.kind FROM artifact a
        WHERE a.root = (SELECT r.id FROM root r WHERE r.uri = u.value) AND a.dir = d.value AND a.name = e.value),
       EXISTS (SELECT 1 FROM root r WHERE r.uri >= f.value AND r.uri < t.value),
       (SELECT o.state FROM object o WHERE o.sha256 = substr($6, 32 * u.key + 1, 32)),
       (SELECT o.stage FROM object o WHERE o.sha256 = substr($6, 32 * u.key + 1, 32))
FROM json_each($1) u JOIN json_each($2) d ON d.key = u.key JOIN json_each($3) e ON e.key = u.key
     JOIN json_each($4) f ON f.key = u.key JOIN json_each($5) t ON t.key = u.key;
-- engine: postgres
SELECT u.n - 1, (SELECT r.id FROM root r WHERE r.uri = u.uri),
       (SELECT a.kind FROM artifact a
        WHERE a.root = (SELECT r.id FROM root r WHERE r.uri = u.uri) AND a.dir = u.dir AND a.name = u.name),
       EXISTS (SELECT 1 FROM root r WHERE r.uri >= u.lo AND r.uri < u.hi),
       (SELECT o.state FROM object o WHERE o.sha256 = substr($6, CAST(32 * u.n - 31 AS integer), 32)),
       (SELECT o.stage FROM object o WHERE o.sha256 = substr($6, CAST(32 * u.n - 31 AS integer), 32))
FROM unnest($1, $2, $3, $4, $5) WITH ORDINALITY AS u (uri, dir, name, lo, hi, n);

-- Those that are not there yet; bytes of the n-th begin at ats[n] in bodies.
-- name: object_new_many :exec
-- in: sha256s blob, sizes int[], ats int[], bodies blob
-- engine: sqlite
INSERT INTO object (sha256, size, gen, state, recipe, body)
SELECT substr($1, 32 * s.key + 1, 32), s.value, 0, 1, NULL, substr($4, p.value + 1, s.value)
FROM json_each($2) s JOIN json_each($3) p ON p.key = s.key WHERE TRUE
ON CONFLICT (sha256) DO NOTHING;
-- engine: postgres
INSERT INTO object (sha256, size, gen, state, recipe, body)
SELECT substr($1, CAST(32 * u.n - 31 AS integer), 32), u.size, 0, 1, NULL,
       substr($4, CAST(u.at + 1 AS integer), CAST(u.size AS integer))
FROM unnest($2, $3) WITH ORDINALITY AS u (size, at, n)
ON CONFLICT (sha256) DO NOTHING;

-- Files; each place once.
-- name: artifact_put_many :exec
-- in: roots int[], dirs text[], names text[], sizes int[], sha256s blob, now_ms int
-- engine: sqlite
INSERT INTO artifact (root, dir, name, kind, size, object, mtime_ms)
SELECT r.value, d.value, e.value, 1, s.value, substr($5, 32 * r.key + 1, 32), $6
FROM json_each($1) r JOIN json_each($2) d ON d.key = r.key JOIN json_each($3) e ON e.key = r.key
     JOIN json_each($4) s ON s.key = r.key WHERE TRUE
ON CONFLICT (root, dir, name) DO UPDATE
SET kind = excluded.kind, size = excluded.size, object = excluded.object, mtime_ms = excluded.mtime_ms;
-- engine: postgres
INSERT INTO artifact (root, dir, name, kind, size, object, mtime_ms)
SELECT u.root, u.dir, u.name, 1, u.size, substr($5, CAST(32 * u.n - 31 AS integer), 32), $6
FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS u (root, dir, name, size, n)
ON CONFLICT (root, dir, name) DO UPDATE
SET kind = excluded.kind, size = excluded.size, object = excluded.object, mtime_ms = excluded.mtime_ms;
