"""Handwritten digits, prepared: scikit-learn's table is split into a part to train with and a part to test with.

What is read and written is told as events of OpenLineage, by its own client, as Airflow, Spark and dbt tell theirs."""

import os
from datetime import datetime, timezone
from importlib.resources import files

from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import documentation_job, job_type_job, output_statistics_output_dataset, schema_dataset
from openlineage.client.transport.http import HttpConfig, HttpTransport
from openlineage.client.uuid import generate_new_uuid
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import common

NAMESPACE, JOB = "examples", "digits.prepare"
PRODUCER = "https://scikit-learn.org"


def schema(frame):
    fields = [schema_dataset.SchemaDatasetFacetFields(name=name, type=str(kind)) for name, kind in frame.dtypes.items()]
    return {"schema": schema_dataset.SchemaDatasetFacet(fields=fields)}


def main():
    common.start()
    client = OpenLineageClient(transport=HttpTransport(HttpConfig.from_dict({"type": "http", "url": os.environ["MLFLOW_TRACKING_URI"]})))
    job = Job(NAMESPACE, JOB, facets={
        "documentation": documentation_job.DocumentationJobFacet(description="Splits the digits, every class in the same parts"),
        "jobType": job_type_job.JobTypeJobFacet(processingType="BATCH", integration="SKLEARN")})
    run = Run(str(generate_new_uuid()))
    frame = load_digits(as_frame=True).frame.astype({"target": "int64"})
    inputs = [InputDataset("file", str(files("sklearn.datasets.data") / "digits.csv.gz"), facets=schema(frame))]
    outputs = []

    def tell(state):
        client.emit(RunEvent(eventTime=datetime.now(timezone.utc).isoformat(), eventType=state, run=run, job=job, inputs=inputs,
                             outputs=outputs, producer=PRODUCER))

    tell(RunState.START)
    for path, part in zip(common.PREPARED.values(), train_test_split(frame, test_size=0.25, random_state=7, stratify=frame["target"])):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.to_csv(path, index=False)
        statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=len(part), size=path.stat().st_size)
        outputs.append(OutputDataset("file", str(path), facets=schema(part), outputFacets={"outputStatistics": statistics}))
        print(f"  {path.name}: {len(part)} digits")
    tell(RunState.COMPLETE)
    client.close()
    print(f"  told as run {run.runId} of job {NAMESPACE}/{JOB}")


if __name__ == "__main__":
    main()
