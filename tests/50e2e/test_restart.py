"""A training of the real client is killed in the middle, restored from its last checkpoint in another folder, and goes on in the same
run; what is left says where it was interrupted. Both with scikit-learn's partial_fit and with Keras on JAX."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import command

pytestmark = pytest.mark.cairn_only

# argv: epochs, folder with a checkpoint or "", epoch to hang in or -1. What it learns depends only on the state and the epoch.
SKLEARN = """
    import json, os, pickle, sys, tempfile
    import mlflow
    import numpy as np
    from sklearn.linear_model import SGDClassifier

    epochs, restored, hang = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    rng = np.random.default_rng(3)
    x = rng.normal(size=(600, 20))
    y = (x @ rng.normal(size=20) > 0).astype(int)
    model, first = SGDClassifier(random_state=0, loss="log_loss"), 0
    if restored:
        with open(os.path.join(restored, "state.pkl"), "rb") as f:
            model = pickle.load(f)
        with open(os.path.join(restored, "progress.json")) as f:
            first = json.load(f)["epoch"] + 1
    with mlflow.start_run() as run:
        for epoch in range(first, epochs):
            order = np.random.default_rng(epoch).permutation(600)
            model.partial_fit(x[order], y[order], classes=[0, 1])
            p = np.clip(model.predict_proba(x)[np.arange(600), y], 1e-9, 1)
            mlflow.log_metric("loss", float(-np.log(p).mean()), step=epoch)
            with tempfile.TemporaryDirectory() as tmp:
                with open(os.path.join(tmp, "state.pkl"), "wb") as f:
                    pickle.dump(model, f)
                with open(os.path.join(tmp, "progress.json"), "w") as f:
                    json.dump({"epoch": epoch}, f)
                if epoch == hang:  # half a checkpoint is there: the process is killed now
                    mlflow.log_artifact(os.path.join(tmp, "progress.json"), f"checkpoints/epoch_{epoch}")
                    print("hanging", run.info.run_id, flush=True)
                    sys.stdin.read()
                mlflow.log_artifacts(tmp, f"checkpoints/epoch_{epoch}")
            print("epoch", epoch, flush=True)
"""

KERAS = """
    import os, sys, tempfile
    os.environ["KERAS_BACKEND"] = "jax"
    import keras
    import mlflow
    import numpy as np

    epochs, restored, hang = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    rng = np.random.default_rng(3)
    x = rng.normal(size=(256, 8)).astype("float32")
    y = (x[:, 0] > 0).astype("float32")
    first = 0
    if restored:
        model = keras.saving.load_model(os.path.join(restored, "model.keras"))  # weights and the state of the optimizer
        first = int(restored.rsplit("_", 1)[1]) + 1
    else:
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(16, activation="relu"),
                                  keras.layers.Dense(1, activation="sigmoid")])
        model.compile(optimizer=keras.optimizers.Adam(0.01), loss="binary_crossentropy")
    with mlflow.start_run() as run:
        for epoch in range(first, epochs):
            history = model.fit(x, y, batch_size=32, shuffle=False, verbose=0, epochs=1)
            mlflow.log_metric("loss", history.history["loss"][0], step=epoch)
            with tempfile.TemporaryDirectory() as tmp:
                model.save(os.path.join(tmp, "model.keras"))
                with open(os.path.join(tmp, "optimizer.json"), "w") as f:
                    f.write(str(int(model.optimizer.iterations.numpy() if hasattr(model.optimizer.iterations, "numpy")
                                    else model.optimizer.iterations)))
                if epoch == hang:
                    mlflow.log_artifact(os.path.join(tmp, "optimizer.json"), f"checkpoints/epoch_{epoch}")
                    print("hanging", run.info.run_id, flush=True)
                    sys.stdin.read()
                mlflow.log_artifacts(tmp, f"checkpoints/epoch_{epoch}")
            print("epoch", epoch, flush=True)
"""


def losses(client, run):
    return {m.step: m.value for m in client.get_metric_history(run, "loss")}


@pytest.fixture
def start():
    """Starts trainings; those that are left when the test ends are killed."""
    started = []

    def one(*args, **kwargs):
        started.append(launch(*args, **kwargs))
        return started[-1]

    yield one
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def launch(url, experiment, script, folder, *args, run=None):
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_text(textwrap.dedent(script))
    env = {k: v for k, v in os.environ.items() if not k.startswith(("CAIRN_", "MLFLOW_"))}
    env.update(MLFLOW_TRACKING_URI=url, MLFLOW_EXPERIMENT_ID=experiment, PYTHONWARNINGS="ignore", OMP_NUM_THREADS="1")
    if run:
        env["MLFLOW_RUN_ID"] = run
    return subprocess.Popen([sys.executable, "train.py", *map(str, args)], cwd=folder, env=env, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)


def finish(process):
    out, _ = process.communicate()
    assert process.returncode == 0, out
    return out


@pytest.mark.parametrize("script", [pytest.param(SKLEARN, id="sklearn"), pytest.param(KERAS, id="keras-jax")])
def test_killed_and_gone_on(server, client, rest, exp, start, script, tmp_path):
    if script is KERAS:
        pytest.importorskip("keras")
        if server.engine == "postgres":
            pytest.skip("the engine is no matter of frameworks")
    cli = command.Cli(tmp_path, server.url)
    one = start(server.url, exp, script, tmp_path / "one", 5, "", 3)
    whole = start(server.url, exp, script, tmp_path / "whole", 5, "", -1)  # the same without an interruption
    try:
        for line in one.stdout:
            if line.startswith("hanging"):
                break
        run = line.split()[1]
    finally:
        one.send_signal(signal.SIGKILL)
        one.wait()
    assert client.get_run(run).info.status == "RUNNING" and sorted(losses(client, run)) == [0, 1, 2, 3]
    assert cli.json("run", "events", run) == []

    # on another machine: nothing of the first folder is used
    where = cli.run("checkpoint", "get", run, "--to", tmp_path / "restored").strip()
    assert where.endswith("restored/epoch_2") and "epoch_3 is passed over" in cli.err
    time.sleep(1.1)
    assert "epoch 4" in finish(start(server.url, exp, script, tmp_path / "two", 5, where, -1, run=run))

    # the same as if nothing had happened, in the same run
    assert "epoch 0" in finish(whole)
    other = next(r.info.run_id for r in client.search_runs([exp]) if r.info.run_id != run)
    got, want = losses(client, run), losses(client, other)
    assert sorted(got) == sorted(want) == [0, 1, 2, 3, 4]
    assert got == pytest.approx(want, rel=1e-5)
    assert client.get_run(run).info.status == "FINISHED"
    assert [c["step"] for c in cli.json("checkpoint", "ls", run)] == [4, 3, 2, 1, 0]
    assert not cli.json("checkpoint", "ls", run)[0]["missing"]

    # the interruption can be seen
    events = cli.json("run", "events", run)
    assert [(e["what"], e["before"]) for e in events] == [("resumed", "RUNNING")]
    assert events[0]["at_ms"] - events[0]["since_ms"] >= 1000
    shown = cli.run("run", "show", run)
    assert "resumed" in shown and "without a sign of life (was RUNNING)" in shown
    assert "resumed" not in cli.run("run", "show", other)
    text = json.dumps(rest.get(f"/api/cairn/v1/runs/{run}/events").json())
    assert '"resumed"' in text and "anonymous" in text


def test_events_of_a_run(client, rest, cli_of, exp):
    run = client.create_run(exp).info.run_id
    path = f"/api/cairn/v1/runs/{run}/events"
    assert rest.get(path).json().get("events", []) == []
    client.set_terminated(run)
    client.update_run(run, status="RUNNING")
    client.update_run(run, status="RUNNING")  # within a second: not another interruption
    client.set_terminated(run, "FAILED")
    events = rest.get(path).json()["events"]
    assert [(e["what"], e["before"]) for e in events] == [("resumed", "FINISHED")]
    assert rest.get(path.replace(run, "0" * 32)).status_code == 404
    scheduled = client.create_run(exp).info.run_id
    client.update_run(scheduled, status="SCHEDULED")
    client.update_run(scheduled, status="RUNNING")
    assert rest.get(path.replace(run, scheduled)).json().get("events", []) == []
    cli_of("run", "rm", run, "--hard")
    assert rest.get(path).status_code == 404


@pytest.fixture
def cli_of(server, tmp_path):
    return command.Cli(tmp_path, server.url).run
