"""Checkpoints: what is recognised, the metrics of their steps, best, retention, restoring with checks and from where it stopped."""

import hashlib
import http.server
import json
import os
import threading

import mlflow
import numpy as np
import pytest
from mlflow.entities import Metric
from mlflow.utils.checkpoint_utils import MlflowModelCheckpointCallbackBase

import command

pytestmark = pytest.mark.cairn_only


@pytest.fixture
def cli(server, tmp_path):
    return command.Cli(tmp_path, server.url)


def put(client, run, path, data):
    folder, _, name = path.rpartition("/")
    client.log_text(run, data, path) if isinstance(data, str) else put_bytes(client, run, folder, name, data)


def put_bytes(client, run, folder, name, data):
    import tempfile

    with tempfile.TemporaryDirectory() as tmp:
        with open(os.path.join(tmp, name), "wb") as f:
            f.write(data)
        client.log_artifact(run, os.path.join(tmp, name), folder or None)


@pytest.fixture
def series(client, run):
    """Ten epochs: a folder of two files each; the loss is logged before, at and after the steps of the names."""
    client.log_batch(run, [Metric("loss", (e - 6) ** 2 + 0.5, 1000 + e, e) for e in range(1, 11)]
                     + [Metric("lr", 1 / s, 1000 + s, s) for s in range(1, 8)] + [Metric("system/cpu", 5, 1, 1)])
    for e in range(1, 11):
        put(client, run, f"checkpoints/epoch_{e}/weights.bin", os.urandom(40_000))
        put(client, run, f"checkpoints/epoch_{e}/state.json", json.dumps({"epoch": e}))
    return run


def listed(rest, run, **params):
    answer = rest.get(f"/api/cairn/v1/runs/{run}/checkpoints", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["checkpoints"] if answer.json() else []


def test_names(client, rest, run):
    names = {
        "checkpoint-500/model.safetensors": ("checkpoint-*", "checkpoint-500", 500),
        "ckpts/epoch=3-step=500.ckpt": ("ckpts/epoch=*-step=*", "ckpts/epoch=3-step=500.ckpt", 500),
        "out/global_step120/mp_rank_00.pt": ("out/global_step*", "out/global_step120", 120),
        "checkpoints/700/state/a.bin": ("checkpoints/*", "checkpoints/700", 700),
        "m/model_iter_000500.pt": ("m/model_iter_*", "m/model_iter_000500.pt", 500),
        "tf/ckpt-12.index": ("tf/ckpt-*", "tf/ckpt-12", 12),
        "tf/ckpt-12.data-00000-of-00001": None,
        "e/epoch_3/step_9/x.bin": ("e/epoch_*", "e/epoch_3", 3),
        "misstep3/x.bin": None,
        "plots/epoch_3.png": None,
        "model/MLmodel": None,
        "700/x.bin": None,
    }
    for path in names:
        put(client, run, path, b"bytes of " + path.encode())
    got = {c["path"]: (c["series"], c["path"], int(c["step"])) for c in listed(rest, run)}
    assert got == {want[1]: want for want in names.values() if want}
    two = next(c for c in listed(rest, run) if c["path"] == "tf/ckpt-12")
    lines = "".join(f"{hashlib.sha256(b'bytes of tf/' + n.encode()).hexdigest()}  {n}\n"
                    for n in ("ckpt-12.data-00000-of-00001", "ckpt-12.index"))
    assert two["digest"] == hashlib.sha256(lines.encode()).hexdigest() and int(two["files"]) == 2
    one = next(c for c in listed(rest, run) if c["path"] == "m/model_iter_000500.pt")
    assert one["digest"] == hashlib.sha256(b"bytes of m/model_iter_000500.pt").hexdigest()
    both = next(c for c in listed(rest, run) if c["path"].startswith("ckpts/"))
    assert int(both["epoch"]) == 3


def test_lists_and_best(client, rest, cli, series):
    rows = cli.json("checkpoint", "ls", series)
    assert [r["step"] for r in rows] == list(range(10, 0, -1)) and {r["series"] for r in rows} == {"checkpoints/epoch_*"}
    assert {r["size"] for r in rows[1:]} == {40_012} and rows[0]["files"] == 2 and rows[0]["digest"]
    assert rows[0]["metrics"] == {"loss": 16.5}  # lr has no point after step 9, up to 10
    assert rows[9]["metrics"] == {"loss": 25.5, "lr": 1}
    assert cli.json("checkpoint", "ls", series, "--metric", "lr")[5]["metrics"] == {"lr": 0.2}
    assert cli.json("checkpoint", "best", series, "--metric", "loss", "--mode", "min")["step"] == 6
    assert cli.json("checkpoint", "best", series, "--metric", "loss", "--mode", "max")["step"] == 1
    assert cli.json("checkpoint", "best", series, "--metric", "lr", "--mode", "min")["step"] == 7
    cli.run("checkpoint", "best", series, "--metric", "loss", rc=2)
    cli.run("checkpoint", "best", series, "--metric", "nothing", "--mode", "min", rc=3)
    path, seen, token = f"/api/cairn/v1/runs/{series}/checkpoints", [], None
    while True:
        page = rest.get(path, params={"max_results": 3, **({"page_token": token} if token else {})}).json()
        seen += [int(c["step"]) for c in page["checkpoints"]]
        token = page.get("next_page_token")
        if not token:
            break
    assert seen == list(range(10, 0, -1))
    assert rest.get(path, params={"page_token": "checkpoints/epoch_99"}).status_code == 400
    assert rest.get(path, params={"series": "no"}).status_code == 404
    assert rest.get(path.replace(series, "0" * 32)).status_code == 404
    assert listed(rest, client.create_run("0").info.run_id) == []


def test_metrics_between_steps_and_special_values(client, rest, run):
    client.log_batch(run, [Metric("m", v, t, s) for v, t, s in
                           [(1.0, 1, 10), (2.0, 2, 19), (3.0, 9, 20), (float("nan"), 3, 30), (5.0, 4, 20), (float("inf"), 5, 40)]])
    for step in (10, 20, 30, 40, 50):
        put(client, run, f"checkpoint-{step}/x.bin", b"x")
    values = {int(c["step"]): [(m["value"], int(m["step"])) for m in c.get("metrics", [])] for c in listed(rest, run)}
    assert values == {10: [(1, 10)], 20: [(3, 20)], 30: [("NaN", 30)], 40: [("Infinity", 40)], 50: []}
    assert [int(c["step"]) for c in listed(rest, run, best="m", mode="max")] == [40, 20, 10]


def test_retention(client, rest, cli, series, uniq):
    path = f"/api/cairn/v1/runs/{series}/checkpoints"
    keep = ["--keep-last", "2", "--keep-best", "2", "--metric", "loss", "--mode", "min"]
    plan = cli.json("checkpoint", "prune", series, *keep, "--dry-run")
    assert [r["step"] for r in plan if not r["goes"]] == [10, 9, 7, 6]
    assert len(cli.json("checkpoint", "ls", series)) == 10  # a dry run deletes nothing
    cli.run("checkpoint", "prune", series, *keep, rc=2)  # nobody to ask
    cli.run("checkpoint", "prune", series, "--dry-run", rc=2)  # nothing would be kept
    cli.run("checkpoint", "prune", series, "--keep-best", "1", "--dry-run", rc=2)  # of which metric
    cli.run("checkpoint", "prune", series, "--keep-best", "1", "--metric", "none", "--mode", "max", "--yes", rc=2)
    assert len(cli.json("checkpoint", "ls", series)) == 10
    # a registered model keeps what it is made from
    client.create_registered_model(f"m {uniq}")
    client.create_model_version(f"m {uniq}", f"runs:/{series}/checkpoints/epoch_2", series)
    # a newest one that lacks a file is neither counted nor deleted
    put(client, series, "checkpoints/epoch_11/weights.bin", b"cut")
    cli.run("checkpoint", "prune", series, *keep, "--yes")
    left = cli.json("checkpoint", "ls", series)
    assert [r["step"] for r in left] == [11, 10, 9, 7, 6, 2]
    assert (left[0]["missing"], left[5]["held"]) == ("epoch_*/state.json", f"m {uniq}/1")
    assert {f.path for f in client.list_artifacts(series, "checkpoints")} == {f"checkpoints/epoch_{e}" for e in (2, 6, 7, 9, 10, 11)}
    assert client.list_artifacts(series, "checkpoints/epoch_3") == []
    # one that changed after it was looked at stays, and so do the others of the request
    found = {int(c["step"]): c for c in listed(rest, series)}
    put(client, series, "checkpoints/epoch_7/weights.bin", b"other")
    body = {"checkpoints": [{"path": found[s]["path"], "digest": found[s]["digest"]} for s in (6, 7)]}
    assert rest.post(path + "/delete", json=body).status_code == 409
    assert [int(c["step"]) for c in listed(rest, series)] == [11, 10, 9, 7, 6, 2]
    body["checkpoints"].pop()
    assert rest.post(path + "/delete", json=body).json() in ({"deleted": 1}, {"deleted": "1"})
    assert rest.post(path + "/delete", json=body).json() in ({"deleted": 0}, {"deleted": "0"})
    assert rest.post(path + "/delete", json={"checkpoints": [{"path": "x", "digest": "y"}]}).status_code == 400


def test_restore(client, cli, series, tmp_path):
    where = cli.run("checkpoint", "get", series, "--to", "out").strip()
    assert where == "out/checkpoints/epoch_10".replace("checkpoints/", "") and json.load(open(tmp_path / where / "state.json"))["epoch"] == 10
    assert (tmp_path / where / "weights.bin").stat().st_size == 40_000
    cli.run("checkpoint", "get", series, "--to", "out")
    assert "were there already" in cli.err
    assert cli.run("checkpoint", "get", series, "--best", "loss", "--mode", "min", "--to", "best").strip() == "best/epoch_6"
    assert cli.run("checkpoint", "get", series, "--step", "3", "--to", "out").strip() == "out/epoch_3"
    cli.run("checkpoint", "get", series, "--step", "77", "--to", "out", rc=3)
    (tmp_path / "out/epoch_3/weights.bin").write_bytes(b"mine")
    cli.run("checkpoint", "get", series, "--step", "3", "--to", "out", rc=5)
    assert (tmp_path / "out/epoch_3/weights.bin").read_bytes() == b"mine"
    cli.run("checkpoint", "get", series, "--step", "3", "--to", "out", "--force")
    assert (tmp_path / "out/epoch_3/weights.bin").stat().st_size == 40_000
    put(client, series, "checkpoints/epoch_11/weights.bin", b"cut")  # the upload of the newest was killed
    assert cli.run("checkpoint", "get", series, "--to", "last").strip() == "last/epoch_10"
    assert "epoch_11 is passed over: it has no epoch_*/state.json" in cli.err
    put(client, series, "other/checkpoint-1/x", b"x")
    cli.run("checkpoint", "get", series, "--to", "last", rc=2)
    assert "other/checkpoint-*" in cli.err
    assert cli.run("checkpoint", "get", series, "--to", "o", "--series", "other/checkpoint-*").strip() == "o/checkpoint-1"


class Cutting(http.server.BaseHTTPRequestHandler):
    """Passes requests on, and cuts the first download of the large file in the middle; or gives other bytes."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):  # noqa: N802
        import urllib.request

        state = self.server.state
        request = urllib.request.Request(state["to"] + self.path, headers={k: v for k, v in self.headers.items() if k != "Host"})
        state["ranges"].append(self.headers.get("Range"))
        with urllib.request.urlopen(request) as answer:
            data = answer.read()
            download = "get-artifact" in self.path
            if download and state["wrong"] > 0:
                state["wrong"] -= 1
                data = bytes(len(data))
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(data)))
            for field in ("Content-Type", "Content-Range"):
                if answer.headers.get(field):
                    self.send_header(field, answer.headers[field])
            self.end_headers()
            if download and len(data) > 1_000_000 and state["cut"]:
                state["cut"] = False
                self.wfile.write(data[:1_000_000])
                self.close_connection = True
                return
            self.wfile.write(data)

    def log_message(self, *args):
        pass


def test_restore_goes_on_where_it_was_cut(server, client, run, tmp_path):
    data = np.random.default_rng(7).bytes(3_000_000)
    put(client, run, "checkpoint-5/w.bin", data)
    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cutting)
    proxy.state = {"to": server.url, "cut": True, "wrong": 0, "ranges": []}
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    try:
        cli = command.Cli(tmp_path, f"http://127.0.0.1:{proxy.server_address[1]}")
        cli.run("checkpoint", "get", run, "--to", "a", rc=6)
        assert not (tmp_path / "a/checkpoint-5/w.bin").exists() and (tmp_path / "a/checkpoint-5/w.bin.part").stat().st_size == 1_000_000
        cli.run("checkpoint", "get", run, "--to", "a")
        assert (tmp_path / "a/checkpoint-5/w.bin").read_bytes() == data and "bytes=1000000-" in proxy.state["ranges"]
        assert not (tmp_path / "a/checkpoint-5/w.bin.part").exists()
        # what lies there from before is of other bytes: all of it comes again
        (tmp_path / "b/checkpoint-5").mkdir(parents=True)
        (tmp_path / "b/checkpoint-5/w.bin.part").write_bytes(b"z" * 500)
        cli.run("checkpoint", "get", run, "--to", "b")
        assert (tmp_path / "b/checkpoint-5/w.bin").read_bytes() == data
        proxy.state["wrong"] = 5
        cli.run("checkpoint", "get", run, "--to", "c", rc=1)
        assert "are not those it has" in cli.err and not (tmp_path / "c/checkpoint-5/w.bin").exists()
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()


class Saver(MlflowModelCheckpointCallbackBase):
    """MLflow's own layout of checkpoints, without a framework."""

    def save_checkpoint(self, filepath):
        with open(filepath, "wb") as f:
            f.write(b"state" * 10)


def test_layout_of_mlflow(client, rest, tracking):
    kinds = [dict(save_best_only=False, save_freq="epoch"), dict(save_best_only=False, save_freq=4),
             dict(save_best_only=True, save_freq="epoch")]
    with mlflow.start_run() as active:
        for kind in kinds:
            saver = Saver(checkpoint_file_suffix=".pth", monitor="val_loss", mode="min", save_weights_only=False, **kind)
            for epoch, loss in enumerate((0.5, 0.25, 0.75)):
                saver.check_and_save_checkpoint_if_needed(epoch, (epoch + 1) * 4, {"val_loss": loss})
    got = {c["path"]: (c["series"], int(c.get("step", -1)), int(c.get("epoch", -1)), int(c["files"])) for c in listed(rest, active.info.run_id)}
    assert got == {
        **{f"checkpoints/epoch_{e}": ("checkpoints/epoch_*", e, e, 2) for e in range(3)},
        **{f"checkpoints/global_step_{s}": ("checkpoints/global_step_*", s, -1, 2) for s in (4, 8, 12)},
        "checkpoints/latest_checkpoint": ("checkpoints/latest_checkpoint", 8, 1, 2),
    }


# ---- logged models ------------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(tracking, tmp_path):
    """A run with six models logged at steps, two logged without one, and a folder of checkpoints beside them. Three more have the
    step in their name only."""
    from sklearn.linear_model import LinearRegression

    x = np.arange(8.0).reshape(-1, 1)
    models = {}
    with mlflow.start_run() as active:
        for step in range(10, 70, 10):
            mlflow.log_metric("loss", (step - 30) ** 2 + 1, step=step)
            model = LinearRegression().fit(x, x[:, 0] * step)
            models[step] = mlflow.sklearn.log_model(model, name="net", step=step, pip_requirements=[]).model_id
            mlflow.log_metric("val", step, step=step, model_id=models[step])
        for _ in range(2):
            mlflow.sklearn.log_model(model, name="final", pip_requirements=[])
        for e in range(3):
            mlflow.log_text("x" * e, f"checkpoints/epoch_{e}/w.bin")
        named = [mlflow.initialize_logged_model(name=f"epoch_{e}", source_run_id=active.info.run_id).model_id for e in (1, 2)]
        mlflow.MlflowClient().log_outputs(active.info.run_id, [mlflow.entities.LoggedModelOutput(m, 0) for m in named])
    return active.info.run_id, models, named


def test_logged_models(trained, client, rest, cli, tmp_path, uniq):
    run, models, named = trained
    rows = cli.json("checkpoint", "ls", run)
    by = {}
    for r in rows:
        by.setdefault(r["series"], []).append(r)
    assert sorted(by) == ["checkpoints/epoch_*", "models:/epoch_*", "models:/net"]  # "final" was logged without a step
    net = by["models:/net"]
    assert [(r["step"], r["model_id"], r["path"]) for r in net] == [
        (s, m, f"models:/{m}") for s, m in sorted(models.items(), reverse=True)]
    assert [r["metrics"] for r in net][:2] == [{"loss": 901, "val": 60}, {"loss": 401, "val": 50}]
    assert all(r["files"] >= 4 and r["size"] > 500 and not r["missing"] for r in net)
    assert [(r["step"], r["epoch"], r["missing"]) for r in by["models:/epoch_*"]] == [
        (2, 2, "end of its upload"), (1, 1, "end of its upload")]
    assert [r["model_id"] or None for r in by["checkpoints/epoch_*"]] == [None] * 3

    # what is logged to the model goes before what the run has at that step
    client.log_metric(run, "loss", 0.25, step=60, model_id=models[60])
    best = ["--series", "models:/net", "--metric", "loss", "--mode", "min"]
    assert cli.json("checkpoint", "best", run, *best)["step"] == 60
    client.delete_logged_model(models[60])
    assert cli.json("checkpoint", "best", run, *best)["step"] == 30
    cli.run("checkpoint", "get", run, "--to", "x", rc=2)  # which series
    where = cli.run("checkpoint", "get", run, "--series", "models:/net", "--to", "back").strip()
    assert where == f"back/{models[50]}"
    loaded = mlflow.sklearn.load_model(str(tmp_path / where))
    assert round(float(loaded.predict([[2.0]])[0])) == 100
    digest = next(r for r in net if r["step"] == 50)["digest"]
    names = sorted(str(p.relative_to(tmp_path / where)) for p in (tmp_path / where).rglob("*") if p.is_file())
    lines = "".join(f"{hashlib.sha256((tmp_path / where / n).read_bytes()).hexdigest()}  {n}\n" for n in names)
    assert digest == hashlib.sha256(lines.encode()).hexdigest()
    cli.run("checkpoint", "get", run, "--series", "models:/epoch_*", "--to", "x", rc=3)
    assert "has no end of its upload" in cli.err

    # retention: into the trash, but what a version stands for
    client.create_registered_model(f"m {uniq}")
    client.create_model_version(f"m {uniq}", f"models:/{models[10]}", model_id=models[10])
    keep = ["--series", "models:/net", "--keep-last", "1", "--keep-best", "1", "--metric", "val", "--mode", "min"]
    plan = cli.json("checkpoint", "prune", run, *keep, "--dry-run")
    assert [(r["step"], r["goes"], r["held"] or None) for r in plan] == [
        (50, False, None), (40, True, None), (30, True, None), (20, False, None), (10, False, f"m {uniq}/1")]
    assert len(cli.json("checkpoint", "ls", run)) == len(rows) - 1
    cli.run("checkpoint", "prune", run, *keep, "--yes")
    assert [r["step"] for r in cli.json("checkpoint", "ls", run) if r["series"] == "models:/net"] == [50, 20, 10]
    with pytest.raises(mlflow.MlflowException, match="not found"):
        client.get_logged_model(models[30])
    cli.run("logged-model", "restore", models[30])
    assert client.get_logged_model(models[30]).status == "READY"
    found = {int(c["step"]): c for c in listed(rest, run, series="models:/net")}
    assert sorted(found) == [10, 20, 30, 50] and found[30]["model_id"] == models[30]
    path = f"/api/cairn/v1/runs/{run}/checkpoints"
    files = rest.get(path + "/files", params={"path": found[30]["path"]}).json()
    assert "MLmodel" in [f["path"] for f in files["files"]]

    # all of a request or nothing; what is held stays, what another run made is not there
    body = {"checkpoints": [{"path": found[s]["path"], "digest": found[s]["digest"]} for s in (30, 10)]}
    assert rest.post(path + "/delete", json=body).status_code == 409
    body["checkpoints"][1] = {"path": found[50]["path"], "digest": "0" * 64}
    assert rest.post(path + "/delete", json=body).status_code == 409
    assert sorted(int(c["step"]) for c in listed(rest, run, series="models:/net")) == [10, 20, 30, 50]
    other = client.create_run("0").info.run_id
    del body["checkpoints"][1]
    assert rest.post(path.replace(run, other) + "/delete", json=body).json()["deleted"] in (0, "0")
    assert rest.post(path + "/delete", json=body).json()["deleted"] in (1, "1")
    assert rest.post(path + "/delete", json=body).json()["deleted"] in (0, "0")
