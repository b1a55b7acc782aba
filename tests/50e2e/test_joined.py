"""Data that protocols name who know nothing of each other, with the unmodified client of each: joined at its place, whichever comes first; and
taken apart again."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import cairn
import mlflow
import pytest
import requests
from command import Cli
from mlflow.entities import Dataset, DatasetInput
from registry_worker import worker_of

pytestmark = pytest.mark.cairn_only

SETUP = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parent.parent / 'lib')!r})
import mlmd_calls as calls
from mlmd_calls import pb
"""

MAKE = """
s = calls.Store(calls.config_of(address)).s
data = s.put_artifact_type(pb.ArtifactType(name="Data"))
step = s.put_execution_type(pb.ExecutionType(name="Prepare"))
kept = pb.Artifact(type_id=data, uri=uri)
if digest:
    kept.custom_properties["digest"].string_value = digest
made = s.put_artifacts([kept])[0]
run = s.put_executions([pb.Execution(type_id=step, name=name)])[0]
s.put_events([pb.Event(artifact_id=made, execution_id=run, type=pb.Event.OUTPUT)])
result = [made, run]
"""


@pytest.fixture(scope="module")
def worker():
    yield from worker_of("mlmd", SETUP)


@pytest.fixture(params=cairn.engines(), scope="module")
def joined(request, servers):
    return servers(request.param)


def train(client, exp, name, digest, uri):
    run = client.create_run(exp).info.run_id
    source = json.dumps({"uri": uri})
    client.log_inputs(run, [DatasetInput(Dataset(name, digest, "s3", source), [])])
    return run


def nodes(cli, *args):
    return json.loads(cli.run(*args, "-o", "json"))["nodes"]


@pytest.mark.parametrize("first", ["mlflow", "mlmd"])
def test_a_step_of_a_pipeline_made_what_a_run_read(worker, joined, uniq, tmp_path, first):
    cli, client = Cli(tmp_path, joined.url), mlflow.MlflowClient(joined.url)
    exp, name = client.create_experiment(f"joined-{uniq}"), f"clicks-{uniq}"
    place = f"s3://lake/{uniq}/clicks"

    def pipeline():
        worker.run(MAKE, address=joined.url.split("://")[1], uri=f"s3a://lake/{uniq}/clicks/", digest=None, name=f"prepare-{uniq}")

    if first == "mlmd":
        pipeline()
    run, later = train(client, exp, name, "d1", place), train(client, exp, name, "d2", place)
    if first == "mlflow":
        pipeline()

    why = nodes(cli, "why", f"run:{run}")
    assert {f"dataset:{name}@d1", f"place:{place}"} <= {n["node"] for n in why}
    assert f"prepare-{uniq}" in {n["name"] for n in why}
    assert f"dataset:{name}@d2" not in {n["node"] for n in why}  # another version of it
    maker = next(n["node"] for n in why if n["name"] == f"prepare-{uniq}")
    impact = {n["node"] for n in nodes(cli, "impact", maker)}
    assert {f"run:{run}", f"run:{later}"} <= impact
    links = json.loads(cli.run("why", f"run:{run}", "-o", "json"))["links"]
    assert {(link["rule"], link["reason"]) for link in links if link["role"] == "place"} == {
        ("uri", f"uri {place}"), ("digest", f"uri {place}, digest d1")}

    # A mistake: the artifact is taken from the place, and no rule puts it there again.
    said = [p for p in json.loads(cli.run("same", "ls", "--rule", "uri", "-o", "json")) if p["b"] == f"place:{place}"]
    assert {p["who"] for p in said} == {"rule"} and {p["reason"] for p in said} == {f"uri {place}"}
    artifact = next(p["a"] for p in said if p["a"].startswith("node:"))
    cli.run("same", "undo", f"dataset:{name}@d1", artifact, rc=5)
    cli.run("same", "undo", artifact, f"place:{place}", "--pin")
    assert f"prepare-{uniq}" not in {n["name"] for n in nodes(cli, "why", f"run:{run}")}
    train(client, client.create_experiment(f"again-{uniq}"), name, "d3", place)
    assert f"prepare-{uniq}" not in {n["name"] for n in nodes(cli, "why", f"run:{run}")}
    cli.run("same", "add", artifact, f"place:{place}", "--reason", "it is there after all")
    assert f"prepare-{uniq}" in {n["name"] for n in nodes(cli, "why", f"run:{run}")}


def test_the_same_version(worker, joined, uniq, tmp_path):
    """Where the digest is equal too, it is that version."""
    cli, client = Cli(tmp_path, joined.url), mlflow.MlflowClient(joined.url)
    exp, name = client.create_experiment(f"joined-{uniq}"), f"clicks-{uniq}"
    run = train(client, exp, name, "d1", f"/lake/{uniq}.csv")
    made, _ = worker.run(MAKE, address=joined.url.split("://")[1], uri=f"file:///lake/{uniq}.csv", digest="d1", name=f"prepare-{uniq}")
    assert made > 0
    said = [p for p in json.loads(cli.run("same", "ls", "--rule", "digest", "-o", "json")) if uniq in p["b"]]
    assert {p["b"] for p in said} == {f"place:file:///lake/{uniq}.csv@d1"} and len(said) == 2
    assert {p["reason"] for p in said} == {f"uri file:///lake/{uniq}.csv, digest d1"}
    trail = cli.run("trail", next(p["a"] for p in said if p["a"].startswith("node:")), f"run:{run}")
    assert f"place file:///lake/{uniq}.csv@d1" in trail


# ---- OpenLineage ----------------------------------------------------------------------------------------------------------------

def event(run, job, when, inputs=(), outputs=(), kind="COMPLETE", **facets):
    def dataset(d):
        ns, name = d[:2]
        return {"namespace": ns, "name": name, "facets": d[2] if len(d) > 2 else {}}

    return {"eventType": kind, "eventTime": f"2026-11-22T08:00:{when:02d}Z", "producer": "https://example.com/etl", "run": {"runId": run, "facets": facets},
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent", "job": {"namespace": "etl/prod", "name": job},
            "inputs": [dataset(d) for d in inputs], "outputs": [dataset(d) for d in outputs]}


def tell(server, one):
    answer = requests.post(server.url + "/api/v1/lineage", json=one, timeout=60)
    assert answer.status_code in (200, 201), answer.text


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_three_protocols_meet(worker, joined, uniq, tmp_path, order):
    """A job wrote what a step of a pipeline registered and a run was trained on."""
    cli, client = Cli(tmp_path, joined.url), mlflow.MlflowClient(joined.url)
    exp, name, place = client.create_experiment(f"three-{uniq}"), f"clicks-{uniq}", f"s3://lake/{uniq}/clicks"
    run = None

    def job():
        tell(joined, event(str(uuid.uuid4()), f"daily.{uniq}", 1, [("postgres://db:5432", f"shop.public.{uniq}")], [("s3a://lake", f"/{uniq}/clicks")]))

    def step():
        worker.run(MAKE, address=joined.url.split("://")[1], uri=place, digest=None, name=f"prepare-{uniq}")

    for which in order:
        if which == 0:
            job()
        elif which == 1:
            step()
        else:
            run = train(client, exp, name, "d1", place)
    why = nodes(cli, "why", f"run:{run}")
    assert {f"prepare-{uniq}", f"etl/prod/daily.{uniq}", f"daily.{uniq}", f"postgres://db:5432/shop.public.{uniq}"} & {n["name"] for n in why} == {
        f"prepare-{uniq}", f"daily.{uniq}", f"postgres://db:5432/shop.public.{uniq}"}
    assert {"jobrun", "data", "dataversion", "place", "dataset"} <= {n["type"] for n in why}
    down = {n["node"] for n in nodes(cli, "impact", f"data:postgres://db:5432/shop.public.{uniq}")}
    assert {f"run:{run}", f"place:{place}"} <= down
    assert f"run:{run}" in {n["node"] for n in nodes(cli, "impact", f"job:etl/prod/daily.{uniq}")}
    trail = cli.run("trail", f"data:postgres://db:5432/shop.public.{uniq}", f"run:{run}")
    assert f"daily.{uniq}" in trail
    assert cli.run("why", f"run:{run}", "--draw", "mermaid") and f"daily.{uniq}" in cli.run("why", f"run:{run}")


def test_symlinks(joined, uniq, tmp_path):
    """A table is the folder that its symlinks facet names, as long as it does."""
    cli, client = Cli(tmp_path, joined.url), mlflow.MlflowClient(joined.url)
    run = train(client, client.create_experiment(f"links-{uniq}"), f"t-{uniq}", "d1", f"s3://lake/{uniq}")

    def said(when, identifiers):
        facet = {"symlinks": {"_producer": "https://example.com", "_schemaURL": "https://example.com", "identifiers": identifiers}}
        tell(joined, event(str(uuid.uuid4()), f"load.{uniq}", when, [], [("hive://meta:9083", f"db.{uniq}", facet)]))

    table = f"data:hive://meta:9083/db.{uniq}"
    said(1, [{"namespace": "s3://lake", "name": uniq, "type": "TABLE"}])
    assert f"run:{run}" in {n["node"] for n in nodes(cli, "impact", table)}
    pairs = [p for p in json.loads(cli.run("same", "ls", "--rule", "symlink", "-o", "json")) if uniq in p["a"] + p["b"]]
    assert {pairs[0]["a"], pairs[0]["b"]} == {table, f"data:s3://lake/{uniq}"}
    said(2, [])
    assert f"run:{run}" not in {n["node"] for n in nodes(cli, "impact", table)}
    said(1, [{"namespace": "s3://lake", "name": uniq, "type": "OLDER"}])  # late: the newer facet holds
    assert f"run:{run}" not in {n["node"] for n in nodes(cli, "impact", table)}


def test_the_same_run(joined, uniq, tmp_path):
    """A run of MLflow that tells of itself under its own id."""
    cli, client = Cli(tmp_path, joined.url), mlflow.MlflowClient(joined.url)
    run = client.create_run(client.create_experiment(f"self-{uniq}")).info.run_id
    tell(joined, event(str(uuid.UUID(run)), f"self.{uniq}", 1, [("s3://lake", f"{uniq}-in")], []))
    assert f"data:s3://lake/{uniq}-in" in {n["node"] for n in nodes(cli, "why", f"run:{run}")}
    assert [p["reason"] for p in json.loads(cli.run("same", "ls", "--rule", "run", "-o", "json")) if run in p["a"] + p["b"]] == ["run id"]


STARTED = """
import mlflow, sys
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment(sys.argv[2])
with mlflow.start_run() as run:
    mlflow.log_metric("auc", 0.5)
    print(run.info.run_id)
"""


@pytest.mark.parametrize("first", ["job", "run"])
def test_a_run_that_a_task_started(joined, uniq, tmp_path, first):
    """What a task sets in the environment of an unmodified program: the tag says which run of a job it is part of, in the form of
    OPENLINEAGE_PARENT_ID."""
    cli, task = Cli(tmp_path, joined.url), str(uuid.uuid4())

    def job():
        tell(joined, event(task, f"dag.{uniq}", 1, [("s3://lake", f"{uniq}-in")], []))

    if first == "job":
        job()
    env = dict(os.environ, MLFLOW_RUN_CONTEXT=json.dumps({"openlineage.parent": f"etl/prod/dag.{uniq}/{task}"}))
    done = subprocess.run([sys.executable, "-c", STARTED, joined.url, f"started-{uniq}"], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    run = done.stdout.split()[0]
    if first == "run":
        job()
    why = json.loads(cli.run("why", f"run:{run}", "-o", "json"))
    assert {f"run:{task}", f"data:s3://lake/{uniq}-in"} <= {n["node"] for n in why["nodes"]}
    assert "parent" in {link["role"] for link in why["links"]}
    assert f"run:{run}" in {n["node"] for n in nodes(cli, "impact", f"job:etl/prod/dag.{uniq}")}
    assert f"run:{run}" in {n["node"] for n in nodes(cli, "impact", f"data:s3://lake/{uniq}-in")}
