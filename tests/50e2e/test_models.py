"""Real models: logged, listed, loaded, and their predictions compared with those before logging."""

import mlflow
import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression


@pytest.fixture(autouse=True)
def quiet(tracking):
    return tracking


def test_sklearn_round_trip(client, tracking):
    x, y = load_diabetes(return_X_y=True, as_frame=True)
    model = LinearRegression().fit(x, y)
    with mlflow.start_run() as run:
        info = mlflow.sklearn.log_model(model, name="linear", input_example=x.head(3), serialization_format="cloudpickle")
    assert info.model_id.startswith("m-")
    loaded = mlflow.sklearn.load_model(info.model_uri)
    assert np.array_equal(loaded.predict(x), model.predict(x))
    pyfunc = mlflow.pyfunc.load_model(f"models:/{info.model_id}")
    assert np.allclose(pyfunc.predict(x), model.predict(x), rtol=1e-12)
    got = client.get_logged_model(info.model_id)
    assert got.status.name == "READY" and got.source_run_id == run.info.run_id and got.name == "linear"
    assert [m.model_id for m in client.get_run(run.info.run_id).outputs.model_outputs] == [info.model_id]
    assert "MLmodel" in {f.path for f in client.list_logged_model_artifacts(info.model_id)}


def test_load_by_the_uri_of_the_run(tracking):
    x, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(x, y)
    with mlflow.start_run() as run:
        mlflow.sklearn.log_model(model, name="m", serialization_format="cloudpickle")
    loaded = mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/m")
    assert np.array_equal(loaded.predict(x), model.predict(x))


def test_evaluation_metrics_belong_to_the_model(client, tracking):
    x, y = load_iris(return_X_y=True, as_frame=True)
    model = RandomForestClassifier(n_estimators=5, random_state=0).fit(x, y)
    data = mlflow.data.from_pandas(x.assign(target=y), targets="target", name="iris")
    with mlflow.start_run():
        info = mlflow.sklearn.log_model(model, name="forest", serialization_format="cloudpickle")
        mlflow.log_metric("accuracy", model.score(x, y), model_id=info.model_id, dataset=data)
    got = client.get_logged_model(info.model_id).metrics
    assert [(m.key, m.dataset_name, m.dataset_digest) for m in got] == [("accuracy", "iris", data.digest)]
    best = mlflow.search_logged_models(experiment_ids=[tracking], filter_string="metrics.accuracy > 0.9",
                                       datasets=[{"dataset_name": "iris", "dataset_digest": data.digest}],
                                       output_format="list")
    assert [m.model_id for m in best] == [info.model_id]


class Doubler(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[str]) -> list[str]:
        return [x * 2 for x in model_input]


def test_pyfunc_model(tracking):
    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(name="doubler", python_model=Doubler())
    assert mlflow.pyfunc.load_model(info.model_uri).predict(["a", "b"]) == ["aa", "bb"]


def test_checkpoint_models_with_steps(client, tracking):
    x, y = load_iris(return_X_y=True)
    with mlflow.start_run() as run:
        for step in (1, 5):
            model = RandomForestClassifier(n_estimators=step, random_state=0).fit(x, y)
            info = mlflow.sklearn.log_model(model, name=f"ck{step}", step=step, serialization_format="cloudpickle")
            mlflow.log_metric("acc", model.score(x, y), step=step, model_id=info.model_id)
    outputs = client.get_run(run.info.run_id).outputs.model_outputs
    assert sorted(m.step for m in outputs) == [1, 5]
