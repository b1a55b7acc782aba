"""Unmodified clients of OpenLineage send events, and the read API answers what they said: openlineage-python (both HTTP transports, plain and
gzip), openlineage-java, and what Airflow's provider and dbt's package have written (tests/vectors/openlineage)."""

import json
import subprocess
import uuid
from urllib.parse import quote

import pytest
import requests

import cairn
from registry_worker import worker_of

pytestmark = pytest.mark.cairn_only

SETUP = """
from openlineage.client import OpenLineageClient
from openlineage.client.client import OpenLineageClientOptions
from openlineage.client.event_v2 import DatasetEvent, InputDataset, Job, JobEvent, OutputDataset, Run, RunEvent, RunState, StaticDataset
from openlineage.client.facet_v2 import column_lineage_dataset, documentation_job, error_message_run, parent_run, schema_dataset
from openlineage.client.transport.async_http import AsyncHttpConfig, AsyncHttpTransport
from openlineage.client.transport.http import HttpCompression, HttpConfig, HttpTransport

def transport(kind, url, gzip):
    config = {"url": url, "type": kind, **({"compression": "gzip"} if gzip else {})}
    return HttpTransport(HttpConfig.from_dict(config)) if kind == "http" else AsyncHttpTransport(AsyncHttpConfig.from_dict(config))

def send(kind, url, gzip, space, run):
    client = OpenLineageClient(transport=transport(kind, url, gzip))
    fields = schema_dataset.SchemaDatasetFacet(fields=[schema_dataset.SchemaDatasetFacetFields(name="id", type="int")])
    made = column_lineage_dataset.ColumnLineageDatasetFacet(fields={"id": column_lineage_dataset.Fields(inputFields=[
        column_lineage_dataset.InputField(namespace="file", name=f"/{space}/in", field="id")])})
    job = Job(namespace=space, name="copy", facets={"documentation": documentation_job.DocumentationJobFacet(description="Copies")})
    ins = [InputDataset(namespace="file", name=f"/{space}/in", facets={"schema": fields})]
    outs = [OutputDataset(namespace="file", name=f"/{space}/out", facets={"schema": fields, "columnLineage": made})]
    for at, state in (("2026-03-01T10:00:00Z", RunState.START), ("2026-03-01T10:00:05.5+00:00", RunState.COMPLETE)):
        client.emit(RunEvent(eventType=state, eventTime=at, run=Run(runId=run), job=job, inputs=ins, outputs=outs, producer="https://example.org"))
    client.emit(JobEvent(eventTime="2026-03-01T10:00:00Z", job=Job(namespace=space, name="designed"), inputs=ins, outputs=[], producer="https://example.org"))
    client.emit(DatasetEvent(eventTime="2026-03-01T10:00:00Z", dataset=StaticDataset(namespace="file", name=f"/{space}/told", facets={"schema": fields}),
                             producer="https://example.org"))
    return client.close(60.0)
"""


@pytest.fixture(scope="module")
def worker():
    yield from worker_of("openlineage", SETUP)


class Reader:
    def __init__(self, server):
        self.url = server.url + "/api/v1"

    def get(self, path, **params):
        got = requests.get(self.url + path, params=params, timeout=60)
        assert got.status_code == 200, got.text
        return got.json()

    def job(self, space, name):
        return self.get(f"/namespaces/{quote(space, safe='')}/jobs/{quote(name, safe='')}")

    def replay(self, name):
        """The events of a file, one by one; how many."""
        lines = (cairn.ROOT / "tests/vectors/openlineage" / name).read_text().splitlines()
        with requests.Session() as session:
            for line in lines:
                got = session.post(self.url + "/lineage", data=line, headers={"Content-Type": "application/json"}, timeout=60)
                assert got.status_code in (200, 201), got.text
        return [json.loads(line) for line in lines]


@pytest.fixture
def reader(server):
    return Reader(server)


@pytest.mark.parametrize("kind", ["http", "async_http"])
@pytest.mark.parametrize("gzip", [False, True])
def test_python(worker, reader, server, kind, gzip):
    space, run = f"python-{uuid.uuid4().hex[:8]}", str(uuid.uuid4())
    assert worker.run("result = send(kind, url, gzip, space, run)", kind=kind, url=server.url, gzip=gzip, space=space, run=run)
    job = reader.job(space, "copy")
    assert (job["description"], job["latestRun"]["id"], job["latestRun"]["state"], job["latestRun"]["durationMs"]) == ("Copies", run, "COMPLETED", 5500)
    assert [i["name"] for i in job["inputs"] + job["outputs"]] == [f"/{space}/in", f"/{space}/out"]
    assert reader.job(space, "designed")["inputs"][0]["name"] == f"/{space}/in"
    columns = reader.get("/column-lineage", nodeId=f"dataset:file:/{space}/out")["graph"]
    assert [n["data"]["dataset"] for n in columns] == [f"/{space}/in", f"/{space}/out"]
    told = reader.get(f"/namespaces/file/datasets/{quote(f'/{space}/told', safe='')}")
    assert told["fields"] == [{"name": "id", "type": "int", "tags": []}]


def test_java(reader, server, tmp_path):
    made = subprocess.run([cairn.ROOT / "tools/javaenv", "openlineage-java"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if made.returncode == 3:
        pytest.skip("mvn and javac are not installed")
    assert made.returncode == 0, made.stderr
    jars = made.stdout.strip() + "/*"
    subprocess.run(["javac", "-cp", jars, "-d", tmp_path, cairn.ROOT / "tests/lib/OpenLineageSends.java"], check=True, timeout=300)
    for url, how in ((server.url, "plain"), (server.url + "/api/v1/lineage", "gzip")):   # a base, and a whole URL
        run = str(uuid.uuid4())
        sent = subprocess.run(["java", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}:{tmp_path}", "OpenLineageSends", url, how, run],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)
        assert sent.returncode == 0, sent.stderr
        first, last = sent.stdout.splitlines()
        assert first.startswith("refused: ") and "job.namespace" in first and last == "sent"
        job = reader.job("spark", "app.command.table")
        assert (job["latestRun"]["state"], job["latestRun"]["durationMs"]) == ("COMPLETED", 7000)
        assert reader.get("/jobs/runs/" + run)["outputDatasetVersions"][0]["datasetVersionId"]["name"] == "out/b"
    nodes = [n["id"] for n in reader.get("/lineage", nodeId="dataset:s3://bucket:out/b")["graph"]]
    assert "job:spark:app.command.table" in nodes and "dataset:s3://bucket:in/a" in nodes
    assert reader.job("spark", "designed")["inputs"] == [{"namespace": "s3://bucket", "name": "in/a"}]


def test_airflow(reader):
    events = reader.replay("airflow.jsonl")
    jobs = reader.get("/namespaces/airflow%20prod/jobs")["jobs"]
    assert [j["name"] for j in jobs] == ["daily", "daily.broken", "daily.clean", "daily.python", "daily.shell"]
    clean = reader.job("airflow prod", "daily.clean")
    assert (clean["simpleName"], clean["parentJobName"], clean["description"]) == ("clean", "daily", "Totals of a day")
    assert clean["tags"] == ["finance"] and clean["latestRun"]["state"] == "COMPLETED" and "sql" in clean["facets"]
    broken = reader.job("airflow prod", "daily.broken")["latestRun"]
    assert broken["state"] == "FAILED" and broken["facets"]["errorMessage"]["message"] == "no such table"
    assert broken["nominalStartTime"] == "2026-01-01T00:00:00.000Z"
    db = "postgres://db:5432"
    columns = {n["data"]["dataset"]: n for n in reader.get("/column-lineage", nodeId=f"datasetField:{db}:shop.public.totals:total")["graph"]}
    assert list(columns) == ["shop.public.orders", "shop.public.orders_clean", "shop.public.totals"]
    assert columns["shop.public.totals"]["data"]["inputFields"][0]["transformationDescription"] == "copied"
    # what was kept is what was sent, and to send it again changes nothing
    before = reader.get("/jobs/runs/" + broken["id"]), reader.get("/lineage", nodeId=f"dataset:{db}:shop.public.orders")
    reader.replay("airflow.jsonl")
    assert before == (reader.get("/jobs/runs/" + broken["id"]), reader.get("/lineage", nodeId=f"dataset:{db}:shop.public.orders"))
    first, last = min(e["eventTime"] for e in events), max(e["eventTime"] for e in events)
    kept = reader.get("/events/lineage", after=first.replace("+00:00", "Z"), before=last.replace("+00:00", "Z"), sortDirection="asc")["events"]
    mine = [e for e in kept if e["job"]["namespace"] == "airflow prod"]
    assert mine == sorted((e for e in events if e["eventTime"] < last), key=lambda e: e["eventTime"])


def test_dbt(reader):
    reader.replay("dbt.jsonl")
    db = "duckdb://shop.duckdb"
    names = [n["id"] for n in reader.get("/lineage", nodeId=f"dataset:{db}:shop.main.totals")["graph"]]
    jobs = ["shop.main.shop.staged.build.run", "shop.main.shop.totals.build.run", "shop.main.shop.totals.build.test"]
    assert names == [f"dataset:{db}:shop.main.staged", f"dataset:{db}:shop.main.totals"] + ["job:dbt:" + j for j in jobs]
    totals = reader.get(f"/namespaces/{quote(db, safe='')}/datasets/shop.main.totals")
    assert totals["description"] == "What each customer spent" and [f["name"] for f in totals["fields"]] == ["customer", "total"]
    test = reader.job("dbt", jobs[2])["latestRun"]
    facets = reader.get(f"/jobs/runs/{test['id']}")["inputDatasetVersions"][0]["facets"]
    assert {a["assertion"] for a in facets["dataQualityAssertions"]["assertions"]} == {"unique", "not_null"}
    assert reader.get(f"/jobs/runs/{test['id']}/facets", type="job")["facets"]["jobType"]["integration"] == "DBT"
