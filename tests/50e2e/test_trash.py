"""What is deleted comes back until it is deleted for good; then it is gone with all that was in it, its name is free, and what was made
of it still tells where it came from."""
import os
import time

import cairn
import pytest
import requests
from command import Cli
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

pytestmark = pytest.mark.cairn_only

NATIVE = "/api/cairn/v1/"
MLFLOW = "/api/2.0/mlflow/"
PROXY = "/api/2.0/mlflow-artifacts/artifacts/"
RUNS = 70  # more than one step takes
KIB = 1 << 10


@pytest.fixture(autouse=True)
def rows_follow_soon(monkeypatch):
    """Rules of retention look at rows of runs, which follow what is in memory."""
    monkeypatch.setenv("CAIRN_STORE_DRAIN_AGE", "200ms")


@pytest.fixture
def rm(own, tmp_path):
    return Cli(tmp_path, own.url)


def call(server, method, path, **body):
    key = "params" if method in ("GET", "DELETE") else "json"
    answer = requests.request(method, server.url + path, timeout=60, **{key: body})
    return answer.status_code, answer.json() if answer.content else {}


def ok(server, method, path, **body):
    status, answer = call(server, method, path, **body)
    assert status in (200, 202), answer
    return answer


def put(server, path, data):
    assert requests.put(server.url + PROXY + path, data=data, timeout=60).status_code == 200


def in_proxy(uri):
    return uri.split("mlflow-artifacts:/", 1)[1].lstrip("/")


def new_run(server, experiment, name="r"):
    run = ok(server, "POST", MLFLOW + "runs/create", experiment_id=experiment, run_name=name, start_time=1)["run"]["info"]
    ok(server, "POST", MLFLOW + "runs/log-batch", run_id=run["run_id"], params=[{"key": "p", "value": "1"}],
       metrics=[{"key": "loss", "value": i, "timestamp": i, "step": i} for i in range(20)])
    return run


def new_model(server, experiment, run=None):
    model = ok(server, "POST", MLFLOW + "logged-models", experiment_id=experiment, name="net", source_run_id=run)["model"]["info"]
    ok(server, "PATCH", f"{MLFLOW}logged-models/{model['model_id']}", model_id=model["model_id"], status="LOGGED_MODEL_READY")
    return model


def gone(server, kind, path, **query):
    status, answer = call(server, "GET", MLFLOW + path, **query)
    assert (status, answer.get("error_code")) == (404, "RESOURCE_DOES_NOT_EXIST"), (kind, answer)


def check(server, tmp_path):
    Cli(tmp_path).run("server", "check", "--data", server.data, *(["--store", server.store] if server.store else []))


def test_an_experiment_goes_for_good(own, rm, tmp_path):
    name = "soon gone"
    other = ok(own, "POST", MLFLOW + "experiments/create", name="stays")["experiment_id"]
    experiment = ok(own, "POST", MLFLOW + "experiments/create", name=name, tags=[{"key": "t", "value": "v"}])["experiment_id"]
    runs = [new_run(own, experiment, f"r{i}") for i in range(RUNS)]
    stays = new_run(own, other)
    model = new_model(own, experiment, runs[0]["run_id"])
    ok(own, "POST", MLFLOW + "runs/log-batch", run_id=runs[0]["run_id"],
       metrics=[{"key": "auc", "value": 0.5, "timestamp": 1, "step": 1, "model_id": model["model_id"]}])
    data = {"name": "set", "digest": "d1g3st", "source_type": "local", "source": "{}"}
    ok(own, "POST", MLFLOW + "runs/log-inputs", run_id=runs[0]["run_id"], datasets=[{"dataset": data, "tags": []}])
    ok(own, "POST", MLFLOW + "runs/outputs", run_id=runs[0]["run_id"], models=[{"model_id": model["model_id"], "step": 1}])
    put(own, in_proxy(runs[3]["artifact_uri"]) + "/log.txt", os.urandom(100 * KIB))
    put(own, in_proxy(model["artifact_uri"]) + "/weights", os.urandom(300 * KIB))
    put(own, in_proxy(stays["artifact_uri"]) + "/log.txt", b"stays")
    ok(own, "POST", MLFLOW + "registered-models/create", name="reg")
    ok(own, "POST", MLFLOW + "model-versions/create", name="reg", source=f"models:/{model['model_id']}",
       model_id=model["model_id"], run_id=runs[0]["run_id"])

    plan = rm.json("experiment", "rm", name, "--dry-run")
    assert plan == {"id": experiment, "runs": RUNS, "logged_models": 1, "files": 2, "bytes": 400 * KIB, "versions": "reg/1"}
    rm.run("experiment", "rm", name, "--hard", rc=2)
    assert f"{RUNS} runs" in rm.err and "reg/1" in rm.err and "--yes" in rm.err
    assert "experiment" in ok(own, "GET", MLFLOW + "experiments/get", experiment_id=experiment)
    rm.run("experiment", "rm", name, "--hard", "--yes", rc=5)
    assert "reg/1" in rm.err and "--force" in rm.err
    assert "experiment" in ok(own, "GET", MLFLOW + "experiments/get", experiment_id=experiment)
    rm.run("experiment", "rm", name, "--hard", "--force", "--yes")

    gone(own, "experiment", "experiments/get", experiment_id=experiment)
    gone(own, "name", "experiments/get-by-name", experiment_name=name)
    for run in (runs[0], runs[RUNS - 1]):
        gone(own, "run", "runs/get", run_id=run["run_id"])
    gone(own, "model", f"logged-models/{model['model_id']}")
    assert call(own, "POST", MLFLOW + "experiments/restore", experiment_id=experiment)[0] == 404
    again = ok(own, "POST", MLFLOW + "experiments/create", name=name)["experiment_id"]
    assert again != experiment
    found = ok(own, "POST", MLFLOW + "runs/search", experiment_ids=[experiment, again, other], run_view_type="ALL")
    assert [r["info"]["run_id"] for r in found["runs"]] == [stays["run_id"]]
    client = MlflowClient(own.url, own.url)
    with pytest.raises(MlflowException, match="RESOURCE_DOES_NOT_EXIST|not found"):
        client.get_run(runs[0]["run_id"])

    # what was made of it knows where it came from
    origin = {n["type"]: n for n in ok(own, "GET", NATIVE + "lineage", node="version:reg/1")["nodes"]}
    assert origin["run"]["node"] == f"run:{runs[0]['run_id']}" and origin["run"]["name"] == "r0" and origin["run"]["gone"]
    assert origin["run"]["experiment"] == name
    assert origin["model"]["node"] == f"model:{model['model_id']}" and len(origin["model"]["digest"]) == 64
    assert origin["dataset"]["name"] == "set" and origin["dataset"]["digest"] == "d1g3st"
    assert ok(own, "GET", NATIVE + "lineage", node=f"run:{runs[0]['run_id']}")["nodes"][0]["gone"]
    assert f"deleted for good, was in {name}" in rm.run("why", "reg/1")

    freed = Cli(tmp_path).json("server", "gc", "--data", str(own.data), "--now")
    assert freed["bytes"] == 400 * KIB
    check(own, tmp_path)
    assert own.stop() == 0, own.log()
    own.start()
    gone(own, "run", "runs/get", run_id=runs[0]["run_id"])
    check(own, tmp_path)


def test_the_default_experiment_stays(own):
    status, answer = call(own, "DELETE", NATIVE + "experiments/0", hard="true")
    assert status == 400 and "experiment 0" in answer["error"]["message"]
    assert call(own, "DELETE", NATIVE + "experiments/77", hard="true")[0] == 404
    assert call(own, "GET", NATIVE + "experiments/77/contents")[0] == 404


def test_logged_models_in_the_trash(own, rm, tmp_path):
    experiment = ok(own, "POST", MLFLOW + "experiments/create", name="models")["experiment_id"]
    one, two = new_model(own, experiment), new_model(own, experiment)
    put(own, in_proxy(one["artifact_uri"]) + "/weights", b"w" * 1000)
    rm.run("logged-model", "rm", one["model_id"])
    gone(own, "model", f"logged-models/{one['model_id']}")
    assert rm.run("logged-model", "ls", "models", "-o", "name").split() == [two["model_id"]]
    assert rm.run("logged-model", "ls", "models", "--deleted", "-o", "name").split() == [one["model_id"]]
    rm.run("logged-model", "restore", one["model_id"])
    assert len(rm.json("logged-model", "ls", "models")) == 2
    pages = ok(own, "GET", NATIVE + "logged-models", experiment_id=experiment, max_results=1)
    rest = ok(own, "GET", NATIVE + "logged-models", experiment_id=experiment, page_token=pages["next_page_token"])
    assert {m["model_id"] for m in pages["models"] + rest["models"]} == {one["model_id"], two["model_id"]}
    assert call(own, "GET", NATIVE + "logged-models", experiment_id=experiment, page_token="x")[0] == 400
    assert rm.json("logged-model", "rm", one["model_id"], "--dry-run")["bytes"] == 1000
    rm.run("logged-model", "rm", one["model_id"], "--hard", "--yes")
    gone(own, "model", f"logged-models/{one['model_id']}")
    assert call(own, "POST", f"{NATIVE}logged-models/{one['model_id']}/restore")[0] == 404
    assert requests.get(own.url + PROXY + in_proxy(one["artifact_uri"]) + "/weights", timeout=60).status_code == 404
    check(own, tmp_path)


def test_what_a_version_stands_on_stays(own, rm, tmp_path):
    """Deleting it for good is refused, with the versions named, until somebody forces it or the versions are gone."""
    experiment = ok(own, "POST", MLFLOW + "experiments/create", name="used")["experiment_id"]
    named, logger = new_run(own, experiment, "named"), new_run(own, experiment, "logger")
    model = new_model(own, experiment, logger["run_id"])
    put(own, in_proxy(named["artifact_uri"]) + "/model/MLmodel", b"x")
    ok(own, "POST", MLFLOW + "registered-models/create", name="reg")
    for _ in range(7):
        ok(own, "POST", MLFLOW + "model-versions/create", name="reg", source=named["artifact_uri"] + "/model", run_id=named["run_id"])
    ok(own, "POST", MLFLOW + "model-versions/create", name="reg", source=f"models:/{model['model_id']}", model_id=model["model_id"])
    ok(own, "POST", MLFLOW + "registered-models/alias", name="reg", alias="champion", version="6")

    things = {"runs/" + named["run_id"]: "reg/6 (has an alias), reg/1, reg/2, reg/3, reg/4 and others", "runs/" + logger["run_id"]: "reg/8",
              "logged-models/" + model["model_id"]: "reg/8", f"experiments/{experiment}": "reg/6 (has an alias)"}
    for path, names in things.items():
        status, answer = call(own, "DELETE", NATIVE + path, hard="true")
        assert status == 409 and names in answer["error"]["message"] and "force" in answer["error"]["hint"], (path, answer)
        assert call(own, "GET", NATIVE + path + "/contents")[0] == 200
    assert call(own, "DELETE", NATIVE + "runs/" + named["run_id"])[0] in (200, 202)     # the trash is another thing
    ok(own, "POST", MLFLOW + "runs/restore", run_id=named["run_id"])
    rm.run("run", "rm", named["run_id"], "--hard", rc=5)
    assert "reg/6" in rm.err and "--force" in rm.err
    rm.run("logged-model", "rm", model["model_id"], "--hard", "--yes", rc=5)
    assert "reg/8" in rm.err
    rm.run("model", "rm", "reg/8", "--yes")
    rm.run("run", "rm", logger["run_id"], "--hard")
    rm.run("logged-model", "rm", model["model_id"], "--hard", "--yes")
    rm.run("run", "rm", named["run_id"], "--hard", "--force")
    assert ok(own, "GET", NATIVE + "lineage", node="version:reg/6")["nodes"]
    ok(own, "DELETE", NATIVE + f"experiments/{experiment}", hard="true")
    check(own, tmp_path)


def wait_for(condition):
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it does not happen")


def stages(server, experiment):
    found = ok(server, "POST", MLFLOW + "runs/search", experiment_ids=[experiment], run_view_type="ALL", max_results=100)
    return {r["info"]["run_name"]: r["info"]["lifecycle_stage"] for r in found.get("runs", [])}


def test_rules_of_retention(own, rm, tmp_path):
    experiment = ok(own, "POST", MLFLOW + "experiments/create", name="sweeps")["experiment_id"]
    ended, runs = int(time.time() * 1000) - 2 * 86400000, {}
    for i, name in enumerate(["old", "kept", "registered", "logged", "running", "new"]):
        runs[name] = ok(own, "POST", MLFLOW + "runs/create", experiment_id=experiment, run_name=name, start_time=ended - 60000 + i)["run"]["info"]
    ok(own, "POST", MLFLOW + "runs/set-tag", run_id=runs["kept"]["run_id"], key="cairn.keep", value="true")
    ok(own, "POST", MLFLOW + "registered-models/create", name="reg")
    put(own, in_proxy(runs["registered"]["artifact_uri"]) + "/model/MLmodel", b"x")
    ok(own, "POST", MLFLOW + "model-versions/create", name="reg", source=runs["registered"]["artifact_uri"] + "/model",
       run_id=runs["registered"]["run_id"])
    model = new_model(own, experiment, runs["logged"]["run_id"])
    ok(own, "POST", MLFLOW + "model-versions/create", name="reg", source=f"models:/{model['model_id']}", model_id=model["model_id"])
    trashed = new_model(own, experiment)
    rm.run("logged-model", "rm", trashed["model_id"])
    for name in set(runs) - {"running"}:
        ok(own, "POST", MLFLOW + "runs/update", run_id=runs[name]["run_id"], status="FINISHED", end_time=ended)

    assert rm.json("experiment", "retention", "sweeps")["active"] == "off"
    plan = ["experiment", "retention", "sweeps", "--trash-after", "1d", "--keep-last", "1", "--dry-run"]
    wait_for(lambda: len(rm.json(*plan)) == 1)  # rows follow the runs in memory
    assert [(i["action"], i["type"], i["name"]) for i in rm.json(*plan)] == [("trash", "run", "old")]
    assert len(rm.json("experiment", "retention", "sweeps", "--trash-after", "10d", "--dry-run")) == 0
    assert set(stages(own, experiment).values()) == {"active"}
    rm.run("experiment", "retention", "sweeps", "--keep-last", "3", rc=2)
    rm.run("experiment", "retention", "sweeps", "--trash-after", "soon", rc=2)
    assert call(own, "POST", f"{NATIVE}experiments/{experiment}/retention")[0] == 400
    assert call(own, "POST", f"{NATIVE}experiments/99/retention", trash_after_ms=1)[0] == 404

    rm.run("experiment", "retention", "sweeps", "--trash-after", "1d", "--keep-last", "1")
    rule = rm.json("experiment", "retention", "sweeps")
    assert (rule["active"], rule["trash_after_ms"], rule["keep_last"]) == ("on", "1d", 1)
    wait_for(lambda: stages(own, experiment)["old"] == "deleted")
    assert [n for n, s in stages(own, experiment).items() if s == "deleted"] == ["old"]
    ok(own, "POST", MLFLOW + "runs/restore", run_id=runs["old"]["run_id"])
    ok(own, "POST", MLFLOW + "runs/delete", run_id=runs["old"]["run_id"])
    ok(own, "POST", MLFLOW + "runs/delete", run_id=runs["registered"]["run_id"])
    status, _ = call(own, "GET", f"{NATIVE}logged-models/{trashed['model_id']}/contents")
    assert status == 200
    wait_for(lambda: {i["type"] for i in rm.json("experiment", "retention", "sweeps", "--delete-after", "0s", "--dry-run")}
             == {"run", "model"})
    rm.run("experiment", "retention", "sweeps", "--delete-after", "0s")
    wait_for(lambda: call(own, "GET", f"{NATIVE}logged-models/{trashed['model_id']}/contents")[0] == 404)
    wait_for(lambda: "old" not in stages(own, experiment))
    assert set(stages(own, experiment)) == set(runs) - {"old"}
    rm.run("experiment", "retention", "sweeps", "--off")
    assert rm.json("experiment", "retention", "sweeps")["active"] == "off"
    check(own, tmp_path)


def test_the_best_runs_stay(own, rm, tmp_path):
    """Of equal ones the newest; runs without a number are not among them; what a version stands on never goes by itself."""
    experiment = ok(own, "POST", MLFLOW + "experiments/create", name="best")["experiment_id"]
    ended, runs = int(time.time() * 1000) - 2 * 86400000, {}
    values = {"low": 0.1, "tie old": 0.7, "tie new": 0.7, "top": 0.9, "nan": "NaN", "none": None, "held": 0.2, "running": 0.99, "new": 0.3}
    for i, (name, value) in enumerate(values.items()):
        run = runs[name] = ok(own, "POST", MLFLOW + "runs/create", experiment_id=experiment, run_name=name, start_time=ended - 60000 + i)["run"]["info"]
        if value is not None:
            ok(own, "POST", MLFLOW + "runs/log-metric", run_id=run["run_id"], key="acc", value=value, timestamp=1, step=1)
        if name != "running":
            ok(own, "POST", MLFLOW + "runs/update", run_id=run["run_id"], status="FINISHED", end_time=ended)
    ok(own, "POST", MLFLOW + "registered-models/create", name="reg")
    ok(own, "POST", MLFLOW + "model-versions/create", name="reg", source=runs["held"]["artifact_uri"] + "/model", run_id=runs["held"]["run_id"])

    rule = ["experiment", "retention", "best", "--trash-after", "1d", "--keep-last", "1", "--mode", "max", "--keep-best", "2", "--metric"]
    goes = {"low", "tie old", "nan", "none"}

    def plan(*rest):
        return {i["name"]: (i["action"], i["reason"]) for i in rm.json(*rule, *rest, "--dry-run")}

    wait_for(lambda: set(plan("acc")) == goes)      # rows follow the runs in memory
    full = plan("acc", "--all")
    assert set(full) == set(values) and {n for n, (action, _) in full.items() if action == "trash"} == goes
    assert full["top"] == ("stay", "number 1 of the best 2 by acc: 0.90000000000000002")
    assert full["tie new"][1].startswith("number 2 of the best 2 by acc")
    assert "not ended" in full["running"][1] and "newest 1" in full["new"][1] and "versions stand" in full["held"][1]
    assert all(action == "stay" for action, _ in plan("auc", "--all").values()) and "no run has" in plan("auc", "--all")["low"][1]
    low = [i["name"] for i in rm.json("experiment", "retention", "best", "--trash-after", "1d", "--keep-best", "1", "--metric", "acc", "--mode",
                                      "min", "--dry-run")]
    assert "low" not in low and "top" in low

    path = f"{NATIVE}experiments/{experiment}/retention"
    for wrong in ({"keep_best": 1}, {"keep_best": 1, "metric": "acc"}, {"metric": "acc"}, {"keep_best": 1, "metric": "acc", "mode": "up"}):
        assert call(own, "POST", path, trash_after_ms=1, **wrong)[0] == 400
    rm.run(*rule, "acc")
    shown = rm.json("experiment", "retention", "best")
    assert (shown["keep_best"], shown["metric"], shown["mode"]) == (2, "acc", "max")
    wait_for(lambda: {n for n, s in stages(own, experiment).items() if s == "deleted"} == goes)
    wait_for(lambda: plan("acc", "--all")["low"] == ("stay", "the rule deletes nothing for good"))
    check(own, tmp_path)
    assert own.stop() == 0, own.log()
    own.start()
    assert Cli(tmp_path, own.url).json("experiment", "retention", "best")["keep_best"] == 2
    assert {n for n, s in stages(own, experiment).items() if s == "deleted"} == goes


def test_a_body_does_not_hide_the_query(own):
    """Clients that send {} with everything: what the query says holds. Both at once is refused, and nothing is deleted."""
    name = "both"
    experiment = ok(own, "POST", MLFLOW + "experiments/create", name=name)["experiment_id"]
    url = own.url + NATIVE + f"experiments/{experiment}?hard=true"
    assert requests.delete(url, json={"hard": False}, timeout=60).status_code == 400
    assert ok(own, "GET", MLFLOW + "experiments/get", experiment_id=experiment)["experiment"]["lifecycle_stage"] == "active"
    assert requests.delete(url, json={}, timeout=60).status_code in (200, 202)
    assert ok(own, "POST", MLFLOW + "experiments/create", name=name)["experiment_id"] != experiment     # its name is free
