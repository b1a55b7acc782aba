"""OpenLineage: events of 2 KB with two inputs and one output, in batches and one at a time, and what they take on disk."""
import json
import time
import uuid

from . import loader
from .servers import Failed

PRODUCER = "https://github.com/OpenLineage/OpenLineage/tree/1.52.0/client/python"


def facet(name, **members):
    return {"_producer": PRODUCER, "_schemaURL": f"https://openlineage.io/spec/facets/1-1-0/{name}.json#/$defs/{name}", **members}


def dataset(number):
    return {"namespace": "postgres://warehouse:5432", "name": f"db.public.table_{number}", "facets": {
        "schema": facet("SchemaDatasetFacet", fields=[{"name": f"column_{i}", "type": "BIGINT"} for i in range(2 + number % 4)])}}


def event(n):
    """The n-th: a START and a COMPLETE of each run; 200 jobs, 300 tables, a run every 20 ms."""
    run, job = n // 2, n // 2 % 200
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(1767225600 + n // 100)) + f".{n % 100:02}Z"
    number = (0x0192 << 112) | (run << 80) | (7 << 76) | (2 << 62) | (run * 2654435761 % (1 << 60))
    return {"eventTime": at, "producer": PRODUCER, "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
            "eventType": "COMPLETE" if n % 2 else "START",
            "run": {"runId": str(uuid.UUID(int=number)), "facets": {"nominalTime": facet("NominalTimeRunFacet", nominalStartTime=at)}},
            "job": {"namespace": "airflow", "name": f"dag_{job // 10}.task_{job}", "facets": {
                "jobType": facet("JobTypeJobFacet", processingType="BATCH", integration="AIRFLOW", jobType="TASK")}},
            "inputs": [dataset(job * 3 % 300), dataset((job * 3 + 1) % 300)], "outputs": [dataset((job * 3 + 2) % 300)]}


def send(server, first, n, of, clients):
    """n events from number `first` on, `of` in a request."""
    lines = [f"POST /api/v1/lineage/batch {json.dumps([event(i) for i in range(at, at + of)])}" for at in range(first, first + n, of)]
    result = loader.requests(server, lines, limit_s=600, answer=True, clients=clients, requests=len(lines))
    if result["bad"] or result["cut"] or result["answer"]["status"] != "success":
        raise Failed(f"{server.name}: events were refused: {result['answer']} {result.get('message', '')}")
    return result


def events(server, sizes):
    """Batches of 100, then one at a time; each event is new."""
    first = sizes["events_from"] = sizes.get("events_from", 0) + 10_000_000
    before = server.disk()["used"]
    many = send(server, first, sizes["events"], 100, 4)
    found = {"rate": sizes["events"] / many["seconds"], "cpu_us_event": (many["cpu_us"] + many["db_cpu_us"]) / 100}
    time.sleep(1.5)  # a server at rest has copied its log
    found["event_bytes"] = (server.disk()["used"] - before) / sizes["events"]
    return found | {"one_ms": send(server, first + sizes["events"], sizes["events_one"], 1, 1)["p50_ms"]}
