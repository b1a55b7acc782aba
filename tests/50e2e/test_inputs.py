"""Datasets and models as inputs and outputs."""

import mlflow
import pandas as pd
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import LoggedModelInput, LoggedModelOutput


def frame():
    return pd.DataFrame({"x": [1.0, 2.0, 3.0], "label": ["a", "b", "c"]})


def test_log_input(tracking):
    data = from_pandas(frame(), source="https://example.org/data.csv", name="small", targets="label")
    with mlflow.start_run() as run:
        mlflow.log_input(data, context="training", tags={"split": "1"})
        mlflow.log_input(data, context="training")
    got = mlflow.get_run(run.info.run_id).inputs.dataset_inputs
    assert len(got) == 1
    assert got[0].dataset.name == "small" and got[0].dataset.digest == data.digest
    assert {t.key: t.value for t in got[0].tags} == {"mlflow.data.context": "training", "split": "1"}
    assert mlflow.data.get_source(got[0]).url == "https://example.org/data.csv"
    assert '"num_rows": 3' in got[0].dataset.profile
    found = mlflow.search_runs(filter_string="dataset.name = 'small' AND dataset.context = 'training'", output_format="list")
    assert [r.info.run_id for r in found] == [run.info.run_id]
    assert found[0].inputs.dataset_inputs[0].dataset.digest == data.digest


def test_log_inputs_of_several(tracking):
    sets = [from_pandas(frame() * i if i == 1 else frame().head(i), name=f"d{i}") for i in (1, 2, 3)]
    with mlflow.start_run() as run:
        mlflow.log_inputs(sets, contexts=["train", "test", "valid"], tags_list=[None, None, {"a": "b"}])
    got = mlflow.get_run(run.info.run_id).inputs.dataset_inputs
    assert {d.dataset.name for d in got} == {"d1", "d2", "d3"}


def test_models_as_inputs_and_outputs(client, exp, run):
    model = client.create_logged_model(exp, name="m", source_run_id=run)
    client.log_outputs(run, models=[LoggedModelOutput(model.model_id, step=4)])
    other = client.create_run(exp).info.run_id
    client.log_inputs(other, models=[LoggedModelInput(model.model_id)])
    outputs = client.get_run(run).outputs.model_outputs
    assert [(m.model_id, m.step) for m in outputs] == [(model.model_id, 4)]
    assert [m.model_id for m in client.get_run(other).inputs.model_inputs] == [model.model_id]


def test_search_datasets(client, exp, run, rest):
    data = from_pandas(frame(), name="seen")
    from mlflow.entities import DatasetInput, InputTag
    client.log_inputs(run, [DatasetInput(data._to_mlflow_entity(), [InputTag("mlflow.data.context", "eval")])])
    answer = rest.post("/ajax-api/2.0/mlflow/experiments/search-datasets", json={"experiment_ids": [exp]}).json()
    assert answer["dataset_summaries"] == [{"experiment_id": exp, "name": "seen", "digest": data.digest, "context": "eval"}]
