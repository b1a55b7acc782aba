"""Other ways people use the client: the mlflow command, external models, evaluation, the fluent helpers."""

import os
import subprocess
import sys

import mlflow
import pytest
from mlflow.exceptions import MlflowException


def command(server, *args):
    """Run `mlflow ARGS` in this process; its output."""
    from click.testing import CliRunner
    from mlflow.cli import cli
    done = CliRunner().invoke(cli, args, env={"MLFLOW_TRACKING_URI": server.url})
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return done.output


def test_the_mlflow_command(server, client, uniq, tmp_path):
    command(server, "experiments", "create", "--experiment-name", f"cmd-{uniq}")
    exp = client.get_experiment_by_name(f"cmd-{uniq}").experiment_id
    assert f"cmd-{uniq}" in command(server, "experiments", "search")
    run = client.create_run(exp, run_name="named").info.run_id
    assert run in command(server, "runs", "list", "--experiment-id", exp)
    (tmp_path / "a.txt").write_text("hello")
    command(server, "artifacts", "log-artifact", "--local-file", str(tmp_path / "a.txt"), "--run-id", run)
    assert "a.txt" in command(server, "artifacts", "list", "--run-id", run)
    command(server, "runs", "delete", "--run-id", run)
    assert client.get_run(run).info.lifecycle_stage == "deleted"
    command(server, "runs", "restore", "--run-id", run)
    assert client.get_run(run).info.lifecycle_stage == "active"


def test_external_model_and_active_model(client, tracking):
    model = mlflow.create_external_model(name="elsewhere", params={"a": "b"}, tags={"t": "u"})
    assert client.get_logged_model(model.model_id).status.name == "READY"
    with mlflow.start_run():
        mlflow.set_active_model(name="agent-v1")
        mlflow.log_metric("quality", 0.5, model_id=mlflow.get_active_model_id())
    frame = mlflow.search_logged_models(experiment_ids=[tracking])
    assert {"elsewhere", "agent-v1"} <= set(frame["name"])
    mlflow.set_logged_model_tags(model.model_id, {"x": "y"})
    assert mlflow.get_logged_model(model.model_id).tags["x"] == "y"
    mlflow.delete_logged_model_tag(model.model_id, "x")
    assert "x" not in mlflow.get_logged_model(model.model_id).tags


def test_evaluation(client, tracking):
    """mlflow.models.evaluate: metrics, plots and the dataset of a classifier."""
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    x, y = load_iris(return_X_y=True, as_frame=True)
    x, y = x[y < 2], y[y < 2]
    model = LogisticRegression().fit(x, y)
    with mlflow.start_run() as run:
        mlflow.models.evaluate(model.predict, x.assign(target=y), targets="target", model_type="classifier",
                               evaluator_config={"log_explainer": False})
    got = client.get_run(run.info.run_id)
    assert got.data.metrics["accuracy_score"] == 1.0 and got.inputs.dataset_inputs


def test_the_frame_of_search_runs(tracking):
    for i in range(4):
        with mlflow.start_run(run_name=f"r{i}"):
            mlflow.log_param("i", i)
            mlflow.log_metric("m", i * 0.25)
            mlflow.set_tag("even", i % 2 == 0)
    frame = mlflow.search_runs(order_by=["metrics.m DESC"])
    assert list(frame["params.i"]) == ["3", "2", "1", "0"]
    assert list(frame["metrics.m"]) == [0.75, 0.5, 0.25, 0.0]
    assert set(frame["status"]) == {"FINISHED"}
    last = mlflow.last_active_run()
    assert last.data.params == {"i": "3"}


def test_runs_from_threads_and_processes(client, tracking, server, tmp_path):
    """A sweep in child processes, each with its own run."""
    script = ("import mlflow, sys\nmlflow.set_tracking_uri(sys.argv[1])\n"
              "with mlflow.start_run(experiment_id=sys.argv[2]):\n"
              "    for s in range(5): mlflow.log_metric('m', s * float(sys.argv[3]), step=s)\n")
    procs = [subprocess.Popen([sys.executable, "-c", script, server.url, tracking, str(i)], stderr=subprocess.PIPE) for i in range(3)]
    for proc in procs:
        _, err = proc.communicate(timeout=100)
        assert proc.returncode == 0, err[-2000:]
    assert sorted(r.data.metrics["m"] for r in client.search_runs([tracking])) == [0.0, 4.0, 8.0]


@pytest.mark.cairn_only
def test_what_is_not_there_yet_says_so_at_once(client):
    with pytest.raises(MlflowException) as err:
        client.search_traces(["0"])
    assert err.value.error_code == "ENDPOINT_NOT_FOUND"
