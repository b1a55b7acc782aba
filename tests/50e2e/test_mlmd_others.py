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
def times(n):
    return n.create_time_since_epoch <= n.last_update_time_since_epoch and "start_time" in n.custom_properties and "end_time" in n.custom_properties
custom.pop("start_time"), custom.pop("end_time")
result = [kind.id, x.last_known_state, x.type_id == kind.id and times(x), custom, listed == [[x.id, run, "mlflow.Run"]], events, again, all_types, plain,
          data.custom_properties["name"].string_value, data.custom_properties["digest"].string_value,
          s.get_context_by_type_and_name("mlflow.RegisteredModel", "fraud").name]
""", address=server.url.split("://")[1], run=run)
    assert got[:3] == [1000000002, 3, True]
    assert got[3]["params.lr"] == "0.1" and got[3]["metrics.auc"] == 0.75 and got[3]["tags.team"] == "a" and got[3]["run_name"] == "fit"
    assert got[4:] == [True, [[True, 3]], True, True, ["mlflow.Run"], "clicks", "d1", "fraud"]

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


def test_lists_and_filters(worker, server):
    """Both kinds of nodes in one list, in its order, page by page; filters ask what is shown, numbers exactly."""
    client = mlflow.MlflowClient(server.url)
    numbers = [0.1, 1 / 3, -2.5e-30, 3.337e20, 1e-7 + 1e-17, 5e-324, float("nan"), 2.0**60]
    runs = []
    for i, number in enumerate(numbers):
        runs.append(client.create_run("0", run_name=f"r{i}").info.run_id)
        client.log_metric(runs[-1], "auc", number)
        client.log_param(runs[-1], "note", f"täglich {i % 3}")
    client.set_terminated(runs[0], "FINISHED")
    client.set_terminated(runs[1], "FAILED")
    got = worker.run("""
st = calls.Store(calls.config_of(address))
calls.types(st)
s = st.s
own = s.put_executions([pb.Execution(type_id=st.train, name=f"own {i}", last_known_state=pb.Execution.COMPLETE,
                                     custom_properties={"params.note": pb.Value(string_value=f"täglich {i}")}) for i in range(4)])
kinds = {n.id: n.name for n in s.get_executions()}
def find(filter, order="ID", size=3, is_asc=True):
    out, token = [], ""
    while True:
        r = st.raw("GetExecutions", options={"max_result_size": size, "filter_query": filter, "next_page_token": token,
                                             "order_by_field": {"field": order, "is_asc": is_asc}})
        out += [kinds[n.id] for n in r.executions]
        token = r.next_page_token
        if not token:
            return out
def places(*filter, **options):
    return [names.index(n) for n in find(*filter, **options)]
everything = [n.id for n in s.get_executions()]
exact = []
for i, number in enumerate(numbers):
    if number == number:
        f = f"custom_properties.`metrics.auc`.double_value {{}} {number!r}"
        exact.append([places(f.format(op)) for op in ("=",)] + [sorted(places(f.format(">"))) == sorted(k for k, n in enumerate(numbers) if n > number and k != 5)])
note = "custom_properties.`params.note`.string_value"
result = [
    everything == sorted(everything) and len(everything) == len(names), exact,
    places(f"{note} = 'täglich 1'"), places(f"{note} LIKE 'T%0' AND last_known_state = COMPLETE"), places("last_known_state IN (FAILED, RUNNING)"),
    places("type = 'mlflow.Run' AND type_id = 1000000002 AND last_known_state = COMPLETE"), places("type = 'Train'"),
    places(f"name = '{names[2]}'"), places(f"name = '{names[9]}'"), places(f"name = '{names[2]}' OR name = 'own 3'"),
    places("id > 0", order="CREATE_TIME") == list(reversed(places("id > 0", order="CREATE_TIME", is_asc=False))),
    sorted(places("id > 0", order="LAST_UPDATE_TIME", size=1)) == list(range(12)),
    places("custom_properties.run_name.string_value IN ('r3', 'r4') AND custom_properties.experiment_id.int_value = 0"),
    calls.outcome(st.raw, "GetExecutions", options={"filter_query": "custom_properties.run_name.string_value = 1"})["code"],
]
""", address=server.url.split("://")[1], names=runs + [f"own {i}" for i in range(4)], numbers=numbers)
    assert got[0]
    assert got[1] == [[[i] if i != 5 else [], True] for i in range(8) if i != 6]
    assert got[2:] == [[1, 4, 7, 9], [0, 8], [1, 2, 3, 4, 5, 6, 7], [0], [8, 9, 10, 11], [2], [9], [2, 11], True, True, [3, 4], 3]


def test_subgraphs_lead_through_runs(worker, server):
    run = tracked(server)
    got = worker.run("""
st = calls.Store(calls.config_of(address))
calls.types(st)
s = st.s
x = s.get_execution_by_type_and_name("mlflow.Run", run)
data = s.get_artifacts_by_type("mlflow.Dataset")[0]
made = s.put_artifacts([pb.Artifact(type_id=st.data, name="made of it")])[0]
ctx = s.put_contexts([pb.Context(type_id=st.exp, name="p")])[0]
s.put_events([pb.Event(artifact_id=made, execution_id=x.id, type=pb.Event.OUTPUT)])
s.put_attributions_and_associations([], [pb.Association(execution_id=x.id, context_id=ctx)])
def walk(**asked):
    g = st.raw("GetLineageSubgraph", lineage_subgraph_query_options=asked).lineage_subgraph
    return [sorted(a.id for a in g.artifacts), [n.id for n in g.executions], len(g.events), [c.id for c in g.contexts], len(g.associations)]
def ids(filter):
    return [n.id for n in st.raw("GetExecutions", options={"filter_query": filter}).executions]
both = sorted([data.id, made])
full = s.get_lineage_subgraph(pb.LineageSubgraphQueryOptions(starting_artifacts={"filter_query": "name = 'made of it'"}))
result = [
    walk(starting_artifacts={"filter_query": "name = 'made of it'"}, direction="UPSTREAM") == [both, [x.id], 2, [ctx], 1],
    walk(starting_artifacts={"filter_query": "custom_properties.digest.string_value = 'd1'"}, direction="DOWNSTREAM") == [both, [x.id], 2, [ctx], 1],
    walk(starting_executions={"filter_query": "custom_properties.`params.lr`.string_value = '0.1'"}, max_num_hops=0) == [[], [x.id], 0, [ctx], 1],
    walk(starting_artifacts={"filter_query": "name = 'made of it'"}, ending_executions={"filter_query": "type = 'mlflow.Run'"}) == [[made], [], 0, [], 0],
    walk(starting_artifacts={"filter_query": "name = 'made of it'"},
         ending_executions={"filter_query": "custom_properties.`metrics.auc`.double_value > 0.5", "include_ending_nodes": True}) == [[made], [x.id], 1, [ctx], 1],
    ids(f"events_0.artifact_id = {data.id} AND events_0.type = INPUT") == [x.id], ids("contexts_0.name = 'p'") == [x.id],
    sorted(a.type for a in full.artifacts) == ["Data", "mlflow.Dataset"], [n.type for n in full.executions] == ["mlflow.Run"],
    calls.outcome(st.raw, "PutLineageSubgraph", executions=[x])["code"], calls.outcome(st.raw, "PutLineageSubgraph", artifacts=[data])["code"],
]
""", address=server.url.split("://")[1], run=run)
    assert got == [True] * 9 + [9, 9]
