"""Search of runs through the client: MLflow's own grammar, orders, pages."""

import math

import mlflow
import pytest
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException


@pytest.fixture(scope="module")
def table(server):
    """Thirty runs with known values: i in steps of 1, three groups, every third without a metric."""
    client = mlflow.MlflowClient(tracking_uri=server.url)
    import uuid
    exp = client.create_experiment(f"search-{uuid.uuid4().hex[:12]}")
    runs = []
    for i in range(30):
        run = client.create_run(exp, start_time=1000 + i, run_name=f"run-{i:02}", tags={"group": "abc"[i % 3]}).info.run_id
        metrics = [] if i % 3 == 0 else [Metric("acc", i / 32, 1, 0), Metric("loss", math.nan if i % 5 == 0 else -i, 1, 0)]
        client.log_batch(run, metrics=metrics, params=[Param("i", str(i)), Param("kind", "Tree" if i % 2 else "net")],
                         tags=[RunTag("note", f"run {i} 100%")])
        runs.append(run)
    for run in runs[:5]:
        client.set_terminated(run, "FINISHED", 5000)
    return client, exp, runs


def numbers(table, query="", **kwargs):
    client, exp, runs = table
    return [runs.index(r.info.run_id) for r in client.search_runs([exp], query, **kwargs)]


CASES = [
    ("", set(range(30))),
    ("metrics.acc > 0.5", {i for i in range(30) if i % 3 and i > 16}),
    ("metrics.acc >= 0.5 and metrics.acc < 0.75", {i for i in range(16, 24) if i % 3}),
    ("metrics.acc != 0.5", {i for i in range(30) if i % 3 and i != 16}),
    ("params.i = '7'", {7}),
    ("params.kind LIKE 'T%'", set(range(1, 30, 2))),
    ("params.kind LIKE 't%'", set()),
    ("params.kind ILIKE 't%'", set(range(1, 30, 2))),
    ("params.kind != 'Tree' AND tags.group = 'a'", {i for i in range(0, 30, 2) if i % 3 == 0}),
    ("tags.group != 'a'", {i for i in range(30) if i % 3}),
    ("tags.missing != 'a'", set()),
    ("tags.missing IS NULL AND params.i = '3'", {3}),
    ("metrics.acc > 0.3 AND params.kind = 'net' AND tags.group = 'b'", {i for i in range(10, 30, 2) if i % 3 == 1}),
    ("attributes.status = 'FINISHED'", set(range(5))),
    ("status != 'FINISHED' AND start_time < 1008", {5, 6, 7}),
    ("end_time = 5000", set(range(5))),
    ("run_name = 'run-04'", {4}),
    ("run_name LIKE 'run-2_'", set(range(20, 30))),
    ("attributes.`Run name` ILIKE 'RUN-0%'", set(range(10))),
    ("tags.note LIKE '%100\\%'", None),
    ("tags.\"mlflow.runName\" = 'run-11'", {11}),
    ("tags.`note` = \"run 3 100%\"", {3}),
]


@pytest.mark.parametrize("query,want", [c for c in CASES if c[1] is not None], ids=[c[0] or "all" for c in CASES if c[1] is not None])
def test_filter(table, query, want):
    assert set(numbers(table, query)) == want


def test_run_ids(table):
    client, exp, runs = table
    assert set(numbers(table, f"run_id IN ('{runs[3]}', '{runs[5]}')")) == {3, 5}
    assert len(numbers(table, f"run_id NOT IN ('{runs[3]}', '{runs[5]}')")) == 28
    assert numbers(table, f"attributes.run_id = '{runs[9]}'") == [9]


def test_order(table):
    assert numbers(table) == list(range(29, -1, -1))
    assert numbers(table, order_by=["start_time ASC"]) == list(range(30))
    with_metric = [i for i in range(30) if i % 3]
    without = [i for i in range(29, -1, -1) if i % 3 == 0]
    assert numbers(table, order_by=["metrics.acc ASC"]) == with_metric + without
    assert numbers(table, order_by=["metrics.acc DESC"]) == with_metric[::-1] + without
    nan = [i for i in range(29, -1, -1) if i % 3 and i % 5 == 0]
    plain = [i for i in range(30) if i % 3 and i % 5]
    assert numbers(table, order_by=["metrics.loss DESC"]) == plain + nan + without
    groups = [i for g in "abc" for i in range(29, -1, -1) if "abc"[i % 3] == g]
    assert numbers(table, order_by=["tags.group"]) == groups
    assert numbers(table, order_by=["params.kind DESC", "attributes.start_time ASC"]) == \
        [i for i in range(30) if i % 2 == 0] + [i for i in range(30) if i % 2]


def test_pages_give_every_run_once(table):
    client, exp, runs = table
    for order in (None, ["metrics.acc DESC"], ["params.kind"], ["tags.missing DESC"]):
        seen, token = [], None
        while True:
            page = client.search_runs([exp], max_results=7, order_by=order, page_token=token)
            assert len(page) <= 7
            seen += [runs.index(r.info.run_id) for r in page]
            token = page.token
            if not token:
                break
        assert sorted(seen) == list(range(30))
        assert seen == numbers(table, order_by=order)


def test_pages_while_runs_are_added(server, client, exp):
    """A row is neither repeated nor lost when others arrive between two pages (cairn: keyset tokens)."""
    first = [client.create_run(exp, start_time=1000 + i).info.run_id for i in range(10)]
    page = client.search_runs([exp], max_results=4)
    seen = [r.info.run_id for r in page]
    for i in range(3):
        client.create_run(exp, start_time=5000 + i)
    while page.token:
        page = client.search_runs([exp], max_results=4, page_token=page.token)
        seen += [r.info.run_id for r in page]
    if server.kind == "cairn":
        assert seen == first[::-1]
    assert set(first) <= set(seen)


def test_data_frame(table, server):
    client, exp, runs = table
    mlflow.set_tracking_uri(server.url)
    frame = mlflow.search_runs([exp], filter_string="metrics.acc > 0.5", order_by=["metrics.acc DESC"])
    assert frame.iloc[0]["metrics.acc"] == 29 / 32 and frame.iloc[0]["params.i"] == "29"


@pytest.mark.parametrize("query", ["metrics.acc", "metrics.acc >", "acc > 0.5", "metrics.acc > 'x'", "params.i = 3",
                                   "start_time > 'x'", "attributes.nothing = 'x'", "status > 'FINISHED'",
                                   "metrics.acc > 1; metrics.acc > 2", "tags.a = 'x"])
def test_mistakes_are_400(table, query):
    client, exp, _ = table
    with pytest.raises(MlflowException) as err:
        client.search_runs([exp], query)
    assert err.value.error_code == "INVALID_PARAMETER_VALUE"


def test_experiments(client, uniq):
    ids = [client.create_experiment(f"se-{uniq}-{n}", tags={"t": n}) for n in "abc"]

    def find(query, **kwargs):
        return [ids.index(e.experiment_id) for e in client.search_experiments(filter_string=query, **kwargs)]

    assert sorted(find(f"name LIKE 'se-{uniq}-%'")) == [0, 1, 2]
    assert find(f"name = 'se-{uniq}-b'") == [1]
    assert find(f"name ILIKE 'SE-{uniq}-B'") == [1]
    assert find(f"name LIKE 'se-{uniq}-%' AND tags.t = 'c'") == [2]
    assert find(f"name LIKE 'se-{uniq}-%' AND tags.t != 'c'", order_by=["name ASC"]) == [0, 1]
    assert find(f"name LIKE 'se-{uniq}-%'", order_by=["name DESC"]) == [2, 1, 0]
    assert find(f"name LIKE 'se-{uniq}-%' AND creation_time > 0", order_by=["experiment_id ASC"]) == [0, 1, 2]
