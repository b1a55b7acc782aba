"""Values of a key among runs, counted by the server and here from the same runs."""

import collections
import random

import pytest

pytestmark = pytest.mark.cairn_only

PATH = "/api/cairn/v1/runs/values"


def log(rest, run_id, **what):
    answer = rest.post("/api/2.0/mlflow/runs/log-batch", json={"run_id": run_id, **what})
    assert answer.status_code == 200, answer.text


def pairs(**values):
    return [{"key": k, "value": v} for k, v in values.items()]


def ask(rest, experiment, key, **more):
    answer = rest.post(PATH, json={"experiment_ids": [experiment], "key": key, **more})
    assert answer.status_code == 200, answer.text
    got = answer.json()
    return {k: int(v) if k not in ("values", "min", "max") else v for k, v in got.items()}


def counts(answer):
    return [(v["value"], int(v["runs"])) for v in answer.get("values", [])]


def expected(values, most=100):
    order = collections.Counter(v for v in values if v is not None)
    return sorted(order.items(), key=lambda item: (-item[1], item[0].encode()))[:most]


@pytest.fixture
def experiment(rest, request):
    answer = rest.post("/api/2.0/mlflow/experiments/create", json={"name": f"values-{request.node.name}"})
    return answer.json()["experiment_id"]


def create(rest, experiment, start):
    body = {"experiment_id": experiment, "start_time": start}
    return rest.post("/api/2.0/mlflow/runs/create", json=body).json()["run"]["info"]["run_id"]


def make_runs(rest, experiment, n):
    rng, runs = random.Random(7), []
    for i in range(n):
        run = {"id": create(rest, experiment, 1700000000000 + i), "start": 1700000000000 + i,
               "model": rng.choice(["x0", "x1", "x1", "x2", "\u00e4", None]),
               "loss": rng.choice([0.25, 0.5, 1.5, None, float("nan")])}
        if run["model"] is not None:
            log(rest, run["id"], params=pairs(model=run["model"]))
        if run["loss"] is not None:
            log(rest, run["id"], metrics=[{"key": "loss", "value": "NaN" if run["loss"] != run["loss"] else run["loss"],
                                           "timestamp": 1, "step": 0}])
        runs.append(run)
    return runs


def test_texts(rest, experiment):
    runs = make_runs(rest, experiment, 60)
    got = ask(rest, experiment, "params.model")
    models = [r["model"] for r in runs]
    assert (got["runs"], got["missing"]) == (60, models.count(None))
    assert counts(got) == expected(models)
    assert got["distinct"] == len(set(models) - {None})
    assert counts(ask(rest, experiment, "params.model", max_values=2)) == expected(models, 2)
    assert counts(ask(rest, experiment, "status")) == [("RUNNING", 60)]
    assert ask(rest, experiment, "params.none") == {"runs": 60, "missing": 60, "distinct": 0}


def test_a_filter_chooses_the_runs(rest, experiment):
    runs = make_runs(rest, experiment, 60)
    low = [r for r in runs if r["loss"] is not None and r["loss"] < 1]
    got = ask(rest, experiment, "params.model", filter="metrics.loss < 1")
    assert got["runs"] == len(low) and counts(got) == expected([r["model"] for r in low])
    got = ask(rest, experiment, "params.model", filter="metrics.loss < -1")
    assert got == {"runs": 0, "missing": 0, "distinct": 0}


def test_numbers(rest, experiment):
    runs = make_runs(rest, experiment, 60)
    losses = [r["loss"] for r in runs if r["loss"] is not None]
    finite = [v for v in losses if v == v]
    got = ask(rest, experiment, "metrics.loss")
    assert got == {"runs": 60, "missing": 60 - len(losses), "nan": len(losses) - len(finite),
                   "min": min(finite), "max": max(finite)}
    got = ask(rest, experiment, "start_time")
    assert (got["min_ms"], got["max_ms"]) == (runs[0]["start"], runs[-1]["start"])
    got = ask(rest, experiment, "end_time")
    assert got == {"runs": 60, "missing": 60}


def test_changes_show_at_once(rest, experiment):
    runs = make_runs(rest, experiment, 5)
    for i, run in enumerate(runs):
        log(rest, run["id"], tags=pairs(stage=f"s{i % 2}"))
        assert sum(n for _, n in counts(ask(rest, experiment, "tags.stage"))) == i + 1
    log(rest, runs[0]["id"], tags=pairs(stage="other"))
    assert counts(ask(rest, experiment, "tags.stage")) == [("s0", 2), ("s1", 2), ("other", 1)]
    rest.post("/api/2.0/mlflow/runs/delete", json={"run_id": runs[0]["id"]})
    assert counts(ask(rest, experiment, "tags.stage")) == [("s0", 2), ("s1", 2)]
    assert counts(ask(rest, experiment, "tags.stage", view="deleted")) == [("other", 1)]
    assert ask(rest, experiment, "tags.stage", view="all")["runs"] == 5


@pytest.mark.parametrize("change, part", [
    ({"key": "params.model DESC"}, "cannot"), ({"key": "best(metrics.loss)"}, "cannot"), ({"key": "loss"}, "loss"),
    ({"filter": "params.model ="}, ""), ({"view": "some"}, "view"), ({"experiment_ids": ["x"]}, ""),
    ({"experiment_ids": None}, "experiment_ids"), ({"key": None}, "key"), ({"max_values": -1}, "max_values"),
])
def test_wrong_questions(rest, experiment, change, part):
    body = {"experiment_ids": [experiment], "key": "params.model", **change}
    answer = rest.post(PATH, json={k: v for k, v in body.items() if v is not None})
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert part in error["message"] + error.get("field", ""), error
