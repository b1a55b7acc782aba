"""Kubeflow Model Registry's own client against the server, and the same models seen by MLflow's."""

import textwrap

import mlflow
import pytest
from mlflow.exceptions import MlflowException

import cairn
from registry_worker import Worker

pytestmark = pytest.mark.cairn_only

CONNECT = """
import asyncio
import model_registry
from model_registry import ModelRegistry, utils
from model_registry.core import ModelRegistryAPIClient
from model_registry.types import ModelArtifact, DocArtifact, ListOptions, ModelVersion, RegisteredModel

r = ModelRegistry(url, author="tester", is_secure=False, user_token=token)
"""
API = "/api/model_registry/v1alpha3"


def start(env):
    python = cairn.find_python(env)
    if python is None:
        pytest.skip(f"no environment {env}: tools/pyenv {env}")
    return Worker(python)


@pytest.fixture(scope="module")
def worker():
    one = start("model-registry")
    yield one
    one.stop()


@pytest.fixture
def kf(worker, server):
    """Runs a piece of Python in which r is the client."""
    worker.run(CONNECT, url=server.url, token=None)
    return lambda code, **values: worker.run(textwrap.dedent(code), **values)


def test_register_and_read(kf, uniq):
    made = kf("""
        r.register_model(name, "s3://bucket/model", model_format_name="onnx", model_format_version="1.0", version="v1.0-beta",
                         version_description="the first", storage_key="key", storage_path="path", service_account_name="acc",
                         model_source_kind="hf", model_source_class="c", model_source_group="g", model_source_id="i",
                         model_source_name="n", owner="owner", author="author",
                         metadata={"int": 7, "float": 0.5, "text": "t", "yes": True})
        result = {"model": r.get_registered_model(name), "version": r.get_model_version(name, "v1.0-beta"),
                  "artifact": r.get_model_artifact(name, "v1.0-beta"), "none": r.get_registered_model(name + "x"),
                  "no version": r.get_model_version(name, "v2")}
        """, name=f"org/bert {uniq}")
    assert made["model"]["name"] == f"org/bert {uniq}"
    assert (made["model"]["owner"], made["model"]["state"]) == ("owner", "LIVE")
    version = made["version"]
    assert (version["name"], version["author"], version["description"]) == ("v1.0-beta", "author", "the first")
    assert version["custom_properties"] == {"int": 7, "float": 0.5, "text": "t", "yes": True}
    assert version["registered_model_id"] == made["model"]["id"]
    artifact = made["artifact"]
    assert (artifact["name"], artifact["uri"]) == (f"org/bert {uniq}", "s3://bucket/model")
    assert (artifact["model_format_name"], artifact["storage_key"], artifact["storage_path"]) == ("onnx", "key", "path")
    assert [artifact["model_source_" + x] for x in ("kind", "class", "group", "id", "name")] == ["hf", "c", "g", "i", "n"]
    assert made["none"] is None and made["no version"] is None


def test_update(kf, uniq):
    got = kf("""
        r.register_model(name, "s3://b/1", model_format_name="f", model_format_version="1", version="1", metadata={"a": 1})
        m = r.get_registered_model(name)
        m.description, m.state, m.owner, m.custom_properties = "d", "ARCHIVED", "me", {"k": "v"}
        m = r.update(m)
        v = r.get_model_version(name, "1")
        v.description, v.state, v.external_id, v.custom_properties = "e", "ARCHIVED", "ext " + name, {"b": 2.5}
        v = r.update(v)
        a = r.get_model_artifact(name, "1")
        a.uri, a.state, a.custom_properties = "s3://b/2", "LIVE", {"c": False}
        a = r.update(a)
        result = [m, v, a, r.get_registered_model(name), r.get_model_version(name, "1"), r.get_model_artifact(name, "1")]
        """, name=f"m {uniq}")
    got[4]["last_update_time_since_epoch"] = got[1]["last_update_time_since_epoch"]  # its source moved with the artifact
    assert got[0] == got[3] and got[1] == got[4] and got[2] == got[5]
    assert (got[0]["description"], got[0]["state"], got[0]["owner"]) == ("d", "ARCHIVED", "me")
    assert got[0]["custom_properties"] == {"k": "v"}
    assert (got[1]["state"], got[1]["external_id"], got[1]["custom_properties"]) == ("ARCHIVED", f"ext m {uniq}", {"b": 2.5})
    assert (got[2]["uri"], got[2]["state"], got[2]["custom_properties"]) == ("s3://b/2", "LIVE", {"c": False})


def test_errors_reach_the_client(kf, uniq):
    got = kf("""
        from model_registry.exceptions import StoreError
        result = {}
        def failing(what, call):
            try:
                call()
            except Exception as e:
                result[what] = [type(e).__name__, getattr(e, "status", None), str(getattr(e, "body", e))]
        r.register_model(name, "s3://b/1", model_format_name="f", model_format_version="1", version="1")
        failing("again", lambda: r.register_model(name, "s3://b/1", model_format_name="f", model_format_version="1", version="1"))
        failing("name taken", lambda: r.async_runner(r._api.upsert_registered_model(RegisteredModel(name=name))))
        failing("no model", lambda: r.get_model_version(name + "x", "1"))
        failing("not ascii", lambda: r.register_model("modèle", "s3://b/1", model_format_name="f", model_format_version="1", version="1"))
        failing("long int", lambda: r.update(RegisteredModel(id="1", name=name, custom_properties={"k": 2**40})))
        failing("gone", lambda: r.update(RegisteredModel(id="999999999", name=name)))
        """, name=f"m {uniq}")
    assert got["again"][0] == "StoreError" and "already exists" in got["again"][2]
    assert got["name taken"][1] == 409 and '"code":"Conflict"' in got["name taken"][2]
    assert got["no model"][0] == "StoreError"
    assert got["not ascii"][1] == 400 and "name" in got["not ascii"][2]
    assert "long int" in got  # the client itself refuses it
    assert got["gone"][1] == 404


def test_paging(kf, uniq):
    got = kf("""
        for i in range(7):
            r.register_model(f"{name} {i}", f"s3://b/{i}", model_format_name="f", model_format_version="1", version="1")
        for i in range(2, 7):
            r.register_model(f"{name} 0", f"s3://b/v{i}", model_format_name="f", model_format_version="1", version=str(i))
        ours = lambda pager: [m.name for m in pager if m.name.startswith(name)]
        result = {
            "all": ours(r.get_registered_models()),
            "pages of 3": ours(r.get_registered_models().page_size(3)),
            "back": ours(r.get_registered_models().page_size(2).order_by_creation_time().descending()),
            "ids": ours(r.get_registered_models().order_by_id().ascending()),
            "updated": ours(r.get_registered_models().order_by_update_time().page_size(100)),
            "versions": [v.name for v in r.get_model_versions(f"{name} 0").page_size(4)],
        }
        async def later():
            options = ListOptions(limit=3)
            out = []
            while True:
                page = await r._api.get_registered_models(options)
                out += [m.name for m in page]
                if not options.next_page_token:
                    return [n for n in out if n.startswith(name)]
        result["async"] = asyncio.new_event_loop().run_until_complete(later())
        """, name=f"m {uniq}")
    names = [f"m {uniq} {i}" for i in range(7)]
    assert got["all"] == got["pages of 3"] == got["ids"] == got["async"] == names
    assert got["back"] == names[::-1]
    assert got["updated"] == names[1:] + names[:1]
    assert got["versions"] == [str(i) for i in range(1, 7)]


def test_async_client(kf, uniq):
    got = kf("""
        from model_registry.types import DataSet, Parameter
        api = r._api
        async def work():
            m = await api.upsert_registered_model(RegisteredModel(name=name, external_id="x " + name))
            v = await api.upsert_model_version(ModelVersion(name="1"), m.id)
            made = await asyncio.gather(*[
                api.upsert_model_version_artifact(a, v.id) for a in (
                    ModelArtifact(name="w", uri="s3://b/w", model_format_name="f", model_format_version="1"),
                    DocArtifact(name="d", uri="http://d"),
                    DataSet(name="s", uri="s3://d", digest="ab", schema="x"),
                    Parameter(name="lr", value="0.1", parameter_type="number"))])
            return {
                "made": made,
                "same": (await api.get_registered_model_by_id(m.id)) == (await api.get_registered_model_by_params(external_id="x " + name)),
                "version": (await api.get_model_version_by_id(v.id)) == (await api.get_model_version_by_params(m.id, "1")),
                "listed": sorted(type(a).__name__ for a in await api.get_model_version_artifacts(v.id)),
                "models": [a.name for a in await api.get_model_artifacts(v.id)],
                "documents": [a.name for a in await api.get_artifacts(artifact_type="doc-artifact", filter_query="name = 'd'") if a.id == made[1].id],
                "parameters": [a.value for a in await api.get_artifacts(filter_query="parameterType = 'number'", artifact_type="parameter") if a.id == made[3].id],
                "none": await api.get_registered_model_by_id("999999999"),
            }
        result = asyncio.new_event_loop().run_until_complete(work())
        """, name=f"m {uniq}")
    assert [a["name"] for a in got["made"]] == ["w", "d", "s", "lr"]
    assert got["made"][2]["digest"] == "ab" and got["made"][3]["value"] == 0.1
    assert got["same"] and got["version"] and got["none"] is None
    assert got["listed"] == ["DataSet", "DocArtifact", "ModelArtifact", "Parameter"]
    assert (got["models"], got["documents"], got["parameters"]) == (["w"], ["d"], [0.1])


def test_helpers(kf, uniq):
    """What looks at Hugging Face and S3 before it asks the server; the outside is replaced."""
    got = kf("""
        import huggingface_hub
        class Info:
            id, author = name, "someone"
            class cardData:
                to_dict = staticmethod(lambda: {"license": "mit", "tags": ["a"], "size": 3})
        huggingface_hub.HfApi.model_info = lambda self, repo, revision=None: Info
        r.register_hf_model(name, "onnx/model.onnx", version="main", model_format_name="onnx", model_format_version="1")
        uri = utils.s3_uri_from("path/to", "bucket", endpoint="http://minio:9000", region="eu")
        r.register_model(name + " s3", uri, model_format_name="f", model_format_version="1", version="1")
        result = [r.get_model_version(name, "main"), r.get_model_artifact(name, "main"), uri, r.get_model_artifact(name + " s3", "1")]
        """, name=f"org/model-{uniq}")
    assert got[0]["author"] == "someone"
    assert got[0]["custom_properties"]["license"] == "mit" and got[0]["custom_properties"]["size"] == 3
    assert got[1]["uri"].startswith(f"https://huggingface.co/org/model-{uniq}/resolve/main/onnx/model.onnx")
    assert got[3]["uri"] == got[2]


def test_from_mlflow(kf, client, exp, uniq, tracking):
    """What MLflow registers is there with its numbers as names, whatever happens to it."""
    name = f"mlflow {uniq}"
    run = client.create_run(exp).info
    source = run.artifact_uri + "/model"
    client.create_registered_model(name, tags={"a": "b"}, description="d")
    client.create_model_version(name, source, run.run_id)
    client.create_model_version(name, source + "2", run.run_id, description="second")
    client.set_registered_model_alias(name, "prod", "2")
    got = kf("""
        v = r.get_model_version(name, "2")
        result = {"model": r.get_registered_model(name), "versions": list(r.get_model_versions(name)), "second": v,
                  "artifact": r.get_model_artifact(name, "2")}
        v.author, v.state = "me", "ARCHIVED"
        r.update(v)
        """, name=name)
    assert (got["model"]["description"], got["model"]["state"]) == ("d", "LIVE")
    assert [v["name"] for v in got["versions"]] == ["1", "2"]
    assert got["second"]["description"] == "second"
    assert got["artifact"]["uri"] == source + "2"
    second = client.get_model_version_by_alias(name, "prod")
    assert (int(second.version), second.description, second.source) == (2, "second", source + "2")
    client.rename_registered_model(name, name + " new")
    client.delete_model_version(name + " new", "1")
    got = kf("""
        result = {"old": r.get_registered_model(name), "new": r.get_registered_model(name + " new"),
                  "versions": [[v.name, v.author, v.state.value] for v in r.get_model_versions(name + " new")]}
        """, name=name)
    assert got["old"] is None and got["new"]["name"] == name + " new"
    assert got["versions"] == [["2", "me", "ARCHIVED"]]
    client.delete_registered_model(name + " new")
    assert kf("result = r.get_registered_model(name)", name=name + " new") is None


def test_to_mlflow(kf, client, uniq):
    """What is registered here has numbers, sources and aliases in MLflow, and its name where MLflow can say it."""
    name = f"kf {uniq}"
    kf("""
        for v in ("alpha", "2", "1"):
            r.register_model(name, "s3://bucket/" + v, model_format_name="f", model_format_version="1", version=v, version_description=v)
        """, name=name)
    versions = sorted(client.search_model_versions(f"name = '{name}'"), key=lambda v: int(v.version))
    assert [(int(v.version), v.source, v.description) for v in versions] == [
        (1, "s3://bucket/alpha", "alpha"), (2, "s3://bucket/2", "2"), (3, "s3://bucket/1", "1")]
    assert client.get_model_version_download_uri(name, "1") == "s3://bucket/alpha"
    client.set_registered_model_alias(name, "prod", "1")
    client.transition_model_version_stage(name, "1", "Production")
    made = client.create_model_version(name, "s3://bucket/more")
    assert int(made.version) == 4
    got = kf("""
        result = {"names": [v.name for v in r.get_model_versions(name)], "first": r.get_model_artifact(name, "alpha").uri,
                  "one": r.get_model_version(name, "1").description}
        """, name=name)
    assert got == {"names": ["alpha", "2", "1", "4"], "first": "s3://bucket/alpha", "one": "1"}
    with pytest.raises(MlflowException, match="already exists"):
        client.create_registered_model(name)


def test_a_logged_model_has_its_artifact(kf, client, tracking, uniq):
    """A model that was logged with MLflow and registered there is found by the other client as its artifact."""
    name = f"sk {uniq}"
    with mlflow.start_run():
        model = mlflow.initialize_logged_model("m")
        client.create_registered_model(name)
        client.create_model_version(name, f"models:/{model.model_id}", model_id=model.model_id)
    got = kf("result = r.get_model_artifact(name, '1')", name=name)
    assert got["uri"] == mlflow.get_logged_model(model.model_id).artifact_location


def test_after_a_restart(worker, own, uniq):
    """Nothing of it lives in memory only."""
    worker.run(CONNECT, url=own.url, token=None)
    before = worker.run(textwrap.dedent("""
        r.register_model(name, "s3://b/1", model_format_name="f", model_format_version="1", version="v1", metadata={"a": 1, "b": 0.25})
        m = r.get_registered_model(name)
        m.state = "ARCHIVED"
        r.update(m)
        result = [r.get_registered_model(name), r.get_model_version(name, "v1"), r.get_model_artifact(name, "v1")]
        """), name=f"m {uniq}")
    own.kill()
    own.start()
    worker.run(CONNECT, url=own.url, token=None)
    after = worker.run(textwrap.dedent("""
        result = [r.get_registered_model(name), r.get_model_version(name, "v1"), r.get_model_artifact(name, "v1")]
        """), name=f"m {uniq}")
    assert after == before
    assert after[0]["state"] == "ARCHIVED"


def test_with_a_token(worker, start_server, tmp_path, uniq):
    """The client's bearer token is the server's; without one the answer has the shape that the client reads."""
    (tmp_path / "token").write_text("a-long-enough-token-for-a-test\n")
    server = start_server(args=["--token-file", str(tmp_path / "token"), "--auth", "token"])
    got = worker.run(CONNECT + textwrap.dedent("""
        r.register_model(name, "s3://b/1", model_format_name="f", model_format_version="1", version="1")
        result = {"name": r.get_registered_model(name).name}
        try:
            ModelRegistry(url, author="x", is_secure=False)
        except Exception as e:
            result["status"], result["body"] = e.status, str(e.body)
        """), url=server.url, token="a-long-enough-token-for-a-test", name=f"m {uniq}")
    assert got["name"] == f"m {uniq}" and got["status"] == 401
    assert '"code":"Unauthorized"' in got["body"]


def test_many_at_once(rest, uniq):
    """Sixteen writers give one model its versions: every name once, no number lost."""
    import threading

    model = rest.post(API + "/registered_models", {"name": f"m {uniq}"}).json()["id"]
    failed = []

    def add(k):
        for i in range(5):
            one = rest.server.url + API + f"/registered_models/{model}/versions"
            import requests
            got = requests.post(one, json={"name": f"{k}.{i}"}, timeout=60)
            if got.status_code != 201:
                failed.append(got.text)

    threads = [threading.Thread(target=add, args=(k,)) for k in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed
    items = rest.get(API + f"/registered_models/{model}/versions").json()["items"]
    assert sorted(v["name"] for v in items) == sorted(f"{k}.{i}" for k in range(16) for i in range(5))
    one = rest.get(f"/api/2.0/mlflow/model-versions/get?name=m+{uniq}&version=80")
    assert one.status_code == 200


@pytest.fixture(scope="module")
def older():
    one = start("model-registry-v1alpha3")
    yield one
    one.stop()


def test_the_client_of_v1alpha3(older, server, client, exp, run, uniq):
    """It registers and reads as the newest does, and sees the experiments and runs of the tracking API."""
    older.run(CONNECT, url=server.url, token=None)
    client.log_metric(run, "loss", 0.5, timestamp=1000, step=3)
    client.log_param(run, "lr", "0.1")
    got = older.run(textwrap.dedent("""
        from model_registry.types import Metric
        r.register_model(name, "s3://b/1", model_format_name="f", model_format_version="1", version="v1", metadata={"a": 1})
        version = r.get_model_version(name, "v1")
        api = r._api
        metric = r.async_runner(api.upsert_model_version_artifact(Metric(name="acc", value=0.5, step=3), version.id))
        experiment = r.async_runner(api.get_experiment_by_name(experiment))
        runs = list(r.get_experiment_runs(experiment_id=experiment.id))
        result = {"version": version, "metric": metric, "experiment": experiment, "runs": runs,
                  "listed": [e.name for e in r.get_experiments() if e.id == experiment.id],
                  "logs": list(r.get_experiment_run_logs(run_id=runs[0].id)), "run": r.get_experiment_run(runs[0].id)}
        """), name=f"m {uniq}", experiment=client.get_experiment(exp).name)
    assert got["version"]["name"] == "v1" and got["version"]["custom_properties"] == {"a": 1}
    assert (got["metric"]["value"], got["metric"]["step"]) == (0.5, 3)
    assert got["listed"] == [got["experiment"]["name"]] and got["experiment"]["state"] == "LIVE"
    assert got["runs"] == [got["run"]] and got["run"]["name"] == client.get_run(run).info.run_name
    assert [(a["name"], a["value"]) for a in got["logs"]] == [("loss", 0.5), ("lr", 0.1)]


def test_a_run_of_its_tracking(older, server, client, uniq):
    """start_experiment_run of the client that has it: the experiment and its runs are MLflow's."""
    older.run(CONNECT, url=server.url, token=None)
    got = older.run(textwrap.dedent("""
        with r.start_experiment_run(experiment_name=name, owner="me", description="what for", run_description="a try") as run:
            run.log_param("lr", 0.1)
            run.log_param("opt", "adam", description="the optimizer")
            run.log_param("deep", True)
            for step in range(3):
                run.log_metric("loss", 1 / (step + 1), step=step, timestamp=str(1000 + step))
            run.log_metric("acc", 0.5, description="on the test set")
            run.log_dataset(name="digits", uri="s3://bucket/digits", source_type="s3", source="s3://bucket/digits")
        with r.start_experiment_run(experiment_name=name) as parent, r.start_experiment_run(experiment_name=name, nested=True) as child:
            child.log_metric("loss", 0.25)
        experiment = r.async_runner(r._api.get_experiment_by_name(name))
        runs = list(r.get_experiment_runs(experiment_id=experiment.id))
        result = {"experiment": experiment, "runs": runs, "logs": list(r.get_experiment_run_logs(run_id=run.info.id)), "id": run.info.id,
                  "parent": parent.info.id, "child": child.info.id}
        """), name=f"tracked {uniq}")
    assert (got["experiment"]["owner"], got["experiment"]["description"]) == ("me", "what for")
    first, parent, child = got["runs"]
    assert [first["id"], parent["id"], child["id"]] == [got["id"], got["parent"], got["child"]] and first["description"] == "a try"
    assert child["custom_properties"] == {"kubeflow.parent_run_id": parent["id"]} and not parent["custom_properties"]
    logs = {a["name"]: a for a in got["logs"]}
    assert (logs["lr"]["value"], logs["opt"]["value"], logs["opt"]["description"]) == (0.1, "adam", "the optimizer")
    assert (logs["loss"]["value"], logs["loss"]["step"]) == (1 / 3, 2)
    assert (logs["acc"]["value"], logs["acc"]["description"]) == (0.5, "on the test set")
    assert (logs["digits"]["uri"], logs["digits"]["source_type"]) == ("s3://bucket/digits", "s3")
    exp = client.get_experiment_by_name(f"tracked {uniq}")
    run = next(r for r in client.search_runs([exp.experiment_id]) if r.info.run_name == first["name"])
    assert exp.tags["mlflow.note.content"] == "what for"
    assert run.data.params == {"lr": "0.1", "opt": "adam", "deep": "True"} and run.data.metrics == {"loss": 1 / 3, "acc": 0.5}
    assert [d.dataset.name for d in run.inputs.dataset_inputs] == ["digits"]
    client.log_metric(run.info.run_id, "loss", 0.125, step=9)  # and goes on there
    assert [m["value"] for m in older.run("result = [a for a in r.get_experiment_run_logs(run_id=id) if a.name == 'loss']", id=first["id"])] == [0.125]
