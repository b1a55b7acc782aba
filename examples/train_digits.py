"""Handwritten digits, as prepare_digits.py left them: a small sweep over a neural network, one nested run per setting, metrics per epoch.

Everything is logged by hand: parameters, tags, metrics, the data, figures, texts, tables and the best model."""

import warnings

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import mlflow
import pandas as pd
from mlflow.models import infer_signature
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score, classification_report, log_loss
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import MinMaxScaler

import common

EPOCHS = 30
SWEEP = [
    {"hidden": 16, "learning_rate": 0.01},
    {"hidden": 32, "learning_rate": 0.01},
    {"hidden": 64, "learning_rate": 0.003},
    {"hidden": 64, "learning_rate": 0.0003},
]
# The model is stored as data, not as a pickle; a type that is not on scikit-learn's public list is named here.
TRUSTED = ["sklearn.neural_network._stochastic_optimizers.AdamOptimizer"]


def load():
    return [pd.read_csv(path) for path in common.PREPARED.values()]


def data(frame, name):
    """The data set as it is recorded: what it is, and where it came from."""
    return mlflow.data.from_pandas(frame, source=str(common.PREPARED[name]), name=name, targets="target")


def split(frame):
    return frame.drop(columns="target"), frame["target"]


def train_one(setting, train, test):
    """One run; the fitted model and its accuracy on the test part."""
    (x, y), (x_test, y_test) = split(train), split(test)
    scaler = MinMaxScaler().fit(x)
    model = MLPClassifier((setting["hidden"],), learning_rate_init=setting["learning_rate"], random_state=7)
    mlflow.log_params({**setting, "epochs": EPOCHS, "optimizer": model.solver})
    classes = sorted(y.unique())
    for epoch in range(EPOCHS):
        model.partial_fit(scaler.transform(x), y, classes=classes)
        proba = model.predict_proba(scaler.transform(x_test))
        accuracy = accuracy_score(y_test, proba.argmax(axis=1))
        mlflow.log_metrics({"train_loss": model.loss_, "test_loss": log_loss(y_test, proba),
                            "test_accuracy": accuracy}, step=epoch)
    return scaler, model, accuracy


def log_figures(model, x, y):
    figure, axes = plt.subplots(figsize=(5, 5))
    ConfusionMatrixDisplay.from_predictions(y, model.predict(x), ax=axes, colorbar=False)
    mlflow.log_figure(figure, "figures/confusion.png")
    plt.close(figure)


def log_best(scaler, model, test):
    """The winner as one pipeline, with what it answers now."""
    from sklearn.pipeline import make_pipeline

    x, y = split(test)
    pipeline = make_pipeline(scaler, model)
    predicted = pipeline.predict(x)
    log_figures(pipeline, x, y)
    mlflow.log_text(classification_report(y, predicted), "report.txt")
    mlflow.log_table(pd.DataFrame({"digit": y[:20], "answer": predicted[:20]}), "answers.json")
    common.log_expected(x, predicted)
    info = mlflow.sklearn.log_model(pipeline, name="model", signature=infer_signature(x, predicted),
                                    input_example=x.head(2), pip_requirements=["scikit-learn", "pandas"],
                                    skops_trusted_types=TRUSTED)
    return info.model_id


def main():
    common.start()
    warnings.filterwarnings("ignore")
    train, test = load()
    mlflow.set_experiment(common.DIGITS)
    with mlflow.start_run(run_name="sweep", description="Which network reads digits best?") as parent:
        mlflow.log_input(data(train, "digits-train"), context="training")
        mlflow.log_input(data(test, "digits-test"), context="test")
        mlflow.log_dict({"epochs": EPOCHS, "sweep": SWEEP}, "sweep.yaml")
        best = None
        for setting in SWEEP:
            name = f"hidden {setting['hidden']}, rate {setting['learning_rate']}"
            with mlflow.start_run(run_name=name, nested=True, tags={"kind": "trial"}) as run:
                mlflow.log_input(data(train, "digits-train"), "training")
                scaler, model, accuracy = train_one(setting, train, test)
            print(f"  {name}: accuracy {accuracy:.4f}")
            if best is None or accuracy > best[0]:
                best = accuracy, run.info.run_id, scaler, model
        mlflow.log_metric("best_accuracy", best[0])
        mlflow.set_tag("best_run", best[1])
        model_id = log_best(best[2], best[3], test)
    print(f"  best accuracy {best[0]:.4f}, logged as {model_id} by run {parent.info.run_id}")
    version = mlflow.register_model(f"models:/{model_id}", common.REGISTERED, tags={"accuracy": f"{best[0]:.4f}"})
    mlflow.MlflowClient().set_registered_model_alias(common.REGISTERED, common.ALIAS, version.version)
    print(f"  registered as {common.REGISTERED} version {version.version}, alias {common.ALIAS}")


if __name__ == "__main__":
    main()
