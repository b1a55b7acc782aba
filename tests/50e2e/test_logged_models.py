"""Logged models through the client: the whole life of one, its search, tags, parameters, files."""

import pytest
from mlflow.entities import LoggedModelStatus, Metric
from mlflow.exceptions import MlflowException


def test_life(client, exp, run, tmp_path):
    model = client.create_logged_model(exp, name="clf", source_run_id=run, tags={"a": "1"}, params={"depth": "3"},
                                       model_type="tree")
    assert model.model_id.startswith("m-") and len(model.model_id) == 34
    assert model.status == LoggedModelStatus.PENDING
    assert model.artifact_location.endswith(f"/{exp}/models/{model.model_id}/artifacts")
    (tmp_path / "x.txt").write_text("weights")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "y.txt").write_text("more")
    client.log_model_artifact(model.model_id, str(tmp_path / "x.txt"))
    client.log_model_artifacts(model.model_id, str(tmp_path / "dir"))
    assert {f.path for f in client.list_logged_model_artifacts(model.model_id)} == {"x.txt", "y.txt"}
    done = client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    assert done.status == LoggedModelStatus.READY
    got = client.get_logged_model(model.model_id)
    assert (got.name, got.model_type, got.source_run_id, got.experiment_id) == ("clf", "tree", run, exp)
    assert got.params == {"depth": "3"} and got.tags == {"a": "1"}
    assert got.creation_timestamp > 0 and got.last_updated_timestamp >= got.creation_timestamp
    client.delete_logged_model(model.model_id)
    with pytest.raises(MlflowException) as err:
        client.get_logged_model(model.model_id)
    assert err.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_failed(client, exp):
    model = client.create_logged_model(exp)
    assert model.name.count("-") == 2
    assert client.finalize_logged_model(model.model_id, LoggedModelStatus.FAILED).status == LoggedModelStatus.FAILED


def test_tags_and_params(client, exp):
    model = client.create_logged_model(exp, name="m", params={f"p{i}": str(i) for i in range(230)})
    client.set_logged_model_tags(model.model_id, {"a": "1", "b": "2"})
    client.set_logged_model_tags(model.model_id, {"a": "3"})
    client.delete_logged_model_tag(model.model_id, "b")
    client.log_model_params(model.model_id, {"late": "x"})
    got = client.get_logged_model(model.model_id)
    assert got.tags == {"a": "3"}
    assert len(got.params) == 231 and got.params["p229"] == "229" and got.params["late"] == "x"
    with pytest.raises(MlflowException, match="No tag with key 'b' found for model with ID"):
        client.delete_logged_model_tag(model.model_id, "b")


def test_metrics(client, exp, run):
    model = client.create_logged_model(exp, name="m", source_run_id=run)
    client.log_metric(run, "acc", 0.9, timestamp=5, step=1, model_id=model.model_id, dataset_name="iris", dataset_digest="d1")
    client.log_batch(run, metrics=[Metric("loss", 0.25, 6, 2, model_id=model.model_id)])
    got = {m.key: m for m in client.get_logged_model(model.model_id).metrics}
    assert got["acc"].value == 0.9 and got["acc"].run_id == run and got["acc"].dataset_name == "iris"
    assert got["loss"].value == 0.25 and got["loss"].model_id == model.model_id
    assert client.get_run(run).data.metrics == {"acc": 0.9, "loss": 0.25}


def test_search(client, exp, run):
    ids = {}
    for name, kind, value in (("a", "tree", 0.5), ("b", "net", 0.75), ("c", "net", 0.25)):
        model = client.create_logged_model(exp, name=name, model_type=kind, params={"p": name})
        ids[name] = model.model_id
        client.log_metric(run, "acc", value, model_id=model.model_id, dataset_name="iris", dataset_digest=name)

    def names(**kwargs):
        return [m.name for m in client.search_logged_models([exp], **kwargs)]

    assert set(names()) == {"a", "b", "c"}
    assert set(names(filter_string="model_type = 'net'")) == {"b", "c"}
    assert names(filter_string="params.p = 'a'") == ["a"]
    assert names(filter_string="name IN ('c')") == ["c"]
    assert set(names(filter_string="metrics.acc > 0.4")) == {"a", "b"}
    assert names(filter_string="metrics.acc > 0.4", datasets=[{"dataset_name": "iris", "dataset_digest": "b"}]) == ["b"]
    assert names(order_by=[{"field_name": "metrics.acc", "ascending": False}]) == ["b", "a", "c"]
    assert names(order_by=[{"field_name": "name", "ascending": True}]) == ["a", "b", "c"]
    page = client.search_logged_models([exp], max_results=2, order_by=[{"field_name": "name"}])
    rest = client.search_logged_models([exp], max_results=2, order_by=[{"field_name": "name"}], page_token=page.token)
    assert [m.name for m in page] + [m.name for m in rest] == ["a", "b", "c"] and not rest.token


def test_a_deleted_model_leaves_the_search(client, exp):
    kept, gone = (client.create_logged_model(exp, name=n) for n in "kg")
    client.delete_logged_model(gone.model_id)
    assert [m.model_id for m in client.search_logged_models([exp])] == [kept.model_id]


def test_download_route_of_the_user_interface(client, exp, rest, tmp_path):
    model = client.create_logged_model(exp, name="m")
    (tmp_path / "x.txt").write_text("weights")
    client.log_model_artifact(model.model_id, str(tmp_path / "x.txt"))
    answer = rest.get(f"/ajax-api/2.0/mlflow/logged-models/{model.model_id}/artifacts/files",
                      params={"artifact_file_path": "x.txt"})
    assert answer.status_code == 200 and answer.content == b"weights"
