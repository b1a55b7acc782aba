"""Asks the real MLflow server and cairn the same random questions about the same runs, and compares the answers.

    python tests/lib/differential.py MLFLOW_URL CAIRN_URL [SEED [QUESTIONS]]

The same experiment with the same runs is made on both; the questions are filters, orders and pages out of MLflow's own
grammar, some of them broken. Runs are compared by name. Where MLflow answers 5xx, or accepts what cairn refuses on
purpose, nothing is compared but that cairn answers 200 or 400. For people who change the search: one seed is one run.
"""

import random
import sys
import uuid

import requests

KEYS_METRIC = ["acc", "loss", "val/f1", "my metric", "none"]
KEYS_PARAM = ["lr", "opt", "Depth", "empty", "a.b", "none"]
KEYS_TAG = ["team", "note", "x-y", "mlflow.user", "none"]
WORDS = ["adam", "Adam", "sgd", "", "a%b", "a_b", "it's", "10", "0.1", "blue", "BLUE", "ünï", "a\\b", "Red team"]
NUMBERS = [0, 1, -1, 0.5, 0.25, 1e-3, 1e10, -2.5, 3]


class Side:
    def __init__(self, url, tag):
        self.url = url
        self.session = requests.Session()
        self.exp = self.post("experiments/create", {"name": f"differential-{tag}"})[1]["experiment_id"]
        self.ids = {}

    def post(self, path, body):
        answer = self.session.post(f"{self.url}/api/2.0/mlflow/{path}", json=body, timeout=60)
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, {}

    def make(self, run):
        made = self.post("runs/create", {"experiment_id": self.exp, "run_name": run["name"], "start_time": run["start"],
                                         "user_id": run["user"], "tags": run["tags"]})[1]["run"]["info"]["run_id"]
        self.ids[run["name"]] = made
        self.post("runs/log-batch", {"run_id": made, "metrics": run["metrics"], "params": run["params"]})
        if run["end"]:
            self.post("runs/update", {"run_id": made, "status": run["status"], "end_time": run["end"]})
        if run["dataset"]:
            self.post("runs/log-inputs", {"run_id": made, "datasets": [run["dataset"]]})

    def ask(self, query, order, page):
        """(status, names in order) over all pages."""
        names, token = [], None
        for _ in range(100):
            body = {"experiment_ids": [self.exp], "filter": query.replace("$ID", self.ids["run-3"]), "order_by": order, "max_results": page}
            if token:
                body["page_token"] = token
            status, answer = self.post("runs/search", body)
            if status != 200:
                return status, answer.get("message", "")
            names += [r["info"]["run_name"] for r in answer.get("runs", [])]
            token = answer.get("next_page_token")
            if not token:
                break
        return 200, names


def random_run(rnd, i):
    metrics = []
    for key in KEYS_METRIC[:-1]:
        for step in range(rnd.randrange(3)):
            value = rnd.choice(NUMBERS + ["NaN"])
            metrics.append({"key": key, "value": value, "timestamp": rnd.randrange(5), "step": step})
    params = [{"key": k, "value": rnd.choice(WORDS)} for k in KEYS_PARAM[:-1] if rnd.random() < 0.7]
    tags = [{"key": k, "value": rnd.choice(WORDS)} for k in KEYS_TAG[:-1] if rnd.random() < 0.6]
    dataset = None
    if rnd.random() < 0.4:
        dataset = {"dataset": {"name": rnd.choice("ab"), "digest": rnd.choice(["d1", "d2"]), "source_type": "local", "source": "{}"},
                   "tags": [{"key": "mlflow.data.context", "value": rnd.choice(["train", "test"])}]}
    return {"name": f"run-{i}", "start": 1000 + i, "user": rnd.choice(["ann", "bob", ""]), "tags": tags,
            "metrics": metrics, "params": params, "dataset": dataset, "end": rnd.choice([0, 5000, 6000]),
            "status": rnd.choice(["FINISHED", "FAILED", "KILLED"])}


def quote_key(rnd, key):
    if not key.isalnum() or rnd.random() < 0.2:
        q = rnd.choice("`\"")
        return f"{q}{key}{q}"
    return key


def quote_value(rnd, word):
    return f'"{word}"' if "'" in word or rnd.random() < 0.2 else f"'{word}'"


def like(rnd, word):
    cut = rnd.randrange(len(word) + 1)
    return rnd.choice([word[:cut] + "%", "%" + word[cut:], word[:cut] + "_" + word[cut + 1:], "%" + word + "%", word])


def clause(rnd):
    kind = rnd.randrange(8)
    text = rnd.choice(["=", "!=", "LIKE", "ILIKE", "like", "iLike"])

    def value(word):
        return quote_value(rnd, like(rnd, word) if "i" in text.lower() or "l" in text.lower() else word)

    if kind <= 1:
        op = rnd.choice(["=", "!=", "<", "<=", ">", ">="])
        return f"{rnd.choice(['metrics', 'metric'])}.{quote_key(rnd, rnd.choice(KEYS_METRIC))} {op} {rnd.choice(NUMBERS)}"
    if kind == 2:
        return f"{rnd.choice(['params', 'param', 'parameters', 'parameter'])}.{quote_key(rnd, rnd.choice(KEYS_PARAM))} {text} {value(rnd.choice(WORDS))}"
    if kind == 3:
        return f"{rnd.choice(['tags', 'tag'])}.{quote_key(rnd, rnd.choice(KEYS_TAG))} {text} {value(rnd.choice(WORDS))}"
    if kind == 4:
        prefix = rnd.choice(["", "attributes.", "attribute.", "attr.", "run."])
        name, words = rnd.choice([("status", ["FINISHED", "RUNNING", "KILLED"]), ("run_name", ["run-3", "run-11", "RUN-3"]),
                                  ("user_id", ["ann", "bob", ""]), ("artifact_uri", ["mlflow-artifacts"])])
        return f"{prefix}{name} {text} {value(rnd.choice(words))}"
    if kind == 5:
        op = rnd.choice(["=", "!=", "<", "<=", ">", ">="])
        return f"{rnd.choice(['', 'attributes.'])}{rnd.choice(['start_time', 'end_time', 'created'])} {op} {rnd.choice([1000, 1005, 5000, 0])}"
    if kind == 6:
        return f"{rnd.choice(['datasets', 'dataset'])}.{rnd.choice(['name', 'digest', 'context'])} " + rnd.choice(
            ["= 'a'", "!= 'a'", "= 'd1'", "LIKE 't%'", "IN ('a', 'b')", "NOT IN ('train')", "ILIKE 'D_'"])
    return rnd.choice(["run_id IN ('$ID')", "run_id = '$ID'", "run_id != '$ID'", "attributes.run_id NOT IN ('$ID', 'x')",
                       "params.opt IS NULL", "params.opt IS NOT NULL", "tags.team IS NULL", "tags.team is not null"])


BREAKS = [lambda r, q: q[: r.randrange(len(q) + 1)], lambda r, q: q.replace(".", "", 1), lambda r, q: q.replace("'", "", 1),
          lambda r, q: q + " AND", lambda r, q: q.replace("=", "==", 1), lambda r, q: q + "; x", lambda r, q: "(" + q]


def question(rnd):
    query = rnd.choice([" AND ", " and "]).join(clause(rnd) for _ in range(rnd.choice([0, 1, 1, 1, 2, 3])))
    broken = query and rnd.random() < 0.1
    if broken:
        query = rnd.choice(BREAKS)(rnd, query)
    order = []
    for _ in range(rnd.choice([0, 0, 1, 1, 2])):
        key = rnd.choice([f"metrics.{quote_key(rnd, rnd.choice(KEYS_METRIC))}", f"params.{quote_key(rnd, rnd.choice(KEYS_PARAM))}",
                          f"tags.{quote_key(rnd, rnd.choice(KEYS_TAG))}", "start_time", "end_time", "attributes.status", "run_name", "user_id"])
        if all(key.split()[0] != o.split()[0] for o in order):
            order.append(key + rnd.choice(["", " ASC", " DESC", " asc", " desc"]))
    return query, order, rnd.choice([3, 7, 1000])


def main():
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(10**9)
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 300
    rnd = random.Random(seed)
    tag = uuid.uuid4().hex[:8]
    sides = [Side(url.rstrip("/"), tag) for url in sys.argv[1:3]]
    for i in range(25):
        run = random_run(rnd, i)
        [side.make(run) for side in sides]
    differ = found = refused = 0
    for _ in range(count):
        asked = question(rnd)
        theirs, ours = (side.ask(*asked) for side in sides)
        found += ours[0] == 200 and len(ours[1]) > 0
        refused += ours[0] != 200
        if theirs == ours or (theirs[0] == ours[0] != 200) or (theirs[0] >= 500 and ours[0] in (200, 400)):
            continue
        differ += 1
        print(f"filter {asked[0]!r} order {asked[1]!r} page {asked[2]}\n  mlflow {theirs}\n  cairn  {ours}")
    print(f"seed {seed}: {count} questions, {found} found runs, {refused} were refused, {differ} differ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
