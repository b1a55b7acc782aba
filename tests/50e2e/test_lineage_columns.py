"""Lineage by column, clusters of alike siblings, filters of trails, and how two runs differed at a time: API and command line."""

import json
import time

import mlflow
import pytest
from mlflow.entities import Dataset, DatasetInput, LoggedModelInput, LoggedModelOutput, Metric

from command import Cli

pytestmark = pytest.mark.cairn_only

SCHEMA = {"mlflow_colspec": [{"type": "long", "name": "user.id", "required": True}, {"type": "double", "name": "spend"},
                             {"type": "string", "name": "zip"}]}


def ask(rest, path, status=200, **query):
    answer = rest.get(f"/api/cairn/v1/{path}", params=query)
    assert answer.status_code == status, answer.text
    return answer.json()


def say(rest, status=200, **body):
    answer = rest.post("/api/cairn/v1/lineage/columns", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def refs(answer, kind):
    return sorted(n["node"] for n in answer.get("nodes", []) if n["type"] == kind)


def totals(answer):
    return {t["type"]: t["count"] for t in answer.get("totals", [])}


def data(name, schema=None, digest="d1"):
    return DatasetInput(Dataset(name, digest, "http", f"http://example.com/{name}", json.dumps(schema) if schema else None))


class Story:
    """Raw data with a schema; two runs read it, a third reads features that were made of it."""

    def __init__(self, client, rest, uniq):
        self.raw, self.features = f"raw.{uniq}", f"features-{uniq}"
        self.experiment = client.create_experiment(f"columns-{uniq}")
        self.runs = [client.create_run(self.experiment).info.run_id for _ in range(3)]
        for run in self.runs[:2]:
            client.log_inputs(run, datasets=[data(self.raw, SCHEMA)])
        client.log_inputs(self.runs[2], datasets=[data(self.features)])
        self.models = []
        for run in self.runs:
            model = client.create_logged_model(self.experiment, source_run_id=run)
            client.log_outputs(run, [LoggedModelOutput(model.model_id, 0)])
            self.models.append(model.model_id)

    def ref(self, name, column):
        return f"column:{name}@d1.{column}"


@pytest.fixture
def story(client, rest, uniq):
    return Story(client, rest, uniq)


def test_columns_of_a_schema(rest, story):
    """Nothing is said: a run used every column of the schema of what it read, and no other."""
    answer = ask(rest, "lineage/impact", node=f"column:{story.raw}.spend")
    assert refs(answer, "run") == sorted(f"run:{r}" for r in story.runs[:2])
    assert refs(answer, "model") == sorted(f"model:{m}" for m in story.models[:2])
    assert ask(rest, "lineage/impact", node=f"{story.raw}@d1.user.id")["totals"] == answer["totals"]
    ask(rest, "lineage/impact", 404, node=f"column:{story.raw}.nothing")
    ask(rest, "lineage/impact", 404, node=f"column:{story.features}.spend")


def test_columns_that_were_used(rest, story, tmp_path, server):
    before = totals(ask(rest, "lineage/impact", node=f"column:{story.raw}.zip"))
    use = {"run_id": story.runs[0], "uses": [{"dataset": f"dataset:{story.raw}", "columns": ["user.id", "spend"]}]}
    assert say(rest, **use)["changed"] == 2
    assert say(rest, **use)["changed"] == 0
    # a run that said what it used used nothing else; what only the schema knows is known still
    assert refs(ask(rest, "lineage/impact", node=f"column:{story.raw}.spend"), "run") == sorted(f"run:{r}" for r in story.runs[:2])
    assert refs(ask(rest, "lineage/impact", node=f"column:{story.raw}.zip"), "run") == [f"run:{story.runs[1]}"]
    assert totals(ask(rest, "lineage/impact", node=f"dataset:{story.raw}"))["run"] == 2
    why = ask(rest, "lineage", node=f"model:{story.models[0]}", columns="true")
    assert refs(why, "column") == sorted(story.ref(story.raw, c) for c in ("user.id", "spend"))
    assert "use" in {link["role"] for link in why["links"]}
    assert not refs(ask(rest, "lineage", node=f"model:{story.models[0]}"), "column")
    assert totals(ask(rest, "lineage/impact", node=f"column:{story.raw}.zip", as_of_ms=1)) == {}
    assert say(rest, **use, undo=True)["changed"] == 2
    assert totals(ask(rest, "lineage/impact", node=f"column:{story.raw}.zip")) == before
    say(rest, 400, uses=use["uses"])
    say(rest, 400, run_id=story.runs[2], uses=use["uses"])  # it did not read that
    say(rest, 404, run_id=story.runs[0], uses=[{"dataset": "dataset:nothing-like-this", "columns": ["a"]}])
    say(rest, 400, run_id=story.runs[0], uses=[{"dataset": f"dataset:{story.raw}", "columns": [""]}])
    # a use of no columns says nothing, and neither are there more than 1,000 things in one request
    nothing = {"dataset": f"dataset:{story.raw}", "columns": []}
    assert say(rest, 400, run_id=story.runs[0], uses=[use["uses"][0], nothing])["error"]["field"] == "columns"
    made = {"from": "a", "from_column": "a", "to": "b", "to_column": "b"}
    say(rest, 413, run_id=story.runs[0], uses=use["uses"] * 1001)
    say(rest, 413, derived=[made] * 1001)
    error = say(rest, 400, run_id=story.runs[0], uses=use["uses"] * 501, derived=[made] * 500)
    assert error["error"]["field"] == "columns"


def test_more_columns_than_are_looked_at(rest, client, story):
    """A run that used hundreds of columns of something else is affected by what it read and said nothing of."""
    run, wide = story.runs[0], f"wide.{story.raw}"
    client.log_inputs(run, datasets=[data(wide)])
    use = {"run_id": run, "uses": [{"dataset": f"dataset:{wide}", "columns": [f"c{i}" for i in range(300)]}]}
    assert say(rest, **use)["changed"] == 300
    assert refs(ask(rest, "lineage/impact", node=f"column:{story.raw}.zip"), "run") == sorted(f"run:{r}" for r in story.runs[:2])


def test_columns_that_were_made(rest, story, tmp_path, server):
    made = {"from": f"dataset:{story.raw}", "from_column": "spend", "to": f"dataset:{story.features}", "to_column": "log_spend",
            "kind": "transformation"}
    assert say(rest, run_id=story.runs[0], derived=[made, dict(made, from_column="user.id", kind="group_by")])["changed"] == 2
    down = ask(rest, "lineage/impact", node=f"column:{story.raw}.spend")
    assert refs(down, "column") == sorted([story.ref(story.raw, "spend"), story.ref(story.features, "log_spend")])
    assert refs(down, "run") == sorted(f"run:{r}" for r in story.runs)
    assert f"run:{story.runs[2]}" not in refs(ask(rest, "lineage/impact", node=f"column:{story.raw}.zip"), "run")
    up = ask(rest, "lineage", node=f"column:{story.features}.log_spend", details="true")
    assert refs(up, "column") == sorted([story.ref(story.features, "log_spend"), story.ref(story.raw, "spend"), story.ref(story.raw, "user.id")])
    assert refs(up, "run") == [f"run:{story.runs[0]}"]  # that made it, and not what that run read besides
    assert {link["role"] for link in up["links"]} == {"transformation", "group_by", "made"}
    trail = ask(rest, "lineage/trail", **{"from": f"column:{story.raw}.spend", "to": f"model:{story.models[2]}"})
    assert [n["type"] for n in trail["nodes"]][-2:] == ["run", "model"] and trail["roles"][0] == "transformation"
    # data cannot be made of itself, over whatever is between
    back = {"from": made["to"], "from_column": "log_spend", "to": made["from"], "to_column": "spend"}
    error = say(rest, 400, derived=[back])
    assert "cannot be made of" in error["error"]["message"]
    say(rest, 400, derived=[dict(made, to=made["from"], to_column="spend")])
    say(rest, 400, derived=[dict(made, kind="guess")])
    cli = Cli(tmp_path, server.url)
    assert f"features-" in cli.run("impact", f"column:{story.raw}.spend", "--type", "column")
    assert "spend" in cli.run("why", f"{story.features}.log_spend")
    assert say(rest, run_id=story.runs[0], derived=[made], undo=True)["changed"] == 1
    assert refs(ask(rest, "lineage", node=f"column:{story.features}.log_spend"), "run") == [f"run:{story.runs[0]}"]
    say(rest, run_id=story.runs[0], derived=[dict(made, from_column="user.id", kind="group_by")], undo=True)
    assert totals(ask(rest, "lineage", node=f"column:{story.features}.log_spend")) == {}


def test_columns_by_command(rest, story, tmp_path, server):
    """What a run used and what was made of what, said and taken back by command, seen as of each time."""
    cli = Cli(tmp_path, server.url)
    run, raw, features = story.runs[0], f"dataset:{story.raw}", f"dataset:{story.features}"

    def runs(*more):
        return sorted(line for line in cli.run("impact", f"column:{story.raw}.zip", "-o", "name", *more).split() if line.startswith("run:"))

    def links():
        answer = ask(rest, "lineage", node=f"column:{story.features}.log_spend")
        return sorted((link["role"], int(link["recorded_ms"]), int(link["claimed_ms"])) for link in answer.get("links", []))

    both = sorted(f"run:{r}" for r in story.runs[:2])
    assert runs() == both
    cli.run("column", "use", run, raw, "user.id", "spend")
    assert runs() == [f"run:{story.runs[1]}"]
    said = max(int(link["recorded_ms"]) for link in ask(rest, "lineage", node=f"run:{run}", columns="true")["links"] if link["role"] == "use")
    cli.run("column", "use", f"run:{run}", raw, "user.id", "spend", "--undo")
    assert runs() == both
    assert runs("--as-of", str(said)) == [f"run:{story.runs[1]}"]
    cli.run("column", "link", raw, "spend", features, "log_spend", "--kind", "transformation", "--run", run, "--since", "2026-03-03")
    assert [(role, claimed) for role, _, claimed in links()] == [("made", 1772496000000), ("transformation", 1772496000000)]
    assert "spend" in cli.run("why", f"column:{story.features}.log_spend")
    cli.run("why", f"column:{story.features}.log_spend", "--as-of", str(links()[0][1] - 1))
    cli.run("column", "link", features, "log_spend", raw, "spend", rc=2)  # made of itself
    cli.run("column", "link", raw, "spend", features, "log_spend", "--kind", "guess", rc=2)
    cli.run("column", "use", "no-such-run", raw, "spend", rc=3)
    cli.run("column", "link", raw, "spend", features, "log_spend", "--kind", "transformation", "--run", run, "--undo")
    assert links() == []


@pytest.fixture
def sweep(client, uniq):
    """Twelve runs of one sweep on one data set, each with a model, and one run on other data as well."""
    experiment = client.create_experiment(f"sweep-{uniq}")
    runs, models = [], []
    for i in range(12):
        run = client.create_run(experiment).info.run_id
        client.log_inputs(run, datasets=[data(f"swept-{uniq}")])
        client.log_metric(run, "auc", i / 100)
        model = client.create_logged_model(experiment, source_run_id=run)
        client.log_outputs(run, [LoggedModelOutput(model.model_id, 0)])
        runs.append(run)
        models.append(model.model_id)
    return f"dataset:swept-{uniq}", runs, models


def test_alike_siblings(rest, sweep, tmp_path, server):
    name, runs, models = sweep
    answer = ask(rest, "lineage/impact", node=name, group="true", metric="auc")
    assert totals(answer) == {"run": 12, "model": 12}
    assert [n["metric"] for n in answer["nodes"] if n["type"] == "run"] == [0.11, 0.1, 0.09]  # the best of them
    by_type = {g["type"]: g for g in answer["groups"]}
    assert {t: g["count"] for t, g in by_type.items()} == {"run": 12, "model": 12}
    assert answer["nodes"][by_type["run"]["under"]]["node"] == name + "@d1"
    assert by_type["model"]["under_group"] == by_type["run"]["id"]
    assert {n["group"] for n in answer["nodes"] if n["type"] == "run"} == {by_type["run"]["id"]}
    opened = ask(rest, "lineage", node=name, direction="down", expand=by_type["run"]["id"])
    assert refs(opened, "run") == sorted(f"run:{r}" for r in runs)
    assert len(refs(opened, "model")) == 3 and [g["type"] for g in opened["groups"]] == ["model"]
    ask(rest, "lineage", 400, node=name, expand="g12")
    cli = Cli(tmp_path, server.url)
    text = cli.run("impact", name, "--group")
    assert "12 alike of type run" in text and f"--expand {by_type['run']['id']}" in text
    assert cli.run("impact", name, "--expand", by_type["run"]["id"], "-o", "name").count("run:") == 12


def test_trails_are_filtered_and_counted(rest, client, sweep, tmp_path, server):
    name, runs, models = sweep
    last = client.create_run(client.get_run(runs[0]).info.experiment_id).info.run_id
    client.log_inputs(last, models=[LoggedModelInput(m) for m in models])
    trail = ask(rest, "lineage/trail", **{"from": name, "to": f"run:{last}"})
    assert [n["type"] for n in trail["nodes"]] == ["dataset", "run", "model", "run"]
    assert totals(trail) == {"run": 12, "model": 12}
    assert "nodes" not in ask(rest, "lineage/trail", **{"from": name, "to": f"run:{last}", "types": "run"})
    assert "nodes" not in ask(rest, "lineage/trail", **{"from": name, "to": f"run:{last}", "depth": 2})
    assert ask(rest, "lineage/trail", **{"from": name, "to": f"run:{last}", "depth": 3})["totals"] == trail["totals"]
    cli = Cli(tmp_path, server.url)
    assert "between them: 12 runs, 12 models" in cli.run("trail", name, f"run:{last}", "--deadline", "5s")
    cli.run("trail", name, f"run:{last}", "--type", "dataset", rc=3)


def test_how_runs_differed_then(rest, client, uniq, tmp_path, server):
    experiment = client.create_experiment(f"then-{uniq}")
    a = client.create_run(experiment, start_time=1000).info.run_id
    b = client.create_run(experiment, start_time=1000).info.run_id
    for run, values in ((a, (0.1, 0.2)), (b, (0.1, 0.9))):
        client.log_batch(run, metrics=[Metric("auc", values[0], 2000, 0), Metric("auc", values[1], 3000, 1)])
    client.set_terminated(a, "FINISHED", end_time=4000)
    client.set_terminated(b, "FAILED", end_time=5000)

    def diff(**query):
        return {d["key"]: (d.get("a"), d.get("b")) for d in ask(rest, "runs/diff", a=a, b=b, **query).get("differences", [])
                if d["section"] in ("results", "data")}

    assert diff() == {"auc": ("0.2", "0.9"), "status": ("FINISHED", "FAILED")}
    assert diff(as_of_ms=2500) == {}
    assert diff(as_of_ms=3000) == {"auc": ("0.2", "0.9")}
    assert diff(as_of_ms=4500) == {"auc": ("0.2", "0.9"), "status": ("FINISHED", "RUNNING")}
    ask(rest, "runs/diff", 404, a=a, b=b, as_of_ms=999)
    client.log_inputs(a, datasets=[data(f"late-{uniq}")])
    now = int(time.time() * 1000) + 1000
    assert f"late-{uniq}" in diff(as_of_ms=now) and f"late-{uniq}" not in diff(as_of_ms=6000)
    cli = Cli(tmp_path, server.url)
    assert "0.9" in cli.run("diff", a, b) and "0.9" not in cli.run("diff", a, b, "--as-of", "2500")
