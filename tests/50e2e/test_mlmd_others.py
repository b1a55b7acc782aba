"""Runs, data sets and models of MLflow as nodes of ML Metadata, with the unmodified pip client of each: read, linked, never changed."""

from pathlib import Path

import cairn
import command
import mlflow
import pytest
from registry_worker import worker_of

pytestmark = pytest.mark.cairn_only

SETUP = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parent.parent / 'lib')!r})
import mlmd_calls as calls
from mlmd_calls import pb

def code(fn, *args, **kwargs):
    got = calls.outcome(fn, *args, **kwargs)
    return got["code"] if isinstance(got, dict) else 0
"""


@pytest.fixture(scope="module")
def worker():
    yield from worker_of("mlmd", SETUP)


@pytest.fixture(params=cairn.engines())
def server(request, tmp_path):
    store = request.getfixturevalue("postgres").new_database() if request.param == "postgres" else None
    one = cairn.CairnServer(tmp_path / "data", store=store, args=["--mlmd-others"]).start()
    yield one
    one.stop()


def tracked(server):
    """A run with params, metrics, tags, a data set that it read and a model that it wrote."""
    client = mlflow.MlflowClient(server.url)
    exp = client.create_experiment("shown")
    run = client.create_run(exp, run_name="fit")
    client.log_param(run.info.run_id, "lr", "0.1")
    client.log_metric(run.info.run_id, "auc", 0.75)
    client.set_tag(run.info.run_id, "team", "a")
    data = mlflow.entities.Dataset(name="clicks", digest="d1", source_type="local", source="{}")
    client.log_inputs(run.info.run_id, [mlflow.entities.DatasetInput(data, [])])
    client.create_registered_model("fraud")
    client.set_terminated(run.info.run_id, "FINISHED")
    return run.info.run_id


def test_runs_are_executions(worker, server, tmp_path):
    run = tracked(server)
    got = worker.run("""
st = calls.Store(calls.config_of(address))
calls.types(st)
s = st.s
kind = s.get_execution_type("mlflow.Run")
x = s.get_execution_by_type_and_name("mlflow.Run", run)
custom = {k: (v.string_value or v.double_value) for k, v in x.custom_properties.items()}
listed = [[n.id, n.name, n.type] for n in s.get_executions_by_type("mlflow.Run")]
data = s.get_artifacts_by_type("mlflow.Dataset")[0]
events = [[e.artifact_id == data.id, e.type] for e in s.get_events_by_execution_ids([x.id])]
again = s.get_executions_by_id([x.id])[0] == x
all_types = {t.name for t in s.get_execution_types()} >= {"mlflow.Run", "Train"}
plain = [n.type for n in s.get_executions()]
result = [kind.id, x.last_known_state, x.type_id == kind.id, custom, listed == [[x.id, run, "mlflow.Run"]], events, again, all_types, plain,
          data.custom_properties["name"].string_value, data.custom_properties["digest"].string_value,
          s.get_context_by_type_and_name("mlflow.RegisteredModel", "fraud").name]
""", address=server.url.split("://")[1], run=run)
    assert got[:3] == [1000000002, 3, True]
    assert got[3]["params.lr"] == "0.1" and got[3]["metrics.auc"] == 0.75 and got[3]["tags.team"] == "a" and got[3]["run_name"] == "fit"
    assert got[4:] == [True, [[True, 3]], True, True, [], "clicks", "d1", "fraud"]

    # Linked from there: an artifact of ML Metadata that the run has made, and a context that the run is in.
    codes = worker.run("""
model = s.put_artifacts([pb.Artifact(type_id=st.data, name="made of it")])[0]
s.put_events([pb.Event(artifact_id=model, execution_id=x.id, type=pb.Event.OUTPUT)])
ctx = s.put_contexts([pb.Context(type_id=st.exp, name="p")])[0]
s.put_attributions_and_associations([pb.Attribution(artifact_id=data.id, context_id=ctx)], [pb.Association(execution_id=x.id, context_id=ctx)])
seen = [[e.artifact_id, e.type] for e in s.get_events_by_execution_ids([x.id])][1:] == [[model, 4]]
inside = [[n.id == x.id for n in s.get_executions_by_context(ctx)], [n.id == data.id for n in s.get_artifacts_by_context(ctx)]]
held = [c.name for c in s.get_contexts_by_execution(x.id)] + [c.name for c in s.get_contexts_by_artifact(data.id)]
x.custom_properties["params.lr"].string_value = "9"
reg = s.get_context_by_type_and_name("mlflow.RegisteredModel", "fraud").id
result = [seen, inside, held, code(s.put_executions, [x]), code(s.put_artifacts, [data]),
          code(s.put_executions, [pb.Execution(type_id=kind.id, name="new")]), code(s.put_execution_type, pb.ExecutionType(name="mlflow.Run")),
          code(s.put_parent_contexts, [pb.ParentContext(child_id=ctx, parent_id=reg)]), code(s.put_execution, x, [], [])]
""")
    assert codes == [True, [[True], [True]], ["p", "p"], 9, 9, 9, 9, 9, 9]
    client = mlflow.MlflowClient(server.url)
    assert client.get_run(run).data.params == {"lr": "0.1"} and len(client.get_run(run).inputs.dataset_inputs) == 1
    cli = command.Cli(tmp_path, server.url)
    assert "made of it" in cli.run("impact", f"run:{run}", "-o", "csv")
    assert "made of it" in cli.run("impact", "dataset:clicks", "-o", "csv")


def test_without_the_option_nothing_is_shown(worker, start_server):
    server = start_server()
    run = tracked(server)
    assert worker.run("""
s = calls.Store(calls.config_of(address)).s
result = [code(s.get_execution_type, "mlflow.Run"), s.get_executions_by_type("mlflow.Run"), s.get_executions_by_id([1]),
          s.get_execution_by_type_and_name("mlflow.Run", run), [t.name for t in s.get_execution_types()],
          code(s.put_execution_type, pb.ExecutionType(name="mlflow.Run"))]
""", address=server.url.split("://")[1], run=run) == [5, [], [], None, [], 9]
