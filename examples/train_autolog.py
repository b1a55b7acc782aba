"""Breast cancer and diabetes: ordinary scikit-learn code; mlflow.sklearn.autolog() records it."""

import logging
import warnings

import matplotlib

matplotlib.use("Agg")

import mlflow
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import common


def train_cancer():
    """A grid search: autolog makes one child run per setting."""
    x, y = load_breast_cancer(return_X_y=True, as_frame=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=7, stratify=y)
    mlflow.set_experiment(common.CANCER)
    with mlflow.start_run(run_name="grid search"):
        search = GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
                              {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]}, cv=3)
        search.fit(x_train, y_train)
        accuracy = search.score(x_test, y_test)
        common.log_expected(x_test, search.predict(x_test))
    print(f"  grid search: accuracy {accuracy:.4f} with C = {search.best_params_['logisticregression__C']}")


def train_diabetes():
    """A regression, its learning curve logged by hand beside what autolog records, the data given as arrays."""
    x, y = load_diabetes(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=7)
    mlflow.set_experiment(common.DIABETES)
    with mlflow.start_run(run_name="gradient boosting"):
        mlflow.log_input(mlflow.data.from_numpy(x_test, targets=y_test, name="diabetes-test"), context="test")
        model = GradientBoostingRegressor(n_estimators=80, max_depth=2, random_state=7).fit(x_train, y_train)
        for step, predicted in enumerate(model.staged_predict(x_test)):
            mlflow.log_metric("test_rmse", float(np.sqrt(np.mean((predicted - y_test) ** 2))), step=step)
        common.log_expected(x_test, model.predict(x_test))
    print(f"  gradient boosting: R2 {model.score(x_test, y_test):.4f}")


def main():
    common.start()
    warnings.filterwarnings("ignore")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    mlflow.sklearn.autolog(log_input_examples=True)
    train_cancer()
    train_diabetes()


if __name__ == "__main__":
    main()
