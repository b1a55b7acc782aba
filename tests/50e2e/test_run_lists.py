"""Runs with the values that are asked for, and totals, through cairn's own API."""

import json
import math
import urllib.error
import urllib.request
import uuid

import mlflow
import pytest
from mlflow.entities import Metric, Param

pytestmark = pytest.mark.cairn_only
RUNS = 30


def call(url, path, **body):
    request = urllib.request.Request(f"{url}/api/cairn/v1/runs/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as e:
        return e.code, json.load(e)


@pytest.fixture(scope="module")
def table(server):
    client = mlflow.MlflowClient(tracking_uri=server.url)
    exp = client.create_experiment(f"lists-{uuid.uuid4().hex[:12]}")
    runs = []
    for i in range(RUNS):
        run = client.create_run(exp, start_time=1000 + i, run_name=f"r{i}", tags={"team": "red" if i % 3 else "blue"})
        metrics = [Metric("loss", i / 10, 1, 1), Metric("odd", math.nan if i == 4 else math.inf, 1, 1)]
        params = [Param("model", f"x{i % 4}"), Param("signs", f"%_{i % 2}\"")] if i else []
        client.log_batch(run.info.run_id, metrics=metrics, params=params)
        runs.append(run.info.run_id)
    return server.url, exp, runs


def test_projection(table):
    url, exp, runs = table
    order = ["start_time ASC"]
    status, bare = call(url, "search", experiment_ids=[exp], order_by=order)
    assert status == 200 and [r["run_id"] for r in bare["runs"]] == runs
    assert not any(k in bare["runs"][0] for k in ("metrics", "params", "tags"))
    assert bare["runs"][3]["run_name"] == "r3" and bare["runs"][3]["start_time"] == "1003" and bare["runs"][3]["status"] == "RUNNING"
    assert "total" not in bare
    some = call(url, "search", experiment_ids=[exp], order_by=order, metric_keys=["odd", "none", "loss"], tag_keys=["team"])[1]["runs"]
    assert some[4]["metrics"] == [{"key": "loss", "value": 0.4}, {"key": "odd", "value": "NaN"}]
    assert some[5]["metrics"][1]["value"] == "Infinity"
    assert some[4]["tags"] == [{"key": "team", "value": "red"}] and "params" not in some[4]
    everything = call(url, "search", experiment_ids=[exp], order_by=order, metric_keys=["*"], param_keys=["*"], tag_keys=["*"])[1]["runs"]
    assert everything[1]["params"] == [{"key": "model", "value": "x1"}, {"key": "signs", "value": '%_1"'}]
    assert {t["key"] for t in everything[1]["tags"]} >= {"team", "mlflow.runName"}
    assert everything[4]["metrics"] == some[4]["metrics"]


def test_pages_and_totals(table):
    url, exp, runs = table
    found, token, pages = [], "", 0
    while True:
        answer = call(url, "search", experiment_ids=[exp], filter="metrics.loss >= 0.5", order_by=["metrics.loss DESC"],
                      max_results=10, page_token=token, count=True)[1]
        assert answer["total"] == "25"
        found += [r["run_id"] for r in answer["runs"]]
        pages += 1
        token = answer.get("next_page_token", "")
        if not token:
            break
    assert found == runs[:4:-1] and pages == 3
    assert call(url, "search", experiment_ids=[exp], filter="metrics.loss >= 0.5", max_results=0, count=True)[1]["total"] == "25"


def test_view(table):
    url, exp, runs = table
    client = mlflow.MlflowClient(tracking_uri=url)
    client.delete_run(runs[7])
    try:
        deleted = call(url, "search", experiment_ids=[exp], view="deleted")[1]["runs"]
        assert [(r["run_id"], r["lifecycle_stage"]) for r in deleted] == [(runs[7], "deleted")]
        assert call(url, "search", experiment_ids=[exp], view="all", count=True)[1]["total"] == str(RUNS)
        assert call(url, "search", experiment_ids=[exp], count=True)[1]["total"] == str(RUNS - 1)
    finally:
        client.restore_run(runs[7])
    status, answer = call(url, "search", experiment_ids=[exp], view="gone")
    assert status == 400 and answer["error"]["field"] == "view"


@pytest.mark.parametrize("prefix,want", [("x", 4), ("x2", 1), ("X", 0), ("%", 0), ("x3y", 0)])
def test_prefix(table, prefix, want):
    url, exp, _ = table
    answer = call(url, "values", experiment_ids=[exp], key="params.model", prefix=prefix)[1]
    assert len(answer.get("values", [])) == want
    assert all(v["value"].startswith(prefix) for v in answer.get("values", []))


def test_prefix_of_signs(table):
    url, exp, _ = table
    answer = call(url, "values", experiment_ids=[exp], key="params.`signs`", prefix='%_1"')[1]
    assert [v["value"] for v in answer["values"]] == ['%_1"'] and answer["runs"] == answer["values"][0]["runs"]


@pytest.mark.parametrize("path,body,word", [
    ("search", {"filter": "params.x ="}, "filter"), ("search", {"order_by": ["nothing"]}, "order"),
    ("search", {"metric_keys": ["k"] * 1001}, "1000"),
])
def test_errors(table, path, body, word):
    url, exp, _ = table
    status, answer = call(url, path, experiment_ids=[exp], **body)
    assert status == 400, answer
    assert word in json.dumps(answer) or "Invalid" in json.dumps(answer)


def test_seen_at_once(table):
    url, exp, runs = table
    client = mlflow.MlflowClient(tracking_uri=url)
    for i in range(20):
        client.log_metric(runs[0], "fresh", i, step=i)
        client.set_tag(runs[1], "n", str(i))
        found = call(url, "search", experiment_ids=[exp], filter=f"metrics.fresh = {i} or tags.n = '{i}'", order_by=["start_time"])[1]
        assert [r["run_id"] for r in found["runs"]] == runs[:2]
