"""Lineage from what an unmodified client records: why, impact, trail, diff; from the API and from the command line."""

import json
import subprocess
import time

import mlflow
import pytest
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.http_dataset_source import HTTPDatasetSource
from mlflow.entities import LoggedModelInput, LoggedModelOutput

import cairn
from command import Cli

pytestmark = pytest.mark.cairn_only


def dataset(name, digest, url=None):
    return MetaDataset(HTTPDatasetSource(url or f"http://example.com/{name}.csv"), name=name, digest=digest)


class Story:
    """Two runs on one data set and one on another; both make a model, one is registered."""

    def __init__(self, client, uniq):
        self.client, self.uniq = client, uniq
        self.data, self.other, self.test = f"clicks-{uniq}", f"views-{uniq}", f"test-{uniq}"
        self.registered = f"fraud-{uniq}"
        self.runs, self.models = [], []
        for i, (name, auc) in enumerate(((self.data, 0.7), (self.data, 0.9), (self.other, 0.95))):
            self.train(i, name, auc)
        client.create_registered_model(self.registered)
        self.version = client.create_model_version(
            self.registered, f"models:/{self.models[0]}", self.runs[0], model_id=self.models[0]
        )
        client.set_registered_model_alias(self.registered, "prod", self.version.version)

    def train(self, i, name, auc):
        mlflow.set_experiment(f"story-{self.uniq}-{i % 2}")
        with mlflow.start_run(run_name=f"train {i}", tags={"mlflow.source.git.commit": f"{i:040x}"}) as run:
            mlflow.log_params({"rate": 0.1 * (i + 1), "depth": 3})
            mlflow.log_input(dataset(name, "d1g3st"), context="training")
            mlflow.log_input(dataset(self.test, "t3st"), context="evaluation")
            model = mlflow.initialize_logged_model(name=f"net{i}")
            self.client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, 0)])
            mlflow.finalize_logged_model(model.model_id, "READY")
            mlflow.log_metric("auc", auc)
        mlflow.clear_active_model()
        self.runs.append(run.info.run_id)
        self.models.append(model.model_id)


@pytest.fixture
def story(server, client, uniq):
    mlflow.set_tracking_uri(server.url)
    yield Story(client, uniq)
    mlflow.set_tracking_uri(None)


def ask(rest, path, **query):
    answer = rest.get(f"/api/cairn/v1/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(answer, kind, key="name"):
    return [n[key] for n in answer["nodes"] if n["type"] == kind]


def totals(answer):
    return {t["type"]: t["count"] for t in answer.get("totals", [])}


def test_why(rest, story):
    """From an alias to the raw data, with the code, the parameters and the people."""
    answer = ask(rest, "lineage", node=f"{story.registered}@prod", details="true")
    assert answer["nodes"][0]["node"] == f"version:{story.registered}/1"
    assert answer["nodes"][0]["aliases"] == ["prod"]
    assert names(answer, "run", "node") == [f"run:{story.runs[0]}"]
    assert names(answer, "model", "node") == [f"model:{story.models[0]}"]
    assert sorted(names(answer, "dataset")) == sorted([f"{story.data}@d1g3st", f"{story.test}@t3st"])
    assert totals(answer) == {"model": 1, "run": 1, "dataset": 2}
    run = next(n for n in answer["nodes"] if n["type"] == "run")
    assert (run["name"], run["state"], run["distance"]) == ("train 0", "FINISHED", 2)
    assert {"key": "depth", "value": "3"} in run["params"]
    assert {"key": "source.git.commit", "value": "0" * 40} in run["code"]
    assert run["user"]
    ways = {(answer["nodes"][l["from"]]["type"], answer["nodes"][l["to"]]["type"], l["role"]) for l in answer["links"]}
    assert ways == {("dataset", "run", "input"), ("run", "model", "output"), ("model", "version", "version")}
    assert sorted(l.get("evaluation", False) for l in answer["links"] if l["role"] == "input") == [False, True]


def test_impact(rest, story):
    """From a data set, over experiments, to the alias; ranked by a metric; what was only evaluated on it is left out."""
    answer = ask(rest, "lineage/impact", node=f"dataset:{story.data}", metric="auc")
    assert totals(answer) == {"run": 2, "model": 2, "version": 1, "registered": 1}
    starts = [n for n in answer["nodes"] if n["distance"] == 0]
    assert [n["node"] for n in starts] == [f"dataset:{story.data}@d1g3st"] * 2  # one of each experiment
    rest_of = answer["nodes"][len(starts):]
    assert [n["type"] for n in rest_of] == ["registered", "version", "model", "model", "run", "run"]
    assert [n["metric"] for n in rest_of if n["type"] == "run"] == [0.9, 0.7]
    assert rest_of[1]["aliases"] == ["prod"]
    lowest = ask(rest, "lineage/impact", node=f"dataset:{story.data}@d1g3st", metric="auc", lowest="true")
    assert [n["metric"] for n in lowest["nodes"] if n["type"] == "run"] == [0.7, 0.9]
    assert "totals" not in ask(rest, "lineage/impact", node=f"{story.test}@t3st")
    assert totals(ask(rest, "lineage/impact", node=f"dataset:{story.test}", evaluation="true"))["run"] == 3
    by_digest = ask(rest, "lineage/impact", node="dataset:@t3st", evaluation="true")
    assert totals(by_digest)["run"] >= 3
    few = ask(rest, "lineage/impact", node=f"dataset:{story.data}", types="run", max_nodes=1)
    assert len(names(few, "run")) == 1 and not names(few, "model")
    assert totals(few)["model"] == 2


def test_trail_and_depth(rest, story):
    answer = ask(rest, "lineage/trail", **{"from": f"dataset:{story.data}", "to": f"registered:{story.registered}"})
    assert [n["type"] for n in answer["nodes"]] == ["dataset", "run", "model", "version", "registered"]
    assert answer["roles"] == ["input", "output", "version", "registered"]
    back = ask(rest, "lineage/trail", **{"from": story.models[0], "to": f"dataset:{story.data}"})
    assert [n["type"] for n in back["nodes"]] == ["dataset", "run", "model"] and back["backwards"]
    none = ask(rest, "lineage/trail", **{"from": f"dataset:{story.other}", "to": story.models[0]})
    assert "nodes" not in none
    near = ask(rest, "lineage", node=f"version:{story.registered}/1", depth=2)
    assert totals(near) == {"model": 1, "run": 1}


def test_as_of(rest, story, client):
    """An answer about a time before something was known does not have it."""
    before = int(time.time() * 1000)
    while int(time.time() * 1000) <= before + 5:
        time.sleep(0.001)
    late = client.create_run(client.create_experiment(f"late-{story.uniq}")).info.run_id
    client.log_inputs(late, models=[LoggedModelInput(story.models[0])])
    client.create_model_version(story.registered, f"models:/{story.models[1]}", story.runs[1], model_id=story.models[1])
    client.set_registered_model_alias(story.registered, "prod", "2")
    now = ask(rest, "lineage/impact", node=f"model:{story.models[0]}")
    assert totals(now) == {"version": 1, "registered": 1, "run": 1}
    then = ask(rest, "lineage/impact", node=f"model:{story.models[0]}", as_of_ms=before)
    assert totals(then) == {"version": 1, "registered": 1}
    assert names(ask(rest, "lineage", node=f"{story.registered}@prod"), "version") == [f"{story.registered}/2"]
    assert names(ask(rest, "lineage", node=f"{story.registered}@prod", as_of_ms=before), "version") == [
        f"{story.registered}/1"
    ]


def test_what_is_deleted(rest, story, client):
    """What is in the trash says so; what is gone for good keeps its place."""
    client.delete_run(story.runs[0])
    answer = ask(rest, "lineage", node=f"{story.registered}/1")
    assert [n["deleted"] for n in answer["nodes"] if n["type"] == "run"] == [True]
    gone = rest.call("DELETE", f"/api/cairn/v1/runs/{story.runs[0]}?hard=true&force=true")
    assert gone.status_code in (200, 202), gone.text
    for _ in range(600):
        answer = ask(rest, "lineage", node=f"{story.registered}/1")
        run = next(n for n in answer["nodes"] if n["type"] == "run")
        if run.get("gone"):
            break
        time.sleep(0.1)
    assert run["node"] == f"run:{story.runs[0]}" and run["gone"] and run["experiment"]
    assert totals(answer)["dataset"] == 2
    again = ask(rest, "lineage", node=run["node"])
    assert totals(again)["dataset"] == 2


def test_run_diff(rest, story):
    answer = ask(rest, "runs/diff", a=story.runs[0], b=story.runs[2])
    found = [(d["section"], d["key"], d.get("a"), d.get("b")) for d in answer["differences"]]
    assert ("code", "mlflow.source.git.commit", "0" * 40, "0" * 39 + "2") in found
    assert ("data", f"{story.data} (training)", "d1g3st", None) in found
    assert ("data", f"{story.other} (training)", None, "d1g3st") in found
    assert ("parameters", "rate", "0.1", "0.30000000000000004") in found
    assert ("results", "auc", "0.7", "0.95") in found
    order = ["code", "data", "parameters", "environment", "hardware", "results", "tags"]
    assert [s for s, *_ in found] == sorted((s for s, *_ in found), key=order.index)
    assert not any(key == "depth" for _, key, *_ in found)
    everything = ask(rest, "runs/diff", a=story.runs[0], b=story.runs[2], all="true")
    assert len(everything["differences"]) == len(found) + answer["equal"]
    assert "differences" not in ask(rest, "runs/diff", a=story.runs[0], b=story.runs[0])


@pytest.mark.parametrize(
    ("path", "query", "status", "field"),
    [
        ("lineage", {"depth": "1"}, 400, "node"),
        ("lineage", {"node": "nothing of that name"}, 404, "node"),
        ("lineage", {"node": "x", "direction": "sideways"}, 400, "direction"),
        ("lineage", {"node": "x", "types": "cat"}, 400, "types"),
        ("lineage", {"node": "x", "max_nodes": "0"}, 400, "max_nodes"),
        ("lineage/impact", {"node": "x", "as_of_ms": "yesterday"}, 400, "as_of_ms"),
        ("lineage/trail", {"from": "x"}, 400, "to"),
        ("runs/diff", {"a": "0" * 32, "b": "1" * 32}, 404, None),
    ],
)
def test_bad_questions(rest, path, query, status, field):
    answer = rest.get(f"/api/cairn/v1/{path}", params=query)
    assert answer.status_code == status, answer.text
    assert field is None or answer.json()["error"].get("field") == field


def test_ambiguous_names(rest, story, client):
    client.create_registered_model(story.data)  # as the data set is called
    answer = rest.get("/api/cairn/v1/lineage", params={"node": story.data})
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert "dataset:" in message and "registered:" in message
    assert ask(rest, "lineage", node=f"registered:{story.data}")["nodes"][0]["type"] == "registered"


def test_what_is_the_same(server, rest, story, tmp_path):
    cli = Cli(tmp_path, server.url)
    a, b = f"dataset:{story.data}", f"dataset:{story.other}@d1g3st"

    def count():
        return totals(ask(rest, "lineage/impact", node=a)).get("run", 0)

    assert count() == 2
    cli.run("same", "add", a, b, "--reason", "the same export")
    assert count() == 3
    answer = ask(rest, "lineage", node=b, direction="down")
    assert [n["distance"] for n in answer["nodes"] if n["type"] == "dataset"] == [0] * 3  # two experiments logged the first
    assert "same" in {link["role"] for link in answer["links"]}
    said = [p for p in json.loads(cli.run("same", "ls", "--rule", "said", "-o", "json")) if p["a"].endswith(f"{story.data}@d1g3st")]
    assert {p["reason"] for p in said} == {"the same export"}
    assert totals(ask(rest, "lineage/impact", node=a, as_of_ms=said[0]["time_ms"] - 1))["run"] == 2
    up = ask(rest, "lineage", node=f"run:{story.runs[2]}")
    assert {story.data + "@d1g3st", story.other + "@d1g3st"} <= set(names(up, "dataset"))
    cli.run("same", "undo", a, b, "--pin")
    assert count() == 2
    assert "pinned" in cli.run("same", "ls")
    cli.run("same", "add", a, b, rc=2)  # a reason is needed
    cli.run("same", "undo", a, b, rc=3)
    cli.run("same", "add", a, a, "--reason", "x", rc=2)
    cli.run("same", "add", a, "dataset:nothing-like-this", "--reason", "x", rc=3)
    cli.run("same", "add", a, b, "--reason", "a person may")
    assert count() == 3


def test_commands(server, story, tmp_path):
    cli = Cli(tmp_path, server.url)

    def run(*args, code=0):
        return cli.run(*args, rc=code)

    tree = run("why", f"{story.registered}@prod")
    assert f"version {story.registered}/1" in tree.replace("\x1b[1m", "").replace("  ", " ")
    for part in ("@prod", "train 0", "rate=0.1", f"{story.data}@d1g3st", "(evaluated on)", "1 run"):
        assert part in tree, tree
    assert json.loads(run("why", f"{story.registered}@prod", "-o", "json"))["nodes"]
    for name in (f"{story.registered}@prod", f"version:{story.registered}/1"):
        assert all(part in run("why", name, "-o", "table") for part in ("train 0", f"{story.data}@d1g3st"))
    table = run("why", f"{story.registered}@prod", "-o", "table=type,name").splitlines()
    assert ["run", "train", "0"] in [line.split() for line in table]
    table = run("impact", f"dataset:{story.data}", "--metric", "auc")
    assert table.index("train 1") < table.index("train 0")
    mermaid = run("why", f"{story.registered}@prod", "--draw", "mermaid")
    assert mermaid.startswith("flowchart LR\n") and "-.->" in mermaid
    assert run("impact", f"dataset:{story.data}", "--draw", "dot").startswith("digraph lineage {")
    assert "↓ output" in run("trail", f"dataset:{story.data}", f"{story.registered}@prod")
    run("trail", f"dataset:{story.other}", f"{story.registered}@prod", code=3)
    assert "mlflow.source.git.commit" in run("diff", story.runs[0], story.runs[1])
    assert run("impact", f"dataset:{story.data}", "-o", "name").count("run:") == 2
    early = run("why", f"{story.registered}/1", "--as-of", "2001-02-03T04:05")
    assert "nothing is known behind it" in early
    run("why", "nothing-like-this", code=3)
    run("why", f"{story.registered}/1", "--as-of", "soon", code=2)


def test_a_deadline_gives_a_part_and_says_so(tmp_path):
    if "sqlite" not in cairn.engines():
        pytest.skip("engine not selected")
    (tmp_path / "data").mkdir()
    subprocess.run([*cairn.bench_binaries("bench_lineage"), tmp_path / "data", "1000000", "alone"], check=True, capture_output=True)
    server = cairn.CairnServer(tmp_path / "data").start()
    try:
        cli = Cli(tmp_path, server.url)
        first, last = "node:1000000", "node:1290000"
        assert cli.json("impact", first, "--deadline", "1ms")["partial"]
        for form in ("table", "csv"):
            assert len(cli.run("impact", first, "--deadline", "1ms", "-o", form).splitlines()) > 1
            assert "the time was over" in cli.err
        assert "and more: the time was over" in cli.run("why", last, "--deadline", "1ms")
        assert not cli.json("impact", first).get("partial")
        cli.run("impact", first, "-o", "csv")
        assert "time was over" not in cli.err
    finally:
        server.stop()
