"""What cairn adds to MLflow's search: OR, NOT, parentheses, IN everywhere, regular expressions, best/last/min/max."""

import uuid

import mlflow
import pytest
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

pytestmark = pytest.mark.cairn_only


@pytest.fixture(scope="module")
def table(server):
    client = mlflow.MlflowClient(tracking_uri=server.url)
    exp = client.create_experiment(f"ext-{uuid.uuid4().hex[:12]}")
    runs = []
    for i in range(6):
        run = client.create_run(exp, start_time=1000 + i, run_name=f"r{i}", tags={"t": f"alpha-{i}" if i % 2 else f"beta-{i}"})
        curve = [i, 10 - i, 5]                       # minimum, maximum and last value all differ
        client.log_batch(run.info.run_id, metrics=[Metric("m", v, 1 + s, s) for s, v in enumerate(curve)],
                         params=[Param("p", "xyz"[i % 3])])
        runs.append(run.info.run_id)
    return client, exp, runs


def find(table, query="", **kwargs):
    client, exp, runs = table
    return [runs.index(r.info.run_id) for r in client.search_runs([exp], query, **kwargs)]


@pytest.mark.parametrize("query,want", [
    ("params.p = 'x' OR params.p = 'y'", {0, 1, 3, 4}),
    ("params.p = 'x' AND run_name = 'r0' OR params.p = 'y' AND run_name = 'r4'", {0, 4}),
    ("(params.p = 'x' OR params.p = 'y') AND start_time >= 1003", {3, 4}),
    ("NOT params.p = 'x'", {1, 2, 4, 5}),
    ("NOT (params.p = 'x' OR start_time > 1003)", {1, 2}),
    ("not not params.p = 'x'", {0, 3}),
    ("((params.p = 'x'))", {0, 3}),
    ("params.p IN ('x', 'z')", {0, 2, 3, 5}),
    ("params.p NOT IN ('x', 'z')", {1, 4}),
    ("tags.t IN ('alpha-1', 'beta-2')", {1, 2}),
    ("status IN ('RUNNING') AND run_name IN ('r1', 'r2')", {1, 2}),
    ("run_name RLIKE '^r[24]$'", {2, 4}),
    ("tags.t =~ '^alpha-[0-9]+$'", {1, 3, 5}),
    ("min(metrics.m) < 2", {0, 1}),
    ("max(metrics.m) >= 9", {0, 1}),
    ("last(metrics.m) = 5", {0, 1, 2, 3, 4, 5}),
    ("metrics.m = 5", {0, 1, 2, 3, 4, 5}),
    ("max(metrics.m) > 8.5 OR min(metrics.m) = 5", {0, 1, 5}),
])
def test_filter(table, query, want):
    assert set(find(table, query)) == want


def test_order_by_aggregates(table):
    assert find(table, order_by=["max(metrics.m) DESC"])[0] == 0
    assert find(table, order_by=["min(metrics.m) ASC"]) == [0, 1, 2, 3, 4, 5]


def test_best_needs_a_goal(client, uniq):
    exp = client.create_experiment(f"goal-{uniq}")
    runs = []
    for values in ([0.5, 0.9, 0.7], [0.8, 0.1]):
        run = client.create_run(exp).info.run_id
        client.log_batch(run, metrics=[Metric("acc", v, s, s) for s, v in enumerate(values)])
        runs.append(run)
    with pytest.raises(MlflowException, match="cairn.goal.acc"):
        client.search_runs([exp], "best(metrics.acc) > 0.85")
    client.set_experiment_tag(exp, "cairn.goal.acc", "max")
    assert [r.info.run_id for r in client.search_runs([exp], "best(metrics.acc) > 0.85")] == [runs[0]]
    assert [r.info.run_id for r in client.search_runs([exp], order_by=["best(metrics.acc) DESC"])] == runs
    client.set_tag(runs[1], "cairn.goal.acc", "min")
    assert [r.info.run_id for r in client.search_runs([exp], "best(metrics.acc) < 0.2")] == [runs[1]]


@pytest.mark.parametrize("query", ["params.p = 'x' OR", "(params.p = 'x'", "params.p = 'x')", "NOT", "params.p IN ()",
                                   "tags.t RLIKE '(('", "best(params.p) > 1", "median(metrics.m) > 1",
                                   "(" * 3000 + "metrics.m > 1" + ")" * 3000])
def test_mistakes(table, query):
    client, exp, _ = table
    with pytest.raises(MlflowException) as err:
        client.search_runs([exp], query)
    assert err.value.error_code == "INVALID_PARAMETER_VALUE"


def test_regular_expressions_take_linear_time(table):
    """The classic that makes back-tracking engines run for years."""
    import time
    client, exp, runs = table
    client.set_tag(runs[0], "long", "a" * 5000)
    start = time.monotonic()
    client.search_runs([exp], "tags.long RLIKE '^(a+)+$' AND tags.long RLIKE '(a|aa)+b'")
    assert time.monotonic() - start < 5


def test_experiments_and_models(client, uniq):
    ids = [client.create_experiment(f"x-{uniq}-{n}", tags={"t": n}) for n in "abc"]
    found = client.search_experiments(filter_string=f"name = 'x-{uniq}-a' OR tags.t IN ('c') AND name RLIKE '^x-{uniq}'")
    assert {e.experiment_id for e in found} == {ids[0], ids[2]}
    models = [client.create_logged_model(ids[0], name=n, tags={"n": n}) for n in ("m1", "m2", "m3")]
    found = client.search_logged_models([ids[0]], filter_string="NOT name = 'm2' AND (tags.n = 'm1' OR tags.n = 'm2')")
    assert [m.model_id for m in found] == [models[0].model_id]
