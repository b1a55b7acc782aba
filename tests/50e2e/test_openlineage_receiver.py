"""Events of OpenLineage over HTTP: what is answered, what hostile events get, and that a kill leaves an event whole or not at all."""

import copy
import gzip
import json
import sqlite3
import subprocess

import pytest
import requests

import cairn

pytestmark = pytest.mark.cairn_only

URI = {"_producer": "https://example.org/p", "_schemaURL": "https://example.org/s"}


def dataset(name, ns="s3://lake", **facets):
    return {"namespace": ns, "name": name, "facets": {k: {**URI, **v} for k, v in facets.items()}}


def event(n, inputs=(), outputs=(), kind="COMPLETE", **more):
    return {"eventTime": f"2026-01-01T00:{n // 60 % 60:02}:{n % 60:02}Z", "producer": "https://example.org/p",
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent", "eventType": kind,
            "run": {"runId": f"01941f29-7c00-7000-8000-{n:012x}"}, "job": {"namespace": "ns", "name": f"job{n % 7}"},
            "inputs": list(inputs), "outputs": list(outputs), **more}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = cairn.CairnServer(tmp_path_factory.mktemp("ol") / "data").start()
    yield server
    assert server.stop() == 0, server.log()
    check(server)


def check(server):
    argv = [str(server.binary), "server", "check", "--data", str(server.data)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def rows(server, sql, *args):
    with sqlite3.connect(f"file:{server.data}/cairn.db?mode=ro", uri=True) as db:
        return db.execute(sql, args).fetchall()


def post(server, body, path="/api/v1/lineage", **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.post(server.url + path, data=data, headers={"Content-Type": "application/json", **headers}, timeout=120)


def test_one_event(server):
    e = event(1, [dataset("a")], [dataset("b")])
    first = post(server, e)
    assert (first.status_code, first.json()) == (201, {"status": "success"})
    assert int(first.headers["content-length"]) > 0
    assert post(server, e).status_code == 200
    assert post(server, json.dumps(e, indent=2, sort_keys=True).encode()).status_code == 200
    e["eventType"] = "OTHER"
    assert post(server, gzip.compress(json.dumps(e).encode()), **{"Content-Encoding": "gzip"}).status_code == 201
    assert post(server, event(2), path="/").status_code == 201
    odd = {**event(3), "producer": "me", "eventTime": "2026-01-01T00:00:00", "eventType": "SOON", "run": {"runId": "my run"}}
    assert len(post(server, odd).json()["warnings"]) == 4


def test_errors(server):
    e = event(4, [dataset("a"), dataset("b"), {"namespace": "n"}])
    answer = post(server, e)
    assert answer.status_code == 400
    assert answer.json()["code"] == 400 and answer.json()["field"] == "inputs[2].name"
    assert "inputs[2].name" in answer.json()["message"]
    for body in (b"", b"{", b"[]", b'"x"', b"{}", b"\xff", b'{"a":' + b"[" * 300 + b"]" * 300 + b"}"):
        assert post(server, body).status_code == 400, body
    for big in ("x" * 1_000_000, "\0", ""):
        for part in ("job", "run", "inputs"):
            e = event(5, [dataset("a")])
            if part == "job":
                e["job"]["name"] = big
            elif part == "run":
                e["run"]["runId"] = big
            else:
                e["inputs"][0]["namespace"] = big
            assert post(server, e).status_code == 400, (part, big[:5])
    assert requests.get(server.url + "/api/v1/lineage/batch", timeout=60).status_code == 405


def test_batch(server):
    good = [event(100 + i, [dataset("a")], [dataset(f"c{i}")]) for i in range(5)]
    answer = post(server, [good[0], {"eventTime": 3}, *good[1:], 7], path="/api/v1/lineage/batch")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "partial_success"
    assert body["summary"] == {"received": 7, "successful": 5, "failed": 2, "retriable": 0, "non_retriable": 2}
    assert [(f["index"], f["retriable"]) for f in body["failed_events"]] == [(1, False), (6, False)]
    assert all(post(server, e).status_code == 200 for e in good)
    assert post(server, [], path="/api/v1/lineage/batch").json()["summary"]["received"] == 0
    assert post(server, {}, path="/api/v1/lineage/batch").status_code == 400
    assert post(server, [{}] * 10001, path="/api/v1/lineage/batch").status_code == 413


def test_names_with_every_character(server):
    odd = "".join(chr(c) for c in range(1, 256)) + "\u2028\U0001f600:#/%"
    e = event(200, [dataset(odd, ns=odd)], [dataset(odd + "2", ns=odd)])
    e["job"] = {"namespace": odd, "name": odd}
    assert post(server, e).status_code == 201
    assert rows(server, "SELECT count(*) FROM ol_dataset d JOIN ol_ns s ON s.uid = d.ns WHERE s.name = ? AND d.name = ?",
                odd, odd)[0][0] == 1


def test_itself(server):
    """A data set, a column, a run and a job that lead to themselves."""
    same = {"namespace": "s3://lake", "name": "me", "field": "x"}
    lineage = {"fields": {"x": {"inputFields": [same]}}}
    me = dataset("me", columnLineage=lineage, symlinks={"identifiers": [{**same, "type": "TABLE"}]},
                 lifecycleStateChange={"lifecycleStateChange": "RENAME", "previousIdentifier": same},
                 lineage={"inputs": [{**same, "type": "DATASET"}]})
    e = event(300, [me], [me])
    own = {"run": dict(e["run"]), "job": dict(e["job"])}
    e["run"]["facets"] = {"parent": {**URI, **own, "root": own}}
    assert post(server, e).status_code == 201
    assert post(server, {**e, "eventType": "OTHER"}).status_code == 201


def test_large_facets(server):
    text = "abc " * 2_500_000
    e = event(400, outputs=[dataset("large", documentation={"description": text})])
    assert post(server, e).status_code == 201
    assert post(server, e).status_code == 200
    h, raw_n = rows(server, "SELECT h, raw_n FROM ol_value ORDER BY raw_n DESC LIMIT 1")[0]
    assert raw_n > 10_000_000
    fields = {f"out{i}": {"inputFields": [{"namespace": "s3://lake", "name": "wide", "field": f"in{i}"}]} for i in range(20_000)}
    wide = event(401, [dataset("wide")], [dataset("wide2", columnLineage={"fields": fields})])
    assert post(server, wide).status_code == 201
    assert rows(server, "SELECT count(*) FROM column_edge WHERE dst_field LIKE 'out%'")[0][0] == 20_000
    narrow = copy.deepcopy(wide)
    narrow["eventTime"] = "2026-01-02T00:00:00Z"
    narrow["job"] = {"namespace": "ns", "name": f"job{401 % 7}"}
    narrow["outputs"][0]["facets"]["columnLineage"]["fields"] = {"out1": fields["out1"]}
    assert post(server, narrow).status_code == 201
    assert rows(server, "SELECT count(*) FROM column_edge WHERE dst_field LIKE 'out%'")[0][0] == 1


@pytest.mark.parametrize("point", ["core.openlineage.packed", "core.openlineage.derived"])
def test_killed_in_the_middle(tmp_path, point):
    """What was acknowledged is there with all that it says; the event in flight is there as well, or nothing of it is."""
    binary = cairn.find_binary_with_failpoints()

    def start(point=""):
        return cairn.CairnServer(tmp_path / "data", binary=binary, env={"CAIRN_FAILPOINT": point}).start()

    server = start()
    kept = [event(i, [dataset(f"d{i % 3}")], [dataset(f"d{(i + 1) % 3}")]) for i in range(10)]
    assert post(server, kept[:5], path="/api/v1/lineage/batch").status_code == 200
    server.stop()
    server = start(f"{point}=kill")
    lost = None
    for e in kept[5:]:
        try:
            assert post(server, e).status_code == 201
        except requests.ConnectionError:
            lost = e
            break
    assert lost, "the point was not passed"
    server.process.proc.wait(60)
    server = start()
    for e in kept:
        known = post(server, e).status_code
        assert known == 200 if kept.index(e) < kept.index(lost) else known in (200, 201)
    assert server.stop() == 0, server.log()
    assert rows(server, "SELECT count(*) FROM ol_event")[0][0] == 10
    assert rows(server, "SELECT count(*) FROM edge WHERE role = 3")[0][0] == 10
    assert rows(server, "SELECT count(*) FROM edge WHERE role = 4")[0][0] == 10
    check(server)
