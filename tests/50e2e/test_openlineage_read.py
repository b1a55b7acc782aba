"""The read API of OpenLineage: every call that user interfaces make, over events that are sent first."""

import copy
import re
import uuid
from urllib.parse import quote

import pytest
import requests

pytestmark = pytest.mark.cairn_only

PRODUCER = "https://example.org/tests"
SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"


def facet(**members):
    return {"_producer": PRODUCER, "_schemaURL": "https://openlineage.io/spec/facets/1-0-0/F.json#/$defs/F", **members}


def fields(*names):
    return {"schema": facet(fields=[{"name": n, "type": "int", "description": f"the {n}"} for n in names])}


def made_of(ns, name, *pairs):
    made = {}
    for of, to, kind in pairs:
        made.setdefault(to, {"inputFields": []})["inputFields"].append({
            "namespace": ns, "name": name, "field": of,
            "transformations": [{"type": "DIRECT", "subtype": kind, "description": f"{of} to {to}"}]})
    return {"columnLineage": facet(fields=made)}


class Told:
    """A small world of its own: raw -> load -> clean -> train, by jobs of one namespace on data of another."""

    def __init__(self, url):
        self.url = url + "/api/v1"
        self.session = requests.Session()
        tag = uuid.uuid4().hex[:10]
        self.jobs, self.db = f"team:{tag}", f"s3://b:{tag}"
        self.runs = {}

    def send(self, event, status=201):
        got = self.session.post(self.url + "/lineage", json=event, timeout=60)
        assert got.status_code == status, got.text

    def run(self, job, minute, inputs=(), outputs=(), end="COMPLETE", run_facets=None, job_facets=None, run=None):
        run = run or str(uuid.uuid4())
        self.runs[job] = run
        event = {"eventTime": f"2026-03-01T10:{minute:02}:00Z", "producer": PRODUCER, "schemaURL": SCHEMA,
                 "run": {"runId": run, "facets": run_facets or {}}, "job": {"namespace": self.jobs, "name": job, "facets": job_facets or {}},
                 "inputs": list(inputs), "outputs": list(outputs)}
        self.send({**event, "eventType": "START"})
        if end:
            self.send({**event, "eventType": end, "eventTime": f"2026-03-01T10:{minute:02}:30.250Z"})
        return run

    def data(self, name, facets=None, **more):
        return {"namespace": self.db, "name": name, "facets": facets or {}, **more}

    def get(self, path, status=200, **params):
        got = self.session.get(self.url + path, params=params, timeout=60)
        assert got.status_code == status, got.text
        return got.json()

    def at(self, *names):
        return "/namespaces/" + "/".join(quote(n, safe="") for n in names)

    def node(self, kind, name):
        return f"{kind}:{self.jobs if kind == 'job' else self.db}:{name}"


@pytest.fixture
def told(server):
    t = Told(server.url)
    t.run("dag.load", 1, [t.data("raw", fields("id", "x"))], [t.data("dir/loaded", {**fields("id", "y"), **made_of(
        t.db, "raw", ("id", "id", "IDENTITY"), ("x", "y", "AGGREGATION"))})],
          job_facets={"documentation": facet(description="Loads"), "sourceCodeLocation": facet(type="git", url="https://g/x"),
                      "jobType": facet(processingType="BATCH", integration="SPARK"), "tags": facet(tags=[{"key": "tier", "value": "gold"}])},
          run_facets={"parent": facet(run={"runId": str(uuid.uuid4())}, job={"namespace": t.jobs, "name": "dag"}),
                      "nominalTime": facet(nominalStartTime="2026-03-01T10:00:00Z"), "own": facet(deep={"a": [1, None]})})
    t.run("clean", 2, [t.data("dir/loaded", inputFacets={"inputStatistics": facet(rowCount=7)})],
          [t.data("clean:it", {**fields("id"), **made_of(t.db, "dir/loaded", ("id", "id", "IDENTITY"), ("y", "id", "FILTER"))},
                  outputFacets={"outputStatistics": facet(rowCount=5)})])
    t.run("train", 3, [t.data("clean:it")], [t.data("model", {"datasetType": facet(datasetType="MODEL")})], end="FAIL")
    yield t
    t.session.close()


ISO = re.compile(r"2026-03-01T10:0\d:\d\d\.\d{3}(\d{3})?Z")


def test_namespaces_and_sources(told):
    one = told.get(told.at(told.jobs))
    assert one == {"name": told.jobs, "createdAt": "2026-03-01T10:01:00.000Z", "updatedAt": "2026-03-01T10:03:30.250Z",
                   "ownerName": "anonymous", "description": "", "isHidden": False}
    names = [n["name"] for n in told.get("/namespaces", limit=1000)["namespaces"]]
    assert told.jobs in names and told.db in names and names == sorted(names)
    source = told.get("/sources/" + quote(told.db, safe=""))
    assert (source["type"], source["name"], source["connectionUrl"]) == ("S3", told.db, told.db)
    names = [n["name"] for n in told.get("/sources", limit=1000)["sources"]]
    assert told.db in names and told.jobs not in names
    assert told.get(told.at("nobody"), status=404) == {"code": 404, "message": "Namespace 'nobody' not found.", "field": "namespace"}
    assert told.get("/sources/nobody", status=404)["code"] == 404


def test_datasets(told):
    listed = told.get(told.at(told.db, "datasets"))
    assert listed["totalCount"] == 4
    assert [d["name"] for d in listed["datasets"]] == ["clean:it", "dir/loaded", "model", "raw"]
    page = told.get(told.at(told.db, "datasets"), limit=2, offset=1)
    assert [d["name"] for d in page["datasets"]] == ["dir/loaded", "model"] and page["totalCount"] == 4
    assert told.get(told.at(told.db, "datasets"), limit=0)["datasets"] == []
    one = told.get(told.at(told.db, "datasets", "dir/loaded"))
    assert one["id"] == {"namespace": told.db, "name": "dir/loaded"}
    assert (one["type"], one["physicalName"], one["sourceName"], one["namespace"]) == ("DB_TABLE", "dir/loaded", told.db, told.db)
    assert one["fields"] == [{"name": n, "type": "int", "tags": [], "description": f"the {n}"} for n in ("id", "y")]
    assert one["tags"] == [] and one["deleted"] is False and one["lastLifecycleState"] == ""
    assert ISO.fullmatch(one["createdAt"]) and ISO.fullmatch(one["updatedAt"]) and ISO.fullmatch(one["lastModifiedAt"])
    assert set(one["facets"]) == {"schema", "columnLineage"}
    assert one["columnLineage"][1] == {"name": "y", "inputFields": [{
        "namespace": told.db, "dataset": "raw", "field": "x", "transformationDescription": "x to y", "transformationType": "AGGREGATION"}]}
    assert told.get(told.at(told.db, "datasets", "none"), status=404)["message"] == "Dataset 'none' not found."


def test_versions_of_a_dataset(told):
    path = told.at(told.db, "datasets", "dir/loaded")
    versions = told.get(path + "/versions")
    assert versions["totalCount"] == 1
    one = versions["versions"][0]
    assert one["version"] == told.get(path)["currentVersion"] and one["createdByRun"]["id"] == told.runs["dag.load"]
    assert one["id"] == {"namespace": told.db, "name": "dir/loaded", "version": one["version"]}
    assert [f["name"] for f in one["fields"]] == ["id", "y"] and "schema" in one["facets"]
    assert told.get(f"{path}/versions/{one['version']}") == one
    told.run("dag.load", 9, [told.data("raw")], [told.data("dir/loaded", {**fields("id"), "version": facet(datasetVersion="v9")})])
    two = told.get(path + "/versions")["versions"]
    assert [v.get("externalVersion") for v in two] == ["v9", None] and two[0]["createdByRun"]["id"] == told.runs["dag.load"]
    assert [[f["name"] for f in v["fields"]] for v in two] == [["id"], ["id", "y"]]
    assert told.get(path + "/versions", limit=1, offset=1)["versions"] == two[1:]
    assert told.get(f"{path}/versions/{uuid.uuid4()}", status=404)["code"] == 404
    other = told.get(told.at(told.db, "datasets", "clean:it"))["currentVersion"]
    assert told.get(f"{path}/versions/{other}", status=404)["field"] == "version"


def test_jobs(told):
    listed = told.get(told.at(told.jobs, "jobs"))
    assert [j["name"] for j in listed["jobs"]] == ["clean", "dag", "dag.load", "train"] and listed["totalCount"] == 4
    one = told.get(told.at(told.jobs, "jobs", "dag.load"))
    assert one["id"] == {"namespace": told.jobs, "name": "dag.load"}
    assert (one["type"], one["simpleName"], one["parentJobName"]) == ("BATCH", "load", "dag")
    assert (one["description"], one["location"], one["tags"], one["labels"]) == ("Loads", "https://g/x", ["tier:gold"], [])
    assert one["inputs"] == [{"namespace": told.db, "name": "raw"}] and one["outputs"] == [{"namespace": told.db, "name": "dir/loaded"}]
    assert one["latestRun"]["id"] == told.runs["dag.load"] and [r["id"] for r in one["latestRuns"]] == [told.runs["dag.load"]]
    assert set(one["facets"]) == {"documentation", "sourceCodeLocation", "jobType", "tags"}
    plain = told.get(told.at(told.jobs, "jobs", "train"))
    assert "description" not in plain and "parentJobName" not in plain and plain["latestRun"]["state"] == "FAILED"
    assert told.get(told.at(told.jobs, "jobs", "none"), status=404)["message"] == "Job 'none' not found."
    everywhere = told.get("/jobs", limit=1000)
    assert everywhere["totalCount"] == len(everywhere["jobs"]) or everywhere["totalCount"] > 1000
    times = [j["updatedAt"] for j in everywhere["jobs"]]
    assert times == sorted(times, reverse=True)


def test_jobs_by_state_of_their_last_run(told):
    def names(**params):
        got = told.get(told.at(told.jobs, "jobs"), **params)
        assert got["totalCount"] == len(got["jobs"])
        return [j["name"] for j in got["jobs"]]

    assert names(lastRunStates="FAILED") == ["train"]
    assert names(lastRunStates=["completed", "Failed"]) == ["clean", "dag.load", "train"]
    assert names(lastRunStates="RUNNING") == []
    told.run("stream", 5, end=None)
    assert names(lastRunStates="RUNNING") == ["stream"]
    told.run("stream", 6, end="ABORT")
    assert names(lastRunStates="ABORTED") == ["stream"]
    every = told.get("/jobs", lastRunStates="ABORTED", limit=1000)
    assert "stream" in [j["name"] for j in every["jobs"]] and all(j["latestRun"]["state"] == "ABORTED" for j in every["jobs"])
    assert told.get("/jobs", status=400, lastRunStates="DONE")["field"] == "lastRunStates"


def test_versions_of_a_job(told):
    path = told.at(told.jobs, "jobs", "clean")
    first = told.get(path + "/versions")
    assert first["totalCount"] == 1 and first["versions"][0]["version"] == told.get(path)["currentVersion"]
    told.run("clean", 7, [told.data("dir/loaded"), told.data("more")], [told.data("clean:it")])
    versions = told.get(path + "/versions")["versions"]
    assert [[i["name"] for i in v["inputs"]] for v in versions] == [["dir/loaded", "more"], ["dir/loaded"]]
    assert versions[0]["latestRun"]["id"] == told.runs["clean"] and versions[0]["version"] == told.get(path)["currentVersion"]
    assert versions[1] == first["versions"][0]
    assert told.get(f"{path}/versions/{versions[0]['version']}") == versions[0]
    told.run("clean", 8, [told.data("dir/loaded")], [told.data("clean:it")])     # as the first time: no new version
    again = told.get(path + "/versions")["versions"]
    assert [v["version"] for v in again] == [versions[1]["version"], versions[0]["version"]]
    assert again[0]["createdAt"] == "2026-03-01T10:02:00.000Z"
    assert told.get(f"{path}/versions/{uuid.uuid4()}", status=404)["field"] == "version"


def test_runs(told):
    run = told.get("/jobs/runs/" + told.runs["dag.load"])
    assert (run["id"], run["state"], run["durationMs"]) == (told.runs["dag.load"], "COMPLETED", 30250)
    assert run["startedAt"] == "2026-03-01T10:01:00.000Z" and run["endedAt"] == "2026-03-01T10:01:30.250Z"
    assert run["nominalStartTime"] == "2026-03-01T10:00:00.000Z" and "nominalEndTime" not in run and run["args"] == {}
    assert run["jobVersion"]["name"] == "dag.load" and run["facets"]["own"]["deep"] == {"a": [1, None]}
    assert [v["datasetVersionId"]["name"] for v in run["outputDatasetVersions"]] == ["dir/loaded"]
    clean = told.get("/jobs/runs/" + told.runs["clean"])
    assert clean["inputDatasetVersions"][0]["facets"]["inputStatistics"]["rowCount"] == 7
    assert clean["outputDatasetVersions"][0]["facets"]["outputStatistics"]["rowCount"] == 5
    assert clean["inputDatasetVersions"][0]["datasetVersionId"] == run["outputDatasetVersions"][0]["datasetVersionId"]
    second = told.run("clean", 9, [told.data("dir/loaded")], end=None)
    listed = told.get(told.at(told.jobs, "jobs", "clean", "runs"))
    assert [r["id"] for r in listed["runs"]] == [second, clean["id"]] and listed["totalCount"] == 2
    assert listed["runs"][0]["state"] == "RUNNING" and "endedAt" not in listed["runs"][0]
    assert told.get(told.at(told.jobs, "jobs", "clean", "runs"), limit=1, offset=1)["runs"] == [clean]
    assert told.get(f"/jobs/runs/{uuid.uuid4()}", status=404)["field"] == "runId"
    told.run("odd", 9, run="run number 7")
    odd = told.get("/jobs/runs/run%20number%207")
    assert odd["externalId"] == "run number 7" and told.get("/jobs/runs/" + odd["id"]) == odd


def test_facets_of_a_run(told):
    path = f"/jobs/runs/{told.runs['dag.load']}/facets"
    got = told.get(path, type="run")
    assert got["runId"] == told.runs["dag.load"] and set(got["facets"]) == {"parent", "nominalTime", "own"}
    assert set(told.get(path, type="job")["facets"]) == {"documentation", "sourceCodeLocation", "jobType", "tags"}
    assert set(told.get(path, type="DATASET")["facets"]) == {"raw", "dir/loaded"}
    assert told.get(path, status=400, type="x")["field"] == "type"
    assert told.get(path, status=400)["code"] == 400


def edges(graph):
    inside = sorted((e["origin"], e["destination"]) for n in graph for e in n["inEdges"])
    assert inside == sorted((e["origin"], e["destination"]) for n in graph for e in n["outEdges"])
    assert all(e["destination"] == n["id"] for n in graph for e in n["inEdges"])
    assert [n["id"] for n in graph] == sorted(n["id"] for n in graph)
    return inside


def test_lineage(told):
    whole = told.get("/lineage/", nodeId=told.node("job", "clean"))
    chain = [told.node("dataset", "raw"), told.node("job", "dag.load"), told.node("dataset", "dir/loaded"), told.node("job", "clean"),
             told.node("dataset", "clean:it"), told.node("job", "train"), told.node("dataset", "model")]
    assert edges(whole["graph"]) == sorted(zip(chain, chain[1:])) and "partial" not in whole
    nodes = {n["id"]: n for n in whole["graph"]}
    job, data = nodes[told.node("job", "train")], nodes[told.node("dataset", "dir/loaded")]
    assert (job["type"], data["type"]) == ("JOB", "DATASET")
    assert job["data"]["latestRun"]["state"] == "FAILED" and job["data"]["inputs"] == [{"namespace": told.db, "name": "clean:it"}]
    assert data["data"]["fields"][1]["name"] == "y" and "facets" not in data["data"]
    for start in ("raw", "dir/loaded", "model"):
        assert told.get("/lineage", nodeId=told.node("dataset", start)) == whole
    assert told.get("/lineage", nodeId="run:" + told.runs["clean"]) == whole
    version = told.get(told.at(told.db, "datasets", "model"))["currentVersion"]
    assert told.get("/lineage", nodeId=told.node("dataset", "model") + "#" + version) == whole
    # depth counts from job to job; every job has all that it reads and writes
    assert [n["id"] for n in told.get("/lineage", nodeId=told.node("job", "dag.load"), depth=0)["graph"]] == sorted(chain[:3])
    assert [n["id"] for n in told.get("/lineage", nodeId=told.node("job", "dag.load"), depth=1)["graph"]] == sorted(chain[:5])
    assert [n["id"] for n in told.get("/lineage", nodeId=told.node("dataset", "raw"), depth=0)["graph"]] == sorted(chain[:3])
    some = told.get("/lineage", nodeId=told.node("job", "clean"), maxNodes=3)
    assert some["partial"] is True and len(some["graph"]) == 3 and told.node("job", "clean") in {n["id"] for n in some["graph"]}
    assert edges(some["graph"])


def test_lineage_of_what_stands_alone_and_of_nothing(told):
    told.send({"eventTime": "2026-03-01T11:00:00Z", "producer": PRODUCER, "schemaURL": SCHEMA.replace("Run", "Dataset"),
               "dataset": told.data("alone", fields("a"))})
    alone = told.get("/lineage", nodeId=told.node("dataset", "alone"))["graph"]
    assert [(n["id"], n["inEdges"], n["outEdges"]) for n in alone] == [(told.node("dataset", "alone"), [], [])]
    assert told.get("/lineage", status=404, nodeId=told.node("dataset", "nothing"))["field"] == "nodeId"
    for bad in ("model", "table:a:b", ""):
        assert told.get("/lineage", status=400, nodeId=bad)["code"] == 400
    assert told.get("/lineage", status=400)["code"] == 400
    told.run("loop", 20, [told.data("self")], [told.data("self")])
    loop = told.get("/lineage", nodeId=told.node("job", "loop"))["graph"]
    assert edges(loop) == sorted([(told.node("dataset", "self"), told.node("job", "loop")), (told.node("job", "loop"), told.node("dataset", "self"))])


def test_names_with_colons_are_split_where_something_is(told):
    """A namespace that another one begins with, and names that begin like the rest of it."""
    long = told.db + ":tables"
    data = {"namespace": long, "name": "a:b", "facets": fields("c:d")}
    told.run("colons", 30, [data, told.data("tables:only")], [told.data("tables:a:b")])
    got = told.get("/lineage", nodeId=f"dataset:{long}:a:b", depth=0)["graph"]
    assert {n["data"]["namespace"] for n in got if n["type"] == "DATASET"} == {told.db, long}
    start = told.get("/column-lineage", nodeId=f"datasetField:{long}:a:b:c:d")
    assert start["graph"] == []                     # a column of which nobody said what it is made of
    only = told.get("/search", q="tables:only")["results"]
    assert told.get("/lineage", nodeId=[r["nodeId"] for r in only if r["namespace"] == told.db][0])["graph"]
    assert told.get("/lineage", status=404, nodeId=f"dataset:{long}:only:x")


def test_what_a_job_does_now(told):
    """What its newest run says; of a side that it does not name yet, what was so before."""
    told.run("clean", 11, [told.data("other")], [], end=None)
    now = told.get(told.at(told.jobs, "jobs", "clean"))
    assert [i["name"] for i in now["inputs"]] == ["other"] and [o["name"] for o in now["outputs"]] == ["clean:it"]
    graph = told.get("/lineage", nodeId=told.node("job", "clean"))["graph"]
    assert told.node("dataset", "dir/loaded") not in {n["id"] for n in graph}


def test_column_lineage(told):
    def of(name, **params):
        graph = told.get("/column-lineage", nodeId=name, **params)["graph"]
        assert [n["id"] for n in graph] == sorted(n["id"] for n in graph) and all(n["type"] == "DATASET_FIELD" for n in graph)
        return {n["id"].split(told.db + ":")[1]: n for n in graph}

    up = of(told.node("dataset", "clean:it"))
    assert set(up) == {"clean:it:id", "dir/loaded:id", "dir/loaded:y", "raw:id", "raw:x"}
    node = up["clean:it:id"]
    version = told.get(told.at(told.db, "datasets", "clean:it"))["currentVersion"]
    data = node["data"]
    assert (data["namespace"], data["dataset"], data["datasetVersion"], data["field"], data["fieldType"]) == (told.db, "clean:it", version, "id", "int")
    kinds = {i["field"]: (i["dataset"], i["transformationType"], i["transformationDescription"]) for i in data["inputFields"]}
    assert kinds == {"id": ("dir/loaded", "IDENTITY", "id to id"), "y": ("dir/loaded", "FILTER", "y to id")}
    assert {e["origin"] for e in node["inEdges"]} == {node["id"]} and len(node["inEdges"]) == 2    # as Marquez has them
    assert node["outEdges"] == []
    assert set(of(told.node("dataset", "clean:it"), depth=1)) == {"clean:it:id", "dir/loaded:id", "dir/loaded:y"}
    column = told.node("datasetField", "raw:x").replace("datasetField:" + told.jobs, "datasetField:" + told.db)
    assert set(of(column)) == {"raw:x"}
    assert set(of(column, withDownstream="true")) == {"raw:x", "dir/loaded:y", "clean:it:id"}
    assert set(of(told.node("job", "dag.load"))) == {"dir/loaded:id", "dir/loaded:y", "raw:id", "raw:x"}
    assert told.get("/column-lineage", status=404, nodeId=f"datasetField:{told.db}:raw:none")["code"] == 404
    some = told.get("/column-lineage", nodeId=told.node("dataset", "clean:it"), maxNodes=2)
    assert some["partial"] is True and len(some["graph"]) == 2


def test_runs_upstream(told):
    runs = told.get("/runlineage/upstream", runId=told.runs["train"])["runs"]
    assert [r["run"]["id"] for r in runs] == [told.runs["train"], told.runs["clean"], told.runs["dag.load"]]
    assert [r["job"]["name"] for r in runs] == ["train", "clean", "dag.load"] and runs[0]["run"]["status"] == "FAILED"
    assert runs[0]["inputs"][0]["producedByRunId"] == told.runs["clean"]
    assert runs[1]["inputs"][0]["version"] == told.get(told.at(told.db, "datasets", "dir/loaded"))["currentVersion"]
    assert runs[2]["inputs"][0]["name"] == "raw" and "producedByRunId" not in runs[2]["inputs"][0]
    assert runs[2]["run"]["start"] == "2026-03-01T10:01:00.000Z" and runs[2]["run"]["end"] == "2026-03-01T10:01:30.250Z"
    assert len(told.get("/runlineage/upstream", runId=told.runs["train"], depth=1)["runs"]) == 2
    assert told.get("/runlineage/upstream", status=404, runId=str(uuid.uuid4()))["field"] == "runId"


def test_search(told):
    def hits(**params):
        got = told.get("/search/", namespace=told.db if params.pop("data", True) else told.jobs, **params)
        assert got["totalCount"] >= len(got["results"])
        return [r["name"] for r in got["results"]]

    assert hits(q="LE") == ["clean:it"]
    assert hits(q="") == ["clean:it", "dir/loaded", "model", "raw"]
    assert hits(q="a", sort="UPDATED_AT") == ["clean:it", "dir/loaded", "raw"]
    assert hits(q="", limit=2) == ["clean:it", "dir/loaded"]
    assert hits(q="", data=False, filter="JOB") == ["clean", "dag", "dag.load", "train"]
    assert hits(q="", filter="job") == [] and hits(q="a%", data=False) == []
    assert hits(q="", after="2026-03-01", before="2026-03-02") == hits(q="") and hits(q="", before="2026-03-01") == []
    one = told.get("/search", q="dir/lo", namespace=told.db)["results"][0]
    assert one == {"type": "DATASET", "name": "dir/loaded", "updatedAt": "2026-03-01T10:02:30.250Z", "namespace": told.db,
                   "nodeId": told.node("dataset", "dir/loaded")}
    assert told.get("/search", q="x", namespace="nobody") == {"totalCount": 0, "results": []}
    for bad in ({"filter": "run"}, {"sort": "size"}, {"after": "yesterday"}):
        assert told.get("/search", status=400, q="x", **bad)["field"] == next(iter(bad))


def test_what_is_too_much_is_told(told):
    """A facet that many runs share is read once, and counted as often as it is shown."""
    event = {"producer": PRODUCER, "schemaURL": SCHEMA, "eventType": "COMPLETE", "job": {"namespace": told.jobs, "name": "large"}, "inputs": [], "outputs": []}
    large = {"large": facet(text="x" * 1_500_000)}
    for part in range(10):
        got = told.session.post(told.url + "/lineage/batch", timeout=60, json=[
            {**event, "eventTime": f"2026-03-01T11:{part:02}:0{i}Z", "run": {"runId": str(uuid.uuid4()), "facets": large}} for i in range(5)])
        assert got.status_code in (200, 201), got.text
    path = told.at(told.jobs, "jobs", "large", "runs")
    assert len(told.get(path, limit=2)["runs"]) == 2
    got = told.session.get(told.url + path, params={"limit": 50}, timeout=60)
    assert got.status_code in (400, 413) and "ask for less" in got.text
    window = {"after": "2026-03-01T11:00:00Z", "before": "2026-03-01T11:10:00Z"}
    got = told.session.get(told.url + "/events/lineage", params=window, timeout=60)
    assert got.status_code in (400, 413) and "ask for less" in got.text
    assert len(told.get("/events/lineage", limit=3, **window)["events"]) == 3


def test_tags(told):
    path = told.at(told.db, "datasets", "dir/loaded")
    tag = "pii " + told.db[-6:]
    made = told.session.put(f"{told.url}/tags/{quote(tag)}", json={"description": "people"}, timeout=60)
    assert made.status_code == 200 and made.json() == {"name": tag, "description": "people"}

    def write(method, where, status=200):
        got = told.session.request(method, told.url + where, timeout=60)
        assert got.status_code == status, got.text
        return got.json()

    assert write("POST", f"{path}/tags/{quote(tag)}")["tags"] == [tag]
    assert write("POST", f"{path}/tags/{quote(tag)}")["tags"] == [tag]
    assert write("POST", f"{path}/fields/y/tags/sum")["fields"][1]["tags"] == ["sum"]
    listed = {t["name"]: t["description"] for t in told.get("/tags", limit=1000)["tags"]}
    assert listed[tag] == "people" and listed["sum"] == ""
    assert told.get(path)["tags"] == [tag] and told.get(path)["fields"][0]["tags"] == []
    assert write("DELETE", f"{path}/tags/{quote(tag)}")["tags"] == []
    assert write("DELETE", f"{path}/fields/y/tags/sum")["fields"][1]["tags"] == []
    job = told.at(told.jobs, "jobs", "dag.load")
    assert write("POST", f"{job}/tags/slow")["tags"] == ["tier:gold", "slow"]
    assert write("DELETE", f"{job}/tags/tier%3Agold")["tags"] == ["slow"]      # of a facet: the client's word holds
    said = [{"key": "b"}, {"key": "a", "value": "true"}, {"key": "b", "value": "b"}, {"key": "c", "field": "y"}, {"key": "d", "field": "y"},
            {"key": "e", "field": "none"}, {"key": "k", "value": "v", "field": "id"}]
    told.run("dag.load", 40, [], [told.data("dir/loaded", {**fields("id", "y", "y2"), "tags": facet(tags=said)})])
    write("POST", f"{path}/fields/y/tags/a")
    write("POST", f"{path}/fields/y/tags/d")
    write("DELETE", f"{path}/fields/y/tags/c")
    got = told.get(path)
    assert got["tags"] == ["b", "a"] and [f["tags"] for f in got["fields"]] == [["k:v"], ["d", "a"], []]
    assert write("POST", told.at(told.db, "datasets", "none", "tags", "x"), 404)["field"] == "dataset"
    assert write("POST", f"{path}/fields/none/tags/x", 404)["field"] == "field"
    assert write("POST", f"{path}/tags/{'x' * 300}", 400)["field"] == "tag"


def test_what_is_deleted_is_hidden_until_it_is_named_again(told):
    def delete(path, status=200):
        got = told.session.delete(told.url + path, timeout=60)
        assert got.status_code == status, got.text
        return got.json()

    before = told.get("/jobs", limit=1)["totalCount"]
    assert delete(told.at(told.jobs, "jobs", "train"))["name"] == "train"
    assert told.get(told.at(told.jobs, "jobs"))["totalCount"] == 3 and told.get("/jobs", limit=1)["totalCount"] == before - 1
    assert told.get(told.at(told.jobs, "jobs", "train"), status=404)["code"] == 404
    assert delete(told.at(told.jobs, "jobs", "train"), 404)["field"] == "job"
    ids = {n["id"] for n in told.get("/lineage", nodeId=told.node("job", "clean"))["graph"]}
    assert told.node("job", "train") not in ids and told.node("dataset", "model") not in ids
    assert delete(told.at(told.db, "datasets", "dir/loaded"))["deleted"] is True
    assert told.get(told.at(told.db, "datasets"))["totalCount"] == 3
    graph = told.get("/lineage", nodeId=told.node("job", "clean"))["graph"]
    assert {n["id"] for n in graph} >= {told.node("job", "clean")} and told.node("dataset", "dir/loaded") not in {n["id"] for n in graph}
    assert told.get("/search", q="loaded", namespace=told.db)["results"] == []
    assert told.get("/lineage", status=404, nodeId=told.node("dataset", "dir/loaded"))
    told.run("train", 40, [told.data("clean:it")], [told.data("model")])
    assert told.get(told.at(told.jobs, "jobs", "train"))["latestRun"]["state"] == "COMPLETED"
    assert told.get("/jobs", limit=1)["totalCount"] == before
    told.run("late", 2, [told.data("dir/loaded")])           # older than what it had: stays hidden
    assert told.get(told.at(told.db, "datasets", "dir/loaded"), status=404)
    assert delete(told.at(told.jobs))["isHidden"] is True
    assert told.jobs not in [n["name"] for n in told.get("/namespaces", limit=1000)["namespaces"]]
    assert told.get("/jobs", limit=1)["totalCount"] == before + 1 - 5
    assert told.jobs not in {j["namespace"] for j in told.get("/jobs", limit=1000)["jobs"]}
    assert told.get(told.at(told.jobs, "jobs", "clean"), status=404)
    assert told.get(told.at(told.jobs, "jobs")) == {"jobs": [], "totalCount": 0}
    assert told.get("/lineage", status=404, nodeId=told.node("job", "clean"))["field"] == "nodeId"
    assert told.get("/lineage", status=404, nodeId="run:" + told.runs["clean"])["field"] == "nodeId"
    assert [n["type"] for n in told.get("/lineage", nodeId=told.node("dataset", "clean:it"))["graph"]] == ["DATASET"]
    assert delete(told.at(told.db))["isHidden"] is True
    assert told.get(told.at(told.db, "datasets")) == {"datasets": [], "totalCount": 0}
    for node in (told.node("dataset", "clean:it"), f"datasetField:{told.db}:clean:it:id"):
        assert told.get("/lineage", status=404, nodeId=node)["field"] == "nodeId"
        assert told.get("/column-lineage", status=404, nodeId=node)["field"] == "nodeId"
    run = told.run("clean", 50, [told.data("raw")], [told.data("clean:it")])
    assert told.get(told.at(told.jobs, "jobs"))["totalCount"] >= 4 and told.get(told.at(told.db, "datasets"))["totalCount"] >= 3
    for node in (told.node("job", "clean"), told.node("dataset", "clean:it"), "run:" + run):
        assert {told.node("job", "clean"), told.node("dataset", "raw")} <= {n["id"] for n in told.get("/lineage", nodeId=node)["graph"]}


def test_events(told):
    sent = {"eventTime": "2031-05-06T07:08:09.123456Z", "producer": PRODUCER, "schemaURL": SCHEMA, "eventType": "OTHER",
            "run": {"runId": str(uuid.uuid4())}, "job": {"namespace": told.jobs, "name": "é"}, "extra": {"kept": [1.50, "ü"]}}
    for i in range(3):
        told.send({**copy.deepcopy(sent), "eventTime": f"2031-05-06T07:08:0{i}.123456Z"})
    window = {"after": "2031-05-06T07:08:00Z", "before": "2031-05-06T07:08:02Z"}
    got = told.get("/events/lineage", **window)
    mine = [e for e in got["events"] if e["job"]["namespace"] == told.jobs]
    assert [e["eventTime"][17:19] for e in mine] == ["01", "00"] and mine[0]["extra"] == sent["extra"]
    up = told.get("/events/lineage", sortDirection="ASC", **window)
    assert up["events"] == got["events"][::-1] and up["totalCount"] == len(up["events"])
    assert told.get("/events/lineage", limit=1, offset=1, **window)["events"] == got["events"][1:2]
    assert told.get("/events/lineage", offset=len(got["events"]), **window)["events"] == []
    text = told.session.get(told.url + "/events/lineage", params=window, timeout=60).text
    assert '"extra": {"kept": [1.5, "\\u00fc"]}' in text                        # byte for byte
    whole = told.get("/events/lineage", limit=2, before="", after="")
    assert len(whole["events"]) == 2 and whole["totalCount"] >= 9
    assert told.get("/events/lineage", status=400, before="now")["field"] == "before"
    assert told.get("/events/lineage", status=400, sortDirection="up")["field"] == "sortDirection"


def test_statistics(told):
    for name, members in (("lineage-events", {"fail", "start", "complete", "abort"}), ("jobs", {"count"}), ("datasets", {"count"}), ("sources", {"count"})):
        day, week = (told.get("/stats/" + name, period=p, timezone="Europe/Berlin") for p in ("DAY", "week"))
        assert (len(day), len(week)) == (24, 7)
        assert all(set(i) == members | {"startInterval", "endInterval"} for i in day + week)
        assert all(a["endInterval"] == b["startInterval"] for a, b in zip(day, day[1:]))
        if "count" in members:
            counts = [i["count"] for i in week]
            assert counts == sorted(counts) and day[-1]["count"] == week[-1]["count"] >= 1
        assert told.get("/stats/" + name, status=400, period="YEAR")["field"] == "period"
    now = told.session.get(told.url + "/stats/lineage-events", params={"period": "DAY"}, timeout=60).json()[-1]
    said = now["startInterval"].replace(":00:00.000Z", ":30:00Z")
    told.send({"eventTime": said, "producer": PRODUCER, "schemaURL": SCHEMA, "eventType": "START", "run": {"runId": str(uuid.uuid4())},
               "job": {"namespace": told.jobs, "name": "now"}})
    hours = told.get("/stats/lineage-events", period="DAY")
    assert [h["start"] for h in hours if h["startInterval"] == now["startInterval"]][0] == now["start"] + 1
