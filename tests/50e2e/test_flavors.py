"""Real models of several frameworks through their whole life: logged, registered, given an alias, loaded by it, compared, archived, their run
deleted and restored, the version deleted, the model gone. The predictions are those from before logging, at every step."""

import json

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

import command

X = np.random.default_rng(5).normal(size=(120, 6)).astype("float32")
Y = (X @ np.arange(1, 7) > 0).astype("int64")


def sklearn_model():
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    model = make_pipeline(StandardScaler(), SVC(random_state=0)).fit(X, Y)
    return model.predict, lambda: mlflow.sklearn.log_model(model, name="model", serialization_format="cloudpickle"), \
        lambda uri: mlflow.sklearn.load_model(uri).predict


def xgboost_model():
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBClassifier(n_estimators=8, max_depth=3, n_jobs=1).fit(X, Y)
    return lambda x: model.predict_proba(x)[:, 1], lambda: mlflow.xgboost.log_model(model, name="model"), \
        lambda uri: (lambda m: lambda x: m.predict_proba(x)[:, 1])(mlflow.xgboost.load_model(uri))


def keras_model():
    import os

    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "jax":
        pytest.skip("Keras runs on another backend")
    keras.utils.set_random_seed(2)
    model = keras.Sequential([keras.layers.Input((6,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])
    model.compile(loss="mse", optimizer="adam")
    model.fit(X, Y, epochs=1, verbose=0)

    def predict(m):
        return lambda x: np.asarray(m.predict(x, verbose=0))[:, 0]

    return predict(model), lambda: mlflow.keras.log_model(model, name="model"), lambda uri: predict(mlflow.keras.load_model(uri))


def torch_model():
    torch = pytest.importorskip("torch", reason="PyTorch is in an environment of its own: tools/test torch")
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)).eval()

    def predict(m):
        def run(x):
            with torch.no_grad():
                return m(torch.from_numpy(np.asarray(x))).numpy()[:, 0]
        return run

    return predict(model), lambda: mlflow.pytorch.log_model(model, name="model", input_example=X[:2]), \
        lambda uri: predict(mlflow.pytorch.load_model(uri))


@pytest.mark.parametrize("make", [sklearn_model, xgboost_model, keras_model, torch_model])
def test_life_of_a_model(tracking, server, uniq, make):
    client = MlflowClient(tracking_uri=server.url)
    predict, log, load = make()
    want = predict(X)
    name = f"{make.__name__} {uniq}"
    with mlflow.start_run() as run:
        info = log()
    mlflow.register_model(info.model_uri, name)
    second = mlflow.register_model(info.model_uri, name)
    assert (second.version, second.run_id) in ((2, run.info.run_id), ("2", run.info.run_id))

    def same(uri):
        assert np.allclose(load(uri)(X), want, rtol=1e-5, atol=1e-6), uri

    client.set_registered_model_alias(name, "champion", "1")
    client.set_registered_model_alias(name, "champion", "2")
    client.rename_registered_model(name, name + " renamed")
    name += " renamed"
    assert int(client.get_model_version_by_alias(name, "champion").version) == 2
    same(f"models:/{name}@champion")
    answer = mlflow.pyfunc.load_model(f"models:/{name}@champion").predict(X)
    assert np.asarray(answer).shape[0] == 120

    client.transition_model_version_stage(name, "1", "Production")
    client.transition_model_version_stage(name, "2", "Production", archive_existing_versions=True)
    assert client.get_model_version(name, "1").current_stage == "Archived"
    same(f"models:/{name}/Archived")

    client.delete_run(run.info.run_id)
    same(f"models:/{name}/2")  # what is registered does not go with its run
    client.restore_run(run.info.run_id)
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "active"

    client.delete_model_version(name, "2")
    with pytest.raises(MlflowException):
        client.get_model_version_by_alias(name, "champion")
    assert int(mlflow.register_model(info.model_uri, name).version) == 3
    client.delete_registered_model(name)
    with pytest.raises(MlflowException):
        load(f"models:/{name}/1")
    same(info.model_uri)


@pytest.mark.cairn_only
def test_a_torch_checkpoint(tracking, server, run, client, tmp_path):
    """What torch.save writes of a training is seen without running it, and the training goes on from what comes back."""
    torch = pytest.importorskip("torch", reason="PyTorch is in an environment of its own: tools/test torch")
    cli = command.Cli(tmp_path, server.url)
    x, y = torch.from_numpy(X), torch.from_numpy(Y).float().unsqueeze(1)

    def begin():
        torch.manual_seed(4)
        model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
        return model, torch.optim.Adam(model.parameters(), lr=0.01)

    def epoch(model, optimizer):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    model, optimizer = begin()
    losses = []
    for n in range(1, 5):
        losses.append(epoch(model, optimizer))
        client.log_metric(run, "loss", losses[-1], step=n)
        path = tmp_path / f"epoch_{n}.pt"
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": n, "loss": losses[-1]}, path)
        if n < 4:
            client.log_artifact(run, str(path), "checkpoints")
    seen = cli.json("model", "inspect", path)
    found = seen["files"][0]
    assert found["format"] == "pytorch" and seen["complete"] and not [f for f in found["findings"] if f["level"] == "dangerous"]
    shapes = sorted(tuple(int(n) for n in t["shape"]) for t in found["tensors"] if len(t["shape"]) == 2)
    assert shapes == [(1, 8)] * 3 + [(8, 6)] * 3  # the weights, and Adam's two moments
    folder = cli.run("checkpoint", "best", run, "--metric", "loss", "--mode", "min")
    assert "epoch_3" in folder
    cli.run("checkpoint", "get", run, "--to", tmp_path / "restored")
    (restored,) = (tmp_path / "restored").rglob("epoch_3.pt")
    state = torch.load(restored, weights_only=True)
    model, optimizer = begin()
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    assert (state["epoch"], state["loss"]) == (3, losses[2]) and epoch(model, optimizer) == losses[3]
