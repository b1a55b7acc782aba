#!/usr/bin/env python3
"""tests/10module/test_sqlgen.py - tools/sqlgen.py refuses what would differ between the engines, and says where."""
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
HEAD = "-- name: one :one\n-- in: a int\n-- out: b int\n"
GOOD_SCHEMA = "CREATE TABLE t (a {int} NOT NULL PRIMARY KEY, b {body}) {strict};\n"

REFUSED = [  # (what, query file, part of the message)
    ("a cast with ::", HEAD + "SELECT $1::text;\n", "'::' is not portable"),
    ("a question mark", HEAD + "SELECT a FROM t WHERE a = ?;\n", "parameters are written $1"),
    ("a colon name", HEAD + "SELECT a FROM t WHERE a = :a;\n", "parameters are written $1"),
    ("a parameter too many", HEAD + "SELECT a FROM t WHERE a = $1 AND b = $2;\n", "uses parameters [1, 2], declares 1"),
    ("an unused parameter", "-- name: x :exec\n-- in: a int, b int\nDELETE FROM t WHERE a = $1;\n", "uses parameters [1], declares 2"),
    ("a named parameter", HEAD + "SELECT a FROM t WHERE a = $1 OR a = $x;\n", "uses parameters"),
    ("two statements", HEAD + "SELECT a FROM t; SELECT $1;\n", "must be one statement"),
    ("no semicolon", HEAD + "SELECT a FROM t WHERE a = $1\n", "must be one statement"),
    ("LIKE", HEAD + "SELECT a FROM t WHERE b LIKE $1;\n", "LIKE folds case"),
    ("an unknown kind", "-- name: x :some\nSELECT 1;\n", "expected '-- name: NAME"),
    ("a type nobody knows", "-- name: x :exec\n-- in: a bigint\nDELETE FROM t WHERE a = $1;\n", "cannot read 'a bigint'"),
    ("a keyword of C", "-- name: x :exec\n-- in: default int\nDELETE FROM t WHERE a = $1;\n", "cannot be a name in C"),
    ("columns of :exec", "-- name: x :exec\n-- out: a int\nDELETE FROM t;\n", "has no columns"),
    (":one without columns", "-- name: x :one\nSELECT 1;\n", "needs '-- out:'"),
    ("a name twice", HEAD + "SELECT $1;\n" + HEAD + "SELECT $1;\n", "is also in"),
    ("a column twice", "-- name: x :one\n-- out: a int, a int\nSELECT 1, 2;\n", "a name appears twice"),
    ("a list outside {in:}", "-- name: x :exec\n-- in: a int[]\nDELETE FROM t WHERE a = $1;\n", "list parameters are used as"),
    ("{in:} of a number", "-- name: x :exec\n-- in: a int\nDELETE FROM t WHERE a {in:$1};\n", "list parameters are used as"),
    ("an unknown macro", HEAD + "SELECT {now} FROM t WHERE a = $1;\n", "unknown macro"),
    ("one engine only", HEAD + "-- engine: sqlite\nSELECT $1;\n", "needs one text for both engines"),
    ("an engine nobody knows", HEAD + "-- engine: oracle\nSELECT $1;\n", "unknown engine"),
    ("SQL before a name", "SELECT 1;\n", "SQL before the first"),
    ("rows without {rows}", "-- name: x :rows\n-- in: a int\nINSERT INTO t (a) VALUES ($1);\n", "needs {rows} once"),
    ("rows and a parameter", "-- name: x :rows\n-- in: a int\nINSERT INTO t (a) {rows} ON CONFLICT (a) DO UPDATE SET a = $1;\n", "needs {rows} once"),
    ("rows that begin with NULL", "-- name: x :rows\n-- in: a int?\nINSERT INTO t (a) {rows};\n", "is never NULL"),
]
REFUSED_SCHEMA = [
    ("an unknown type", "CREATE TABLE t (a {number});\n", "unknown macro {number}"),
    ("a statement without an end", "CREATE TABLE t (a {int})\n", "does not end with ';'"),
    ("a cast in the schema", "INSERT INTO t VALUES ('1'::int);\n", "'::' is not portable"),
]
GOOD = HEAD + """SELECT b FROM t WHERE a = $1 AND b <> '$2 :: ? {x}';
-- name: many :many
-- in: ids int[], names text[], maybe text?, n int?
-- out: a int?, b blob?
SELECT a, b FROM t WHERE a {in:$1} AND b {in:$2} AND b IS NOT DISTINCT FROM $3 AND a = $4;
-- name: two :execrows
-- in: a int
-- engine: sqlite
DELETE FROM t WHERE a LIKE $1;
-- engine: postgres
DELETE FROM t WHERE a ILIKE $1;
-- name: several :rowsn
-- in: a int, b blob?
INSERT INTO t (a, b) {rows} ON CONFLICT (a) DO NOTHING;
"""

done = 0
failed = False


def check(what, ok, detail=""):
    global done, failed
    done += 1
    failed = failed or not ok
    print(f"{'ok' if ok else 'not ok'} {done} - {what}")
    if not ok:
        print("\n".join("# " + line for line in detail.splitlines()))


def generate(queries, schema=GOOD_SCHEMA, name="0001_first.sql"):
    """(exit code, output, generated text by file name)"""
    with tempfile.TemporaryDirectory() as tmp:
        root = Path(tmp)
        for folder in ("tools", "src/gen", "src/store/sql/queries", "src/store/sql/schema"):
            (root / folder).mkdir(parents=True)
        shutil.copy(ROOT / "tools/sqlgen.py", root / "tools")
        (root / "src/store/sql/queries/area.sql").write_text(queries)
        (root / "src/store/sql/schema" / name).write_text(schema)
        run = subprocess.run([sys.executable, root / "tools/sqlgen.py"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        made = {p.name: p.read_text() for p in root.glob("src/gen/sql/*")}
        return run.returncode, run.stdout, made


for what, queries, message in REFUSED:
    rc, out, made = generate(queries)
    check(f"refused: {what}", rc == 1 and message in out and not made, out)
for what, schema, message in REFUSED_SCHEMA:
    rc, out, made = generate(GOOD, schema)
    check(f"refused: {what}", rc == 1 and message in out and not made, out)
rc, out, made = generate(GOOD, name="0002_second.sql")
check("refused: a gap in the schema's numbers", rc == 1 and "expected 0001_NAME.sql" in out, out)

rc, out, made = generate(GOOD)
check("a good file is taken", rc == 0 and not out, out)
code, head, schema = made.get("area.inc.h", ""), made.get("area.h", ""), made.get("schema.c", "")
check("a literal stays as it is", code.count("'$2 :: ? {x}'") == 2, code)
check("parameters are numbered for each engine", "a = ?1 AND" in code and "a = $1 AND" in code, code)
check("rows", "const struct q_several_in *q_rows" in head and "INSERT OR FAIL INTO t (a, b) SELECT * FROM (VALUES (?1, ?2), " in code
      and "AS v WHERE v.column1 IS NOT NULL ON CONFLICT" in code and "($31, $32)" in code and "VALUES ($1, $2) ON CONFLICT" in code, code)
check("lists", "IN (SELECT value FROM json_each(?1))" in code and "= ANY ($2)" in code, code)
check("engines have their own text", "LIKE ?1" in code and "ILIKE $1" in code, code)
check("nullable columns", "bool a_null;" in head and "struct str b;" in head, head)
check("nullable parameters", "const int64_t *n," in head and "size_t ids_n" in head, head)
check("types of the schema", "a INTEGER NOT NULL" in schema and "a bigint NOT NULL" in schema and ") STRICT;" in schema, schema)
check("bodies are stored plainly", "ALTER TABLE t ALTER COLUMN b SET STORAGE EXTERNAL;" in schema, schema)
check("the same input gives the same output", generate(GOOD)[2] == made)
print(f"1..{done}")
sys.exit(1 if failed else 0)
