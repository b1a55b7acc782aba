"""The same script in both client releases, each in its own Python environment, against the same server."""

import json
import os
import subprocess

import pytest

import cairn

SCRIPT = r'''
import json, math, os, sys, tempfile
import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

uri, name = sys.argv[1:3]
mlflow.set_tracking_uri(uri)
client = MlflowClient()
mlflow.set_experiment(name)
eid = client.get_experiment_by_name(name).experiment_id
client.set_experiment_tag(eid, "owner", "me")
with mlflow.start_run(run_name="parent", description="text") as parent:
    mlflow.log_params({"lr": 0.1, "depth": 3})
    for step in range(20):
        mlflow.log_metrics({"loss": 1 / (step + 1), "nan": math.nan}, step=step)
    mlflow.set_tags({"a": "b", "c": "d"})
    mlflow.log_text("hello", "folder/note.txt")
    mlflow.log_dict({"x": [1, 2]}, "d.json")
    with mlflow.start_run(nested=True) as child:
        mlflow.log_metric("loss", 5)
run = client.get_run(parent.info.run_id)
assert run.info.status == "FINISHED" and run.data.params == {"lr": "0.1", "depth": "3"}
assert run.data.metrics["loss"] == 1 / 20 and math.isnan(run.data.metrics["nan"])
assert len(client.get_metric_history(run.info.run_id, "loss")) == 20
assert mlflow.artifacts.load_text(run.info.artifact_uri + "/folder/note.txt") == "hello"
assert {f.path for f in client.list_artifacts(run.info.run_id)} == {"folder", "d.json"}
found = client.search_runs([eid], "metrics.loss < 1 AND params.depth = '3'", order_by=["metrics.loss ASC"])
assert [r.info.run_id for r in found] == [parent.info.run_id]
children = client.search_runs([eid], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
assert [r.info.run_id for r in children] == [child.info.run_id]
client.log_batch(run.info.run_id, [Metric("batch", i, i, i) for i in range(500)], [Param("p", "1")], [RunTag("t", "1")])
model = client.create_logged_model(eid, name="m", source_run_id=run.info.run_id, params={"k": "v"}, tags={"t": "u"})
with tempfile.TemporaryDirectory() as d:
    open(d + "/w.bin", "wb").write(b"\0\1")
    client.log_model_artifacts(model.model_id, d)
client.finalize_logged_model(model.model_id, "READY")
client.log_metric(run.info.run_id, "acc", 0.5, model_id=model.model_id)
assert [m.model_id for m in client.search_logged_models([eid], "metrics.acc = 0.5")] == [model.model_id]
client.delete_run(child.info.run_id)
assert len(client.search_runs([eid], run_view_type=ViewType.DELETED_ONLY)) == 1
client.restore_run(child.info.run_id)
try:
    client.log_param(run.info.run_id, "lr", "0.2")
    raise SystemExit("a parameter was changed")
except MlflowException as err:
    assert "Changing param values is not allowed" in str(err), err
print(json.dumps({"version": mlflow.__version__, "run": run.info.run_id}))
'''


@pytest.mark.parametrize("env", ["mlflow-new", "mlflow-312"])
def test_client(server, env, uniq, client):
    python = cairn.find_python(env)
    if python is None:
        pytest.skip(f"environment {env} is not installed")
    done = subprocess.run([str(python), "-c", SCRIPT, server.url, f"client-{uniq}"], capture_output=True, text=True,
                          timeout=110, env=dict(os.environ, MLFLOW_TRACKING_URI=""))
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.strip().splitlines()[-1])
    assert told["version"].startswith("3.12." if env == "mlflow-312" else "3.")
    assert client.get_run(told["run"]).data.tags["t"] == "1"
