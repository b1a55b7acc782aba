#!/usr/bin/env python3
"""Searches compared with MLflow's own: its SQL store answers the same filters and orders over the same runs, and its
parsers read the same filters of experiments and logged models.
Usage: test_search_mlflow.py SEARCH_TOOL [SEED]. Skipped where the Python environment with mlflow is not installed
(tools/pyenv mlflow-new makes it)."""
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path(os.environ.get("CAIRN_PYENV_NEW", ROOT / ".cache/pyenv/mlflow-new/bin/python"))
if not PYTHON.exists():
    print("1..0 # SKIP no Python environment with mlflow (tools/pyenv mlflow-new)")
    sys.exit(0)
if os.environ.get("CAIRN_SEARCH_INNER") != "1":
    os.environ.update(CAIRN_SEARCH_INNER="1", MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
    os.environ["MLFLOW_LOGGING_LEVEL"] = "ERROR"
    os.execv(PYTHON, [str(PYTHON), __file__, *sys.argv[1:]])

import logging  # noqa: E402

logging.disable(logging.INFO)
from mlflow.entities import (  # noqa: E402
    Dataset, DatasetInput, InputTag, Metric, Param, RunStatus, RunTag, ViewType)
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: E402
from mlflow.utils.search_logged_model_utils import parse_filter_string  # noqa: E402
from mlflow.utils.search_utils import SearchExperimentsUtils  # noqa: E402

SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
rng = random.Random(SEED)
RUNS_N, FILTERS_N, ORDERS_N = 60, 400, 100

TEXTS = ["", "a", "A", "ab", "a_b", "a%b", "aXb", "it's", 'say "x"', "back\\slash", "été", "ÉTÉ", "Ω", "x y", "10", "9"]
NUMBERS = [-1.5, 0.0, 1.0, 2.5, 1e10, -1e-5, math.nan, math.inf]
METRICS, PARAMS, TAGS = ["m", "loss", "my metric", "a/b"], ["p", "opt", "x y", "é"], ["t", "mlflow.user", "k.v"]


def make_runs(store):
    experiment = store.create_experiment("e")
    for i in range(RUNS_N):
        tags = [RunTag(k, rng.choice(TEXTS)) for k in TAGS if rng.random() < 0.6]
        run = store.create_run(experiment, rng.choice(["ann", "Bob", ""]), rng.randrange(1000, 1006), tags,
                               f"run {i}" if rng.random() < 0.5 else rng.choice(["blue", "Blue"]))
        run_id = run.info.run_id
        store.log_batch(run_id, [Metric(k, rng.choice(NUMBERS), 1, 0) for k in METRICS if rng.random() < 0.7],
                        [Param(k, rng.choice(TEXTS)) for k in PARAMS if rng.random() < 0.7], [])
        if rng.random() < 0.5:
            status = rng.choice([RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED])
            store.update_run_info(run_id, status, rng.randrange(2000, 2004), None)
        inputs = [DatasetInput(Dataset(name, digest, "local", "{}"),
                               [InputTag("mlflow.data.context", context)] if context else [])
                  for name, digest, context in [("iris", "d1", "train"), ("wine", "d2", "Test"), ("iris", "d3", None)]
                  if rng.random() < 0.3]
        store.log_inputs(run_id, inputs)
    return experiment


class Tool:
    """The C side: one line in, one line out (none for a run)."""

    def __init__(self):
        self.proc = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, *fields):
        self.proc.stdin.write(("\t".join(fields) + "\n").encode())

    def ask(self, *fields):
        self.send(*fields)
        self.proc.stdin.flush()
        return self.proc.stdout.readline().decode().rstrip("\n")

    def close(self):
        self.proc.stdin.close()
        return self.proc.wait()


def enc(text):
    return quote(text, safe=" ") if text else ""


def send_runs(tool, store, experiment):
    for run in store.search_runs([experiment], "", ViewType.ALL, 1000):
        info, data = run.info, run.data
        fields = [f"m:{quote(k, safe='')}={v!r}" for k, v in data.metrics.items()]
        fields += [f"p:{quote(k, safe='')}={quote(v, safe='')}" for k, v in data.params.items()]
        fields += [f"t:{quote(k, safe='')}={quote(v, safe='')}" for k, v in data.tags.items()]
        for one in run.inputs.dataset_inputs:
            context = [t.value for t in one.tags if t.key == "mlflow.data.context"]
            fields.append(f"d:{one.dataset.name}={one.dataset.digest}={context[0] if context else ''}")
        end = "-" if info.end_time is None else str(info.end_time)
        tool.send("run", info.run_id, str(info.start_time), end, info.status, enc(info.run_name), enc(info.user_id),
                  enc(info.artifact_uri), *fields)


# Texts of errors are equal but for the order of sets, for what cairn has more of, and for how a clause that cannot be
# read is cut into tokens (test_search_parse.c has the exact texts).
def normal(message):
    for cut in (r"not one of ", r"Valid keys are ", r"Expected one of ", r"Invalid clause\(s\) in filter string"):
        message = re.sub(cut + ".*", cut, message, flags=re.S)
    return message


def theirs(call):
    """("ok", value), ("error", text), or ("crash", name) where a mistake of the user is an internal error."""
    try:
        return "ok", call()
    except Exception as e:  # noqa: BLE001
        if type(e).__name__ != "MlflowException" or "duplicate fields" in str(e):
            return "crash", f"{type(e).__name__} {e}"
        return "error", str(e)


# What MLflow refuses and cairn takes.
EXTENSIONS = re.compile(r"\bOR\b|\bNOT\b|\(|=~|!~|RLIKE|\bIN\b|[-/+:]|order =|\b\d+e\+", re.I)
# Numbers that are none: MLflow's lexer cuts them to pieces, cairn shows them whole.
MALFORMED = re.compile(r"0x10|1\.2\.3|1e5e5")
failures = []
counts = {"ok": 0, "error": 0, "crash": 0, "extension": 0}


def compare(what, their, our):
    kind, value = their
    counts[kind] += 1
    if kind == "ok":
        if our != value:
            failures.append(f"{what}\n  theirs {value}\n  ours   {our}")
    elif our.startswith("! "):
        if kind == "error" and normal(our[2:]) != normal(value) and not MALFORMED.search(what):
            failures.append(f"{what}\n  theirs {value}\n  ours   {our[2:]}")
    elif EXTENSIONS.search(what):
        counts["extension"] += 1
    else:
        failures.append(f"{what}\n  theirs {kind} {value}\n  ours   accepted: {our}")


# ---- filters -------------------------------------------------------------------------------------

HAND_WRITTEN = """metrics.m > 1 metrics.loss > 2|metrics.m > 1 AND|AND metrics.m > 1 AND AND metrics.loss=2|metrics.m >|foo
metrics.m|metrics.m > 1;|metrics.m > 1; metrics.loss > 2|metrics.`my metric` > 1e0|metrics.m > .5|metrics.m > 5.
metrics.m > -1|metrics.m>-1|metrics."a/b" >= 0|params.p = 'it''s'|params.p = "it's"|params.p = abc|params.p=`abc`
params.p = 5|params.p > 'a'|params.p like 'a%'|params.p LIKE 'a_b'|params.p LIKE 'a%b'
params.p ILIKE 'A%'|tags.t IS NULL|tags.t is not null|metrics.m IS NULL|run_id IN ()|run_id IN (1)|metrics.m = nan
`run name` = 'blue'|"run name" = 'blue'|attributes.'Run name' = 'blue'|`metrics`.m > 1|"metrics".m > 1|Metrics.m > 1
metrics.m == 1|metrics.m <> 1|metrics.m => 1|5 > 3|'a' = 'b'|metrics.m > metrics.loss|metrics.m > 'x'
status = FINISHED|start_time = '5'|start_time > 1002.5|start_time > 99999999999999|datasets.name = 5
datasets.foo = 'x'|dataset.name IN ('iris')|foo.bar = 'x'|foo = 'x'|metrics.a.b.c = 1|metrics. = 1|metrics.'m' = 1
params.p = ''|params.p = '|params.p = 'a|   |metrics.m>1and metrics.loss>2|tags.mlflow.user = 'a'|tags.k.v != 'a'
params.é = 'a'|end_time = 2001 aNd run_name = 'blue'|params.p\t=\n'a'|user_id = 'ann'|user_id != 'ann'|user_id = ''
created > 1003 and Created < 1005|end_time != 5|end_time >= 2001|status != 'RUNNING'|status ILIKE 'fin%'
datasets.name = 'iris' and datasets.digest = 'd2'|datasets.name != 'iris'|dataset.context LIKE 'T%'
dataset.context != 'train'|dataset.context IN ('train', 'Test')|metrics.m != 1|metrics.m = 0|metrics.m <= 0
metrics.m >= 1e308|params.p != 'a' and params.p != 'ab'|artifact_uri LIKE '%artifacts'|artifact_uri LIKE 'x'
params.p LIKE 'back\\slash'|params.p = 'back\\slash'|params.p LIKE '%"%'|tags.`k.v` = 'a'|params."x y" = '10'
attribute.foo = 'x'|params.x y = 'a'|metrics.m > 1 garbage|metrics.m > 1, metrics.loss > 2|metrics.m 1|> 1|= 'x'
run.status = 'FAILED'|attr.status = 'KILLED'|parameter.opt = 'a'|parameters.opt = 'A'|param.opt = 'ab'|metric.m < 1
tag.t = 'a'|params.p IS NOT NULL and tags.t IS NULL|params.p is null or|params.p IS 'x'|run_name LIKE 'run _'
run_name != 'blue'|metrics.m > 0x10|metrics.m > 1.2.3|metrics.m > 1e5e5|metrics.m BETWEEN 1 AND 2|params.p = NULL
params.p = 'a' -- c|params.p = 'a' /* c */|params.p NOT LIKE 'a%'|datasets.name IS NULL|start_time IS NOT NULL"""


def quoted(text):
    return f"'{text}'" if "'" not in text and (rng.random() < 0.7 or '"' in text) else f'"{text}"'


def key_of(kind, name):
    prefix = rng.choice({"m": ["metrics", "metric"], "p": ["params", "param", "parameter", "parameters"],
                         "t": ["tags", "tag"]}[kind])
    if re.fullmatch(r"[\w.]+", name) and rng.random() < 0.6:
        return f"{prefix}.{name}"
    mark = rng.choice('`"')
    return f"{prefix}.{mark}{name}{mark}"


def pattern(texts):
    text = rng.choice(texts)
    return "".join(rng.choice([c, c, c, "_", "%"]) for c in text) + rng.choice(["", "%"])


def clause():
    kind = rng.choice("mmptpad")
    if kind == "m":
        value = rng.choice(["0", "1", "2.5", "-1.5", "1e10", "-1e-5", ".5", "3."])
        return f"{key_of('m', rng.choice(METRICS))} {rng.choice(['=', '!=', '<', '<=', '>', '>='])} {value}"
    if kind in "pt":
        key = key_of(kind, rng.choice(PARAMS if kind == "p" else TAGS))
        comparator = rng.choice(["=", "!=", "LIKE", "ilike", "IS NULL", "is not null"])
        if comparator.upper().startswith("IS"):
            return f"{key} {comparator}"
        # ILIKE beyond ASCII depends on the database in MLflow; in cairn it is Unicode's everywhere.
        text = rng.choice(TEXTS) if comparator in "!=" else pattern([t for t in TEXTS if t.isascii() or comparator == "LIKE"])
        return f"{key}{rng.choice(['', ' '])}{comparator} {quoted(text)}" if comparator in "!=" else \
            f"{key} {comparator} {quoted(text)}"
    if kind == "d":
        key = rng.choice(["dataset", "datasets"]) + "." + rng.choice(["name", "digest", "context"])
        value = rng.choice(["iris", "wine", "d1", "d3", "train", "Test"])
        return rng.choice([f"{key} = '{value}'", f"{key} != '{value}'", f"{key} ILIKE '{value.upper()[:2]}%'",
                           f"{key} IN ('{value}', \"x\")", f"{key} NOT IN ('{value}')"])
    return rng.choice([f"start_time {rng.choice(['<', '>=', '=', '!='])} {rng.randrange(999, 1007)}",
                       f"attributes.end_time {rng.choice(['<', '>', '!='])} {rng.randrange(1999, 2005)}",
                       f"status {rng.choice(['=', '!='])} '{rng.choice(['RUNNING', 'FINISHED', 'FAILED'])}'",
                       "run_name LIKE 'run %'", "attr.`Run Name` ILIKE 'BLUE'", "user_id != 'ann'"])


def order():
    key = rng.choice([key_of("m", rng.choice(METRICS)), key_of("p", rng.choice(PARAMS)), key_of("t", rng.choice(TAGS)),
                      "start_time", "attribute.end_time", "status", "run_name", "user_id", "Created"])
    return key + rng.choice(["", "", " ASC", " desc", " DESC"])


BAD_ORDERS = [["foo"], ["metrics.m foo"], ["metrics.m asc desc"], ["5"], ["start_time", "Created"], ["metrics.m", "metric.m"],
              ["dataset.name"], ["metrics.m DESC,"], ["'x'"], ["run name"], ["metrics.`my metric"], ["foo.bar desc"]]


def check_runs(tool):
    with tempfile.TemporaryDirectory() as folder:
        store = SqlAlchemyStore(f"sqlite:///{folder}/x.db", folder)
        experiment = make_runs(store)
        send_runs(tool, store, experiment)

        def one(text, order_by):
            their = theirs(lambda: " ".join(
                r.info.run_id for r in store.search_runs([experiment], text, ViewType.ALL, 1000, order_by)))
            compare(f"{text!r} {order_by}", their, tool.ask("search", enc(text or "AND"), *map(enc, order_by)))

        hand = [f for line in HAND_WRITTEN.split("\n") for f in line.split("|")]
        for text in hand:
            one(text.replace("\\t", "\t").replace("\\n", "\n"), [])
        for _ in range(FILTERS_N):
            one(rng.choice([" AND ", " and ", "  AND\n"]).join(clause() for _ in range(rng.choice([1, 1, 2, 3]))), [])
        for _ in range(ORDERS_N):
            one("", [order() for _ in range(rng.choice([1, 1, 2, 3]))])
        for order_by in BAD_ORDERS:
            one("", order_by)
        store._dispose_engine() if hasattr(store, "_dispose_engine") else store.engine.dispose()


# ---- trees of experiments and logged models --------------------------------------------------------

def tree(comparisons):
    """What search_dump.c prints for these AND-ed comparisons, in any order."""
    out = []
    for kind, key, comparator, value in comparisons:
        name = {"=": "=", "LIKE": "like", "ILIKE": "ilike", "IN": "in", "NOT IN": "not-in", "IS NULL": "null",
                "IS NOT NULL": "not-null"}.get(comparator.upper(), comparator)
        texts = sorted(set(value), key=lambda t: t.encode()) if isinstance(value, tuple) else [value]
        shown = ["" if v is None else " " + (repr(v) if not isinstance(v, str) else json.dumps(v, ensure_ascii=False)
                                            .replace('\\"', "\\u0022").replace("\\\\", "\\u005c")) for v in texts]
        out.append(f"({name} {kind}.{key}{''.join(shown)})")
    return sorted(out)


def split_tree(text):
    """The children of a top-level (and ...), or the one test."""
    if text == "true":
        return []
    if not text.startswith("(and "):
        return [text]
    parts, depth, in_text, start = [], 0, False, 0
    inner = text[5:-1]
    for i, c in enumerate(inner):
        in_text ^= c == '"'
        if in_text:
            continue
        if c == "(":
            start = i if depth == 0 else start
            depth += 1
        elif c == ")":
            depth -= 1
            if depth == 0:
                parts.append(inner[start:i + 1])
    return sorted(parts)


def experiments_of(text):
    out = []
    for c in SearchExperimentsUtils.parse_search_filter(text):
        value = c["value"]
        if c["key"] == "experiment_id" and c["type"] == "attribute":
            value = tuple(value) if isinstance(value, (tuple, list)) else int(value)
        out.append(({"attribute": "attr", "tag": "tag"}[c["type"]], c["key"], c["comparator"], value))
    return tree(out)


def models_of(text):
    renamed = {"creation_timestamp_ms": "creation_time", "last_updated_timestamp_ms": "last_update_time"}
    kinds = {"attributes": "attr", "metrics": "metric", "params": "param", "tags": "tag"}
    out = []
    for c in parse_filter_string(text):
        value = int(c.value) if isinstance(c.value, float) and c.value.is_integer() else c.value
        out.append((kinds[c.entity.type.value], renamed.get(c.entity.key, c.entity.key), c.op, value))
    return tree(out)


EXPERIMENTS = """name = 'a'|attribute.name LIKE 'a%' AND tags.t = "it's"|name ILIKE 'x' and tag.`a b` != 'y'|creation_time > 5
last_update_time <= 7 AND creation_time != 3|experiment_id = '5'|tags.t IS NULL|tag.t is not null|name IS NULL
name|name =|foo = 'x'|metrics.a > 1|attributes.name = 'x'|name = x|name = 5|creation_time = '5'
tags.a = 5|5 = 3|name = 'a'; name = 'b'|name = 'a' AND foo"""
MODELS = """name = 'a'|attributes.name LIKE 'a%'|params.lr = 0.01|params.lr = '0.01' AND metrics.loss > 0.5|tags.t ILIKE 'x'
creation_timestamp > 5 AND creation_time < 7|last_updated_timestamp >= 9|name IN ('a', 'b')|model_id NOT IN ('x')
status = 'READY'|source_run_id != 'r'|model_type = tree|tags.`a b` = 'x'|metrics.a = -1|metric.a > 1|params.a > 'x'
metrics.a LIKE 5|name|name =|name = 'a'; name = 'b'|param.x = 'y'|metrics.a > 1 AND"""


def check_trees(tool):
    for entity, texts, parse in (("experiments", EXPERIMENTS, experiments_of), ("models", MODELS, models_of)):
        for text in [f for line in texts.split("\n") for f in line.split("|")]:
            our = tool.ask("filter", entity, enc(text))
            if our.startswith("! "):
                compare(f"{entity}: {text!r}", theirs(lambda: parse(text)), our)
            else:
                compare(f"{entity}: {text!r}", theirs(lambda: parse(text)), split_tree(our))


def main():
    tool = Tool()
    tests = [("runs as MLflow's SQL store answers", check_runs), ("filters of experiments and models", check_trees)]
    print(f"1..{len(tests)}")
    bad = 0
    for i, (name, check) in enumerate(tests, 1):
        failures.clear()
        check(tool)
        for text in failures[:40]:
            print("# " + text.replace("\n", "\n# "))
        print(f"{'not ok' if failures else 'ok'} {i} - {name} # {counts}")
        bad += len(failures)
    if tool.close() != 0:
        print("Bail out! the tool died")
        return 1
    return 1 if bad else 0


sys.exit(main())
