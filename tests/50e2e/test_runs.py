"""Runs, parameters, tags through the pip client."""

import threading

import mlflow
import pytest
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException


def test_life_of_a_run(tracking):
    with mlflow.start_run(run_name="one", tags={"a": "b"}, description="about") as run:
        mlflow.log_param("lr", 0.1)
        mlflow.log_params({"depth": 3, "none": None, "text": "x" * 5999})
        mlflow.log_metric("loss", 0.5, step=1)
        mlflow.log_metrics({"acc": 0.75, "f1": 0.5}, step=2)
        mlflow.set_tag("k", "v")
        mlflow.set_tags({"l": "w", "m": 1})
    got = mlflow.get_run(run.info.run_id)
    assert got.info.status == "FINISHED" and got.info.end_time >= got.info.start_time > 0
    assert got.info.run_name == "one" and got.info.lifecycle_stage == "active"
    assert got.info.artifact_uri.endswith(f"/{tracking}/{run.info.run_id}/artifacts")
    assert got.data.params == {"lr": "0.1", "depth": "3", "none": "None", "text": "x" * 5999}
    assert got.data.metrics == {"loss": 0.5, "acc": 0.75, "f1": 0.5}
    assert {k: got.data.tags[k] for k in ("a", "k", "l", "m")} == {"a": "b", "k": "v", "l": "w", "m": "1"}
    assert got.data.tags["mlflow.note.content"] == "about"
    assert got.data.tags["mlflow.runName"] == "one"


def test_failed_and_resumed(tracking):
    with pytest.raises(RuntimeError):
        with mlflow.start_run() as run:
            raise RuntimeError("stop")
    assert mlflow.get_run(run.info.run_id).info.status == "FAILED"
    with mlflow.start_run(run_id=run.info.run_id):
        mlflow.log_metric("again", 1)
    assert mlflow.get_run(run.info.run_id).info.status == "FINISHED"


def test_nested_runs(tracking):
    with mlflow.start_run(run_name="parent") as parent:
        for i in range(3):
            with mlflow.start_run(run_name=f"child{i}", nested=True):
                mlflow.log_metric("m", i)
    found = mlflow.search_runs(filter_string=f"tags.mlflow.parentRunId = '{parent.info.run_id}'", output_format="list")
    assert {r.info.run_name for r in found} == {"child0", "child1", "child2"}
    assert mlflow.get_parent_run(found[0].info.run_id).info.run_id == parent.info.run_id


def test_generated_names(client, exp):
    names = {client.create_run(exp).info.run_name for _ in range(5)}
    assert len(names) > 1 and all(n.count("-") == 2 and len(n) <= 20 for n in names)


def test_update(client, run):
    client.update_run(run, name="renamed")
    client.update_run(run, status="KILLED")
    got = client.get_run(run)
    assert (got.info.run_name, got.info.status, got.data.tags["mlflow.runName"]) == ("renamed", "KILLED", "renamed")
    client.set_tag(run, "mlflow.runName", "by tag")
    assert client.get_run(run).info.run_name == "by tag"
    client.set_terminated(run, "FINISHED", 12345)
    assert client.get_run(run).info.end_time == 12345


def test_delete_restore(client, exp, run):
    client.delete_run(run)
    assert client.get_run(run).info.lifecycle_stage == "deleted"
    assert client.search_runs([exp]) == []
    assert [r.info.run_id for r in client.search_runs([exp], run_view_type=ViewType.DELETED_ONLY)] == [run]
    with pytest.raises(MlflowException, match="must be in the 'active' state. Current state is deleted"):
        client.set_tag(run, "a", "b")
    client.restore_run(run)
    client.set_tag(run, "a", "b")
    assert [r.info.run_id for r in client.search_runs([exp])] == [run]


def test_params_are_written_once(client, run):
    client.log_param(run, "a", "1")
    client.log_param(run, "a", "1")
    with pytest.raises(MlflowException, match="Changing param values is not allowed"):
        client.log_param(run, "a", "2")
    with pytest.raises(MlflowException, match="Changing param values is not allowed"):
        client.log_batch(run, params=[Param("b", "1"), Param("a", "3")])
    assert client.get_run(run).data.params["a"] == "1"


def test_long_values_are_cut(client, run):
    client.log_param(run, "p", "x" * 7000)
    client.set_tag(run, "t", "y" * 9000)
    data = client.get_run(run).data
    assert data.params["p"] == "x" * 6000
    assert data.tags["t"] == "y" * 8000


def test_tags(client, run):
    client.set_tag(run, "a", "1")
    client.set_tag(run, "a", "2")
    client.set_tag(run, "ключ é", "värde 日本 😀 \" ' \\ \n")
    tags = client.get_run(run).data.tags
    assert tags["a"] == "2" and tags["ключ é"] == "värde 日本 😀 \" ' \\ \n"
    client.delete_tag(run, "a")
    assert "a" not in client.get_run(run).data.tags
    with pytest.raises(MlflowException, match="No tag with name: a in run with id"):
        client.delete_tag(run, "a")


def test_log_batch(client, run):
    client.log_batch(run, metrics=[Metric("m", i / 8, 1000 + i, i) for i in range(1000)])
    client.log_batch(run, params=[Param(f"p{i}", str(i)) for i in range(100)], tags=[RunTag(f"t{i}", str(i)) for i in range(100)])
    data = client.get_run(run).data
    assert data.metrics == {"m": 999 / 8}
    assert len(data.params) == 100 and data.params["p99"] == "99"
    assert data.tags["t0"] == "0" and data.tags["t99"] == "99"


def test_a_batch_is_whole_or_absent(client, run, server):
    client.log_param(run, "a", "1")
    with pytest.raises(MlflowException):
        client.log_batch(run, metrics=[Metric("m", 1, 1, 0)], params=[Param("a", "2")], tags=[RunTag("t", "1")])
    data = client.get_run(run).data
    assert data.metrics == {} and "t" not in data.tags and data.params == {"a": "1"}


def test_many_writers_of_one_run(client, run):
    """Eight threads, each with its own key and a shared one: nothing is lost."""
    errors = []

    def work(n):
        try:
            for i in range(25):
                client.log_metric(run, f"m{n}", i, timestamp=1000 + i, step=i)
                client.log_metric(run, "shared", n * 100 + i, timestamp=1000, step=n * 100 + i)
        except Exception as err:  # noqa: BLE001
            errors.append(err)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert errors == []
    data = client.get_run(run).data
    assert all(data.metrics[f"m{n}"] == 24 for n in range(8))
    assert data.metrics["shared"] == 724
    assert len(client.get_metric_history(run, "shared")) == 200


def test_async_logging(tracking):
    with mlflow.start_run() as run:
        futures = [mlflow.log_metric("m", i, step=i, synchronous=False) for i in range(50)]
        futures.append(mlflow.log_param("p", 1, synchronous=False))
        futures.append(mlflow.set_tag("t", "v", synchronous=False))
        [f.wait() for f in futures if f is not None]
        mlflow.flush_async_logging()
    got = mlflow.get_run(run.info.run_id)
    assert got.data.metrics["m"] == 49 and got.data.params["p"] == "1" and got.data.tags["t"] == "v"


def test_unknown_run(client):
    with pytest.raises(MlflowException) as err:
        client.get_run("0" * 32)
    assert err.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert f"Run with id={'0' * 32} not found" in str(err.value)


def test_bad_names_are_explained(client, run):
    for name in ("a*b", "../up", "/abs", "a//b", "."):
        with pytest.raises(MlflowException) as err:
            client.log_param(run, name, "1")
        assert err.value.error_code == "INVALID_PARAMETER_VALUE"
