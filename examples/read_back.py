"""Reads everything that the training scripts recorded back through the client and compares it with the truth.

Exit code 0 only if every check holds: search, parameters, metric histories, data sets, artifacts, and for each model
the prediction of the loaded model equal to the one of the model that was logged."""

import json
import math
import os
import sys
import urllib.parse
import urllib.request

import mlflow
import numpy as np
import pandas as pd
import yaml
from mlflow.entities import ViewType

import common
import prepare_digits
import train_digits

problems = []


def check(good, what):
    print(f"  {'ok  ' if good else 'FAIL'}  {what}")
    if not good:
        problems.append(what)


def newest(client, experiment, run_name):
    """The latest finished top-level run of that name."""
    found = client.get_experiment_by_name(experiment)
    if found is None:
        sys.exit(f"experiment {experiment!r} not found: run the training scripts first")
    runs = client.search_runs([found.experiment_id], f"tags.mlflow.runName = '{run_name}' AND attributes.status = 'FINISHED'",
                              order_by=["attributes.start_time DESC"], max_results=1)
    if not runs:
        sys.exit(f"no finished run {run_name!r} in experiment {experiment!r}")
    return runs[0]


def children(client, run, order_by=()):
    return list(client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'",
                                   ViewType.ACTIVE_ONLY, order_by=list(order_by)))


def check_model(run, model_id, name):
    """The loaded model answers what the trained one answered, digit for digit."""
    check_answers(run, f"models:/{model_id}", name)


def check_answers(run, uri, name):
    expected = common.read_json(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="expected.json"))
    model = mlflow.sklearn.load_model(uri)
    columns = getattr(model, "feature_names_in_", None)
    inputs = np.array(expected["inputs"])
    answers = model.predict(inputs if columns is None else pd.DataFrame(inputs, columns=columns))
    check(np.array_equal(answers, np.array(expected["outputs"])), f"{name}: {len(answers)} predictions equal after loading {uri}")


def outputs(run):
    return [m.model_id for m in run.outputs.model_outputs] if run.outputs else []


def check_digits(client):
    run = newest(client, common.DIGITS, "sweep")
    trials = children(client, run, ["metrics.test_accuracy DESC"])
    check(len(trials) == len(train_digits.SWEEP), f"digits: {len(trials)} trials below the sweep")
    accuracy = [t.data.metrics["test_accuracy"] for t in trials]
    check(accuracy == sorted(accuracy, reverse=True), "digits: trials come ordered by accuracy")
    check(run.data.metrics["best_accuracy"] == accuracy[0], "digits: the best accuracy is that of the first trial")
    settings = sorted((t.data.params["hidden"], t.data.params["learning_rate"]) for t in trials)
    check(settings == sorted((str(s["hidden"]), str(s["learning_rate"])) for s in train_digits.SWEEP),
          "digits: parameters of every trial")
    good = client.search_runs([run.info.experiment_id], "metrics.test_accuracy > 0.95 AND params.hidden = '32' AND "
                              f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
    check([t.info.run_id for t in good] == [t.info.run_id for t in trials if t.data.params["hidden"] == "32"],
          "digits: search by metric and parameter")
    for t in trials:
        history = client.get_metric_history(t.info.run_id, "test_loss")
        check([m.step for m in history] == list(range(train_digits.EPOCHS)) and all(math.isfinite(m.value) for m in history)
              and history[-1].value == t.data.metrics["test_loss"], f"digits: history of {t.info.run_name}")
    data = {(d.dataset.name, d.tags[0].value) for d in run.inputs.dataset_inputs}
    check(data == {("digits-train", "training"), ("digits-test", "test")}, "digits: data sets of the sweep")
    check_digits_artifacts(client, run)
    check(len(outputs(run)) == 1, "digits: one model is the output of the sweep")
    check_model(run, outputs(run)[0], "digits")
    check_registered(client, run)
    check_prepared()


def check_registered(client, run):
    """The registry knows what made the champion, and gives it back."""
    version = client.get_model_version_by_alias(common.REGISTERED, common.ALIAS)
    check(version.run_id == run.info.run_id and version.source == f"models:/{outputs(run)[0]}",
          f"digits: {common.REGISTERED} version {version.version} comes from this run")
    check_answers(run, f"models:/{common.REGISTERED}@{common.ALIAS}", "digits")


def check_prepared():
    """The record leads from the champion to the job that prepared its data, and to what that read."""
    query = urllib.parse.urlencode({"node": f"{common.REGISTERED}@{common.ALIAS}"})
    with urllib.request.urlopen(f"{os.environ['MLFLOW_TRACKING_URI']}/api/cairn/v1/lineage?{query}", timeout=60) as answer:
        names = {node["name"] for node in json.load(answer)["nodes"]}
    check(any(name.endswith("digits.csv.gz") for name in names) and prepare_digits.JOB in " ".join(names),
          f"digits: {prepare_digits.JOB} stands behind {common.REGISTERED}@{common.ALIAS}")


def check_digits_artifacts(client, run):
    listed = {f.path for f in client.list_artifacts(run.info.run_id)}
    wanted = {"answers.json", "expected.json", "figures", "report.txt", "sweep.yaml"}
    check(wanted <= listed, f"digits: artifacts {', '.join(sorted(listed))}")
    with open(client.download_artifacts(run.info.run_id, "figures/confusion.png"), "rb") as f:
        check(f.read(8) == b"\x89PNG\r\n\x1a\n", "digits: the figure is a picture")
    with open(client.download_artifacts(run.info.run_id, "sweep.yaml"), encoding="utf-8") as f:
        check(yaml.safe_load(f) == {"epochs": train_digits.EPOCHS, "sweep": train_digits.SWEEP}, "digits: the sweep as YAML")
    text = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/report.txt")
    check("macro avg" in text, "digits: the report")
    table = client.load_table(run.info.experiment_id, "answers.json", run_ids=[run.info.run_id])
    check(list(table.columns) == ["digit", "answer"] and len(table) == 20, "digits: the table of answers")


def check_cancer(client):
    run = newest(client, common.CANCER, "grid search")
    trials = children(client, run)
    check(len(trials) == 4, f"breast cancer: autolog made {len(trials)} child runs")
    best = max(t.data.metrics["mean_test_score"] for t in trials)
    check(run.data.metrics["best_cv_score"] == best, "breast cancer: the best score is that of a child")
    check(len(run.inputs.dataset_inputs) >= 1, "breast cancer: autolog recorded the data")
    for model_id in outputs(run):
        check_model(run, model_id, "breast cancer")
    check(len(outputs(run)) >= 1, "breast cancer: autolog recorded the model")


def check_diabetes(client):
    run = newest(client, common.DIABETES, "gradient boosting")
    history = client.get_metric_history(run.info.run_id, "test_rmse")
    check([m.step for m in history] == list(range(80)), "diabetes: 80 points of the learning curve")
    check(run.data.params["n_estimators"] == "80", "diabetes: autolog recorded the parameters")
    names = {d.dataset.name for d in run.inputs.dataset_inputs}
    check("diabetes-test" in names, "diabetes: data set given as arrays")
    for model_id in outputs(run):
        check_model(run, model_id, "diabetes")
    check(len(outputs(run)) >= 1, "diabetes: autolog recorded the model")


def table_of_runs():
    found = mlflow.search_runs(experiment_names=[common.DIGITS, common.CANCER, common.DIABETES], max_results=25,
                               order_by=["attributes.start_time DESC"])
    rows = [("RUN", "EXPERIMENT", "NAME", "STATUS", "SECONDS", "RESULT")]
    names = {e.experiment_id: e.name for e in mlflow.search_experiments()}
    for _, row in found.iterrows():
        result = next((f"{key} {row['metrics.' + key]:.4f}" for key in
                       ("best_accuracy", "test_accuracy", "best_cv_score", "mean_test_score", "test_rmse")
                       if not math.isnan(row.get("metrics." + key, math.nan))), "")
        rows.append((row["run_id"][-8:], names[row["experiment_id"]], row["tags.mlflow.runName"], row["status"],
                     f"{(row['end_time'] - row['start_time']).total_seconds():.1f}", result))
    width = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    for r in rows:
        print("  " + "  ".join(c.ljust(w) for c, w in zip(r, width)).rstrip())


def main():
    client = common.start()
    check_digits(client)
    check_cancer(client)
    check_diabetes(client)
    print()
    table_of_runs()
    print()
    if problems:
        sys.exit(f"{len(problems)} checks failed")
    print("  everything recorded was read back as it was")


if __name__ == "__main__":
    main()
