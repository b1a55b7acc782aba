"""The model registry through the client: models, versions, stages, aliases, prompts, and what many clients do at once."""

import json
import re
import threading
import time

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException


@pytest.fixture
def name(uniq):
    return f"model {uniq}"


@pytest.fixture
def source(client, run):
    return client.get_run(run).info.artifact_uri + "/model"


def test_life_of_a_model(client, name):
    made = client.create_registered_model(name, tags={"team": "vision"}, description="first")
    assert (made.name, made.description, made.tags, made.latest_versions) == (name, "first", {"team": "vision"}, [])
    assert made.creation_timestamp == made.last_updated_timestamp > 0
    assert client.update_registered_model(name, "second").description == "second"
    client.set_registered_model_tag(name, "team", "speech")
    client.set_registered_model_tag(name, "gone", "x")
    client.delete_registered_model_tag(name, "gone")
    client.delete_registered_model_tag(name, "never there")
    assert client.get_registered_model(name).tags == {"team": "speech"}
    with pytest.raises(MlflowException, match="already exists") as err:
        client.create_registered_model(name)
    assert err.value.error_code == "RESOURCE_ALREADY_EXISTS"
    client.delete_registered_model(name)
    with pytest.raises(MlflowException, match=f"Registered Model with name={name} not found") as err:
        client.get_registered_model(name)
    assert err.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert client.create_registered_model(name).tags == {}


def test_versions_and_stages(client, name, run, source):
    client.create_registered_model(name)
    versions = [client.create_model_version(name, source, run, tags={"n": str(i)}) for i in range(3)]
    assert [int(v.version) for v in versions] == [1, 2, 3]
    first = client.get_model_version(name, "1")
    assert (first.source, first.run_id, first.status, first.current_stage) == (source, run, "READY", "None")
    assert first.tags == {"n": "0"}
    assert client.get_model_version_download_uri(name, "1") == source
    client.transition_model_version_stage(name, "1", "production")
    client.transition_model_version_stage(name, "2", "Production", archive_existing_versions=True)
    assert client.get_model_version(name, "1").current_stage == "Archived"
    latest = {v.current_stage: int(v.version) for v in client.get_registered_model(name).latest_versions}
    assert latest == {"Archived": 1, "Production": 2, "None": 3}
    assert [int(v.version) for v in client.get_latest_versions(name, ["Production"])] == [2]
    client.update_model_version(name, "3", "the third")
    client.set_model_version_tag(name, "3", "gate", "passed")
    client.delete_model_version_tag(name, "3", "n")
    third = client.get_model_version(name, "3")
    assert (third.description, third.tags) == ("the third", {"gate": "passed"})
    client.delete_model_version(name, "3")
    with pytest.raises(MlflowException, match="not found"):
        client.get_model_version(name, "3")
    assert int(client.create_model_version(name, source, run).version) == 4  # numbers are not given twice


def test_aliases(client, name, run, source):
    client.create_registered_model(name)
    for _ in range(2):
        client.create_model_version(name, source, run)
    client.set_registered_model_alias(name, "prod", "1")
    client.set_registered_model_alias(name, "next", "2")
    client.set_registered_model_alias(name, "prod", "2")
    assert int(client.get_model_version_by_alias(name, "prod").version) == 2
    assert sorted(client.get_model_version(name, "2").aliases) == ["next", "prod"]
    assert {a: int(v) for a, v in client.get_registered_model(name).aliases.items()} == {"next": 2, "prod": 2}
    assert int(client.get_model_version_by_alias(name, "latest").version) == 2
    client.delete_registered_model_alias(name, "next")
    client.delete_registered_model_alias(name, "next")
    with pytest.raises(MlflowException, match="alias next not found"):
        client.get_model_version_by_alias(name, "next")
    client.delete_model_version(name, "2")
    assert client.get_registered_model(name).aliases == {}


@pytest.mark.cairn_only
def test_rename_survives_a_restart(own, name):
    client = MlflowClient(tracking_uri=own.url, registry_uri=own.url)
    run = client.create_run("0").info
    client.create_registered_model(name, tags={"a": "1"})
    client.create_model_version(name, run.artifact_uri + "/m", run.run_id)
    client.set_registered_model_alias(name, "prod", "1")
    client.create_registered_model(name + " taken")
    with pytest.raises(MlflowException, match="already exists"):
        client.rename_registered_model(name, name + " taken")
    client.rename_registered_model(name, name + " b")
    assert own.stop() == 0
    own.start()
    client = MlflowClient(tracking_uri=own.url, registry_uri=own.url)
    renamed = client.get_registered_model(name + " b")
    assert (renamed.tags, len(renamed.latest_versions)) == ({"a": "1"}, 1)
    assert client.get_model_version_by_alias(name + " b", "prod").run_id == run.run_id
    assert client.get_model_version(name + " b", "1").name == name + " b"
    client.create_registered_model(name)  # the old name is free


@pytest.mark.cairn_only
def test_everything_follows_a_rename(own, name):
    """Aliases, stages, tags, runs, copies, the logged model's list of versions and the history, after two renames and a kill; the old
    name is another model's by then."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    import numpy as np
    import requests

    x = np.arange(8.0).reshape(-1, 1)
    mlflow.set_tracking_uri(own.url)
    mlflow.set_experiment("renames")
    client = MlflowClient(tracking_uri=own.url, registry_uri=own.url)
    old, new = f"{name} 'é' \"1\"", f"{name} c"
    with mlflow.start_run() as run:
        info = mlflow.sklearn.log_model(linear_model.LinearRegression().fit(x, 2 * x[:, 0]), name="m", pip_requirements=[])
    client.create_registered_model(old)
    client.create_model_version(old, f"models:/{info.model_id}", run.info.run_id, model_id=info.model_id)
    client.set_registered_model_alias(old, "prod", "1")
    client.set_model_version_tag(old, "1", "k", "v")
    client.transition_model_version_stage(old, "1", "Staging")
    client.copy_model_version(f"models:/{old}/1", name + " copy")
    before = int(time.time() * 1000)
    client.rename_registered_model(old, name + " b")
    client.rename_registered_model(name + " b", new)
    client.create_registered_model(old)
    own.kill()
    own.start()
    mlflow.set_tracking_uri(own.url)
    client = MlflowClient(tracking_uri=own.url, registry_uri=own.url)
    for uri in (f"models:/{new}@prod", f"models:/{new}/Staging", f"models:/{name} copy/1"):
        assert mlflow.sklearn.load_model(uri).predict([[2.0]])[0] == pytest.approx(4), uri
    version = client.get_model_version(new, "1")
    assert (version.tags, version.aliases, version.run_id) == ({"k": "v"}, ["prod"], run.info.run_id)
    assert version.source == f"models:/{info.model_id}"
    assert {v.name for v in client.search_model_versions(f"run_id = '{run.info.run_id}'")} == {new, name + " copy"}
    listed = json.loads(client.get_logged_model(info.model_id).tags["mlflow.modelVersions"])
    assert {(v["name"], v["version"]) for v in listed} == {(new, "1"), (name + " copy", "1")}
    assert client.get_registered_model(old).latest_versions == []

    def ask(route, **params):
        return requests.get(f"{own.url}/api/cairn/v1/registered-models/{route}", params=params, timeout=30).json()

    assert ask("alias-at", name=new, alias="prod", at_ms=before)["version"] == "1"
    assert "version" not in ask("alias-at", name=old, alias="prod")
    then = ask("history", name=new, what="stage", version=1, at_ms=before, max_results=1)["events"]
    assert [e["value"] for e in then] == ["Staging"]
    assert [e["value"] for e in ask("history", name=new, what="renamed")["events"]] == [new, name + " b"]


def test_search(client, uniq, run, source):
    for i in range(25):
        client.create_registered_model(f"s-{uniq}-{i:02}", tags={"even": str(i % 2 == 0)})
    found, token, pages = [], None, 0
    while True:
        page = client.search_registered_models(f"name LIKE 's-{uniq}-%'", max_results=10, order_by=["name DESC"], page_token=token)
        found += [m.name for m in page]
        pages += 1
        token = page.token
        if not token:
            break
    assert found == [f"s-{uniq}-{i:02}" for i in reversed(range(25))] and pages == 3
    even = client.search_registered_models(f"name ILIKE 'S-{uniq}-%' AND tags.even = 'True'")
    assert len(even) == 13
    for i in range(3):
        client.create_model_version(f"s-{uniq}-00", source, run, tags={"i": str(i)})
    by_run = client.search_model_versions(f"run_id = '{run}'")
    assert [int(v.version) for v in by_run] == [3, 2, 1]
    assert [int(v.version) for v in client.search_model_versions(f"name = 's-{uniq}-00' AND version_number >= 2",
                                                                 order_by=["version_number ASC"])] == [2, 3]
    assert len(client.search_model_versions(f"name='s-{uniq}-00' and tags.i = '1'")) == 1
    with pytest.raises(MlflowException, match="Invalid attribute key 'nope'"):
        client.search_registered_models("nope = 'x'")


def test_pages_of_a_search_by_name(client, uniq):
    """Every pattern and order, in pages, against what Python finds: names are kept in order, and a page ends where it is full."""
    words = ["a", "A", "ab", "aab", "b%", "b_", "\u00e9t\u00e9", "\u00ea", "z", "zz-a", "_", "\U0001f600", "a-ab", "aa"]
    names = [f"{uniq}{w}" for w in words] + [f"{uniq}-{i:02}" for i in range(12)]
    for name in names:
        client.create_registered_model(name)
    client.rename_registered_model(f"{uniq}-03", f"{uniq}-99")
    client.delete_registered_model(f"{uniq}-04")
    client.create_registered_model(f"{uniq}-zz")
    names = [n for n in names if n not in (f"{uniq}-03", f"{uniq}-04")] + [f"{uniq}-99", f"{uniq}-zz"]

    def like(text, pattern):
        return re.fullmatch("".join(".*" if c == "%" else "." if c == "_" else re.escape(c) for c in pattern), text, re.S) is not None

    for pattern in ["%", "a%", "%a%", "%ab", "b_", "_", "-0%", "%0%1%", "\u00e9%", "%\u00e9", "nothing%", "%nothing%", "ab", "", "zz%", "%-%"]:
        for order in (None, ["name DESC"], ["timestamp DESC", "name ASC"]):
            found, token = [], None
            while True:
                page = client.search_registered_models(f"name LIKE '{uniq}{pattern}'", max_results=5, order_by=order, page_token=token)
                found += [m.name for m in page]
                token = page.token
                assert len(page) == 5 or not token
                if not token:
                    break
            wanted = sorted((n for n in names if like(n, uniq + pattern)), key=str.encode)
            if order == ["name DESC"]:
                wanted.reverse()
            assert (found if order != ["timestamp DESC", "name ASC"] else sorted(found, key=str.encode)) == wanted, (pattern, order)
    assert [m.name for m in client.search_registered_models(f"name = '{uniq}ab'")] == [f"{uniq}ab"]
    assert [m.name for m in client.search_registered_models(f"name LIKE '{uniq}-1%' AND name LIKE '%1'")] == [f"{uniq}-11"]


def test_logged_model_to_registry_and_back(tracking, server, name):
    sklearn = pytest.importorskip("sklearn.linear_model")
    import numpy as np

    x = np.arange(20.0).reshape(-1, 1)
    with mlflow.start_run():
        fitted = sklearn.LinearRegression().fit(x, 3 * x[:, 0] + 1)
        info = mlflow.sklearn.log_model(fitted, name="line", registered_model_name=name)
    client = MlflowClient(tracking_uri=server.url)
    version = client.get_model_version(name, "1")
    assert version.source == f"models:/{info.model_id}" and version.run_id
    client.set_registered_model_alias(name, "champion", "1")
    loaded = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    assert np.allclose(loaded.predict(x), fitted.predict(x))
    assert mlflow.sklearn.load_model(f"models:/{name}/1").coef_ == pytest.approx(3)
    logged = client.get_logged_model(info.model_id)
    assert {"name": name, "version": "1"} in json.loads(logged.tags["mlflow.modelVersions"])
    copy = client.copy_model_version(f"models:/{name}/1", name + " copy")
    assert copy.source == f"models:/{name}/1"
    assert np.allclose(mlflow.pyfunc.load_model(f"models:/{name} copy/1").predict(x), fitted.predict(x))


def test_prompts(tracking, server, uniq):
    mlflow.genai.register_prompt(name=f"greet-{uniq}", template="Hello {{who}}", commit_message="one", tags={"lang": "en"})
    mlflow.genai.register_prompt(name=f"greet-{uniq}", template="Hi {{who}}")
    assert mlflow.genai.load_prompt(f"prompts:/greet-{uniq}/1").format(who="you") == "Hello you"
    mlflow.genai.set_prompt_alias(f"greet-{uniq}", alias="live", version=2)
    assert mlflow.genai.load_prompt(f"prompts:/greet-{uniq}@live").template == "Hi {{who}}"
    client = MlflowClient(tracking_uri=server.url)
    assert f"greet-{uniq}" in [p.name for p in mlflow.genai.search_prompts(f"name LIKE 'greet-{uniq}%'")]
    assert client.search_registered_models(f"name = 'greet-{uniq}'") == []
    assert client.search_model_versions(f"name = 'greet-{uniq}'") == []
    with pytest.raises(MlflowException, match="Tried to create a registered model"):
        client.create_registered_model(f"greet-{uniq}")


def test_sources_that_are_refused(client, rest, name, exp, run, source):
    client.create_registered_model(name)
    other = client.create_run(exp).info.artifact_uri
    for bad, run_id in [("/etc/passwd", run), ("file:///etc/passwd", run), ("file:///etc/passwd", None), (other, run),
                        (source + "/../../x", run), (source + "/..%2f..%2fx", run), (source, None),
                        ("models:/m-0123456789abcdef0123456789abcdef", run), ("runs:/0123/model", run), ("s3://b/x/../y", None),
                        ("mlflow-artifacts:/..%252f..%252fetc", run)]:
        body = {"name": name, "source": bad}
        if run_id:
            body["run_id"] = run_id
        answer = rest.post("/api/2.0/mlflow/model-versions/create", json=body)
        assert answer.status_code == 400 and "Invalid model version source" in answer.json()["message"], (bad, answer.text)
    assert client.search_model_versions(f"name = '{name}'") == []
    assert int(client.create_model_version(name, "s3://bucket/models/x", run_id="not-a-run-of-ours").version) == 1
    assert int(client.create_model_version(name, f"runs:/{run}/model", run_id=run).version) == 2


def test_many_clients_register(server, name):
    MlflowClient(tracking_uri=server.url).create_registered_model(name)
    numbers, failures, kept = [], [], set()

    def work(i):
        """Registers, and takes every second version away again while the others go on registering."""
        client = MlflowClient(tracking_uri=server.url)
        try:
            for k in range(4):
                version = client.create_model_version(name, f"s3://bucket/{i}/{k}").version
                numbers.append(int(version))
                if k % 2:
                    client.delete_model_version(name, version)
                else:
                    kept.add((int(version), f"s3://bucket/{i}/{k}"))
        except Exception as err:  # noqa: BLE001
            failures.append(err)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(64)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
    assert sorted(numbers) == list(range(1, 257))
    client = MlflowClient(tracking_uri=server.url)
    left = client.search_model_versions(f"name = '{name}'")
    assert {(int(v.version), v.source) for v in left} == kept and len(left) == len(kept) == 128


@pytest.mark.cairn_only
def test_history(client, rest, name, run, source):
    client.create_registered_model(name, description="first")
    for _ in range(2):
        client.create_model_version(name, source, run)
    client.set_registered_model_alias(name, "prod", "1")
    time.sleep(0.05)
    between = int(time.time() * 1000)
    time.sleep(0.05)
    client.set_registered_model_alias(name, "prod", "2")
    client.transition_model_version_stage(name, "2", "Staging")
    client.delete_registered_model_alias(name, "prod")
    path = "/api/cairn/v1/registered-models/history"
    events = rest.get(path, params={"name": name}).json()["events"]
    assert [(e["what"], int(e.get("version", 0)), e.get("value")) for e in events[:4]] == [
        ("alias", 2, None), ("stage", 2, "Staging"), ("alias", 2, "2"), ("alias", 1, "1")]
    then = rest.get("/api/cairn/v1/registered-models/alias-at", params={"name": name, "alias": "prod", "at_ms": between}).json()
    assert int(then["version"]) == 1 and then["who"] == "anonymous"
    now = rest.get("/api/cairn/v1/registered-models/alias-at", params={"name": name, "alias": "prod"}).json()
    assert "version" not in now
    client.delete_registered_model(name)
    events = rest.get(path, params={"name": name}).json()["events"]
    assert (events[0]["what"], events[0]["value"]) == ("deleted", name)
    then = rest.get("/api/cairn/v1/registered-models/alias-at", params={"name": name, "alias": "prod", "at_ms": between}).json()
    assert int(then["version"]) == 1


@pytest.mark.cairn_only
def test_large_texts_stay_out_of_searches(client, name):
    """Descriptions and tag values of 400 KB: searches of many versions, and filters that test the tags, go on."""
    client.create_registered_model(name, description="\U0001f600" * 100_000,
                                   tags={f"t{i}": "\U0001f600" * 100_000 for i in range(2)})
    client.set_registered_model_tag(name, "t2", "\U0001f600" * 100_000)
    for i in range(40):
        client.create_model_version(name, f"s3://bucket/{i}")
    assert len(client.search_model_versions(f"name = '{name}'")) == 40
    assert len(client.search_registered_models(f"name = '{name}' AND tags.t0 LIKE '%' AND tags.t1 LIKE '%' AND tags.t2 != 'x'")) == 1
