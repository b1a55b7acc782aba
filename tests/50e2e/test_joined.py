"""Data that protocols name who know nothing of each other, with the unmodified client of each: joined at its place, whichever comes first; and
taken apart again."""

import json
from pathlib import Path

import cairn
import mlflow
import pytest
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
    assert {(link["rule"], link["reason"]) for link in links if link["role"] == "place"} == {("uri", f"uri {place}")}

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
