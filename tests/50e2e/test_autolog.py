"""Autologging: the training script says autolog() and nothing else; everything arrives."""

import mlflow
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


@pytest.fixture
def autolog(tracking):
    yield tracking
    mlflow.sklearn.autolog(disable=True)
    mlflow.xgboost.autolog(disable=True)


def test_sklearn(client, autolog):
    mlflow.sklearn.autolog(serialization_format="cloudpickle")
    x, y = load_iris(return_X_y=True, as_frame=True)
    with mlflow.start_run() as run:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=300)).fit(x, y)
        model.score(x, y)
    got = client.get_run(run.info.run_id)
    assert got.data.params["logisticregression__C"] == "0.5"
    assert 0.9 < got.data.metrics["training_accuracy_score"] <= 1
    assert any("score" in k for k in got.data.metrics)
    assert got.data.tags["estimator_name"] == "Pipeline"
    assert got.inputs.dataset_inputs and got.outputs.model_outputs
    assert "training_confusion_matrix.png" in {f.path for f in client.list_artifacts(run.info.run_id)}
    models = mlflow.search_logged_models(experiment_ids=[autolog], output_format="list")
    loaded = mlflow.sklearn.load_model(f"models:/{models[0].model_id}")
    assert np.array_equal(loaded.predict(x), model.predict(x))


def test_sklearn_grid_search_makes_children(client, autolog):
    mlflow.sklearn.autolog(log_models=False, max_tuning_runs=3)
    x, y = load_iris(return_X_y=True)
    with mlflow.start_run() as run:
        GridSearchCV(LogisticRegression(max_iter=300), {"C": [0.1, 1, 10]}, cv=3).fit(x, y)
    children = client.search_runs([autolog], f"tags.mlflow.parentRunId = '{run.info.run_id}'")
    assert len(children) == 3
    assert {c.data.params["C"] for c in children} == {"0.1", "1", "10"}
    assert client.get_run(run.info.run_id).data.params["best_C"] in {"0.1", "1", "10"}


def test_xgboost(client, autolog):
    import xgboost
    mlflow.xgboost.autolog()
    x, y = load_breast_cancer(return_X_y=True)
    with mlflow.start_run() as run:
        booster = xgboost.train({"objective": "binary:logistic", "eval_metric": ["logloss", "error"], "nthread": 1},
                                xgboost.DMatrix(x, y), num_boost_round=15, evals=[(xgboost.DMatrix(x, y), "train")],
                                verbose_eval=False)
    got = client.get_run(run.info.run_id)
    assert got.data.params["num_boost_round"] == "15"
    history = client.get_metric_history(run.info.run_id, "train-logloss")
    assert sorted(m.step for m in history) == list(range(15))
    assert history[0].value > history[-1].value
    assert "feature_importance_weight.png" in {f.path for f in client.list_artifacts(run.info.run_id)}
    model_id = got.outputs.model_outputs[0].model_id
    loaded = mlflow.xgboost.load_model(f"models:/{model_id}")
    assert np.array_equal(loaded.predict(xgboost.DMatrix(x)), booster.predict(xgboost.DMatrix(x)))


def test_keras_on_jax(client, autolog):
    """A Keras loop on JAX: metrics per epoch, parameters, the model; predictions are the same after loading."""
    import keras
    from mlflow.keras import MlflowCallback
    assert keras.backend.backend() == "jax"
    keras.utils.set_random_seed(3)
    x, y = load_iris(return_X_y=True)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="relu"),
                              keras.layers.Dense(3, activation="softmax")])
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    with mlflow.start_run() as run:
        model.fit(x, y, epochs=4, batch_size=32, verbose=0, callbacks=[MlflowCallback(run)])
        info = mlflow.keras.log_model(model, name="net")
    got = client.get_run(run.info.run_id)
    assert {"loss", "accuracy"} <= set(got.data.metrics)
    history = client.get_metric_history(run.info.run_id, "loss")
    assert len(history) == 4
    assert got.data.params["optimizer_name"].lower().startswith("adam")
    loaded = mlflow.keras.load_model(info.model_uri)
    assert np.allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
