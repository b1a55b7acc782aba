"""The list of the proxy, which no client pages: a folder of 100,000 files comes whole, in its order, while the server holds a page of it."""

import http.client
import json
import sqlite3

import pytest
from mlflow import MlflowClient

import replicas

pytestmark = pytest.mark.cairn_only

N = 100_000
LONG = "n" * 150  # so that the answer is far larger than what may be held of it
ROOM_KIB = 8 * 1024
LIST = "/api/2.0/mlflow-artifacts/artifacts"
# The rows that N uploads would have made, like that of the one that was uploaded.
NUMBERS = {"sqlite": "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < %d)", "postgres": "WITH s AS (SELECT * FROM generate_series(1, %d) i)"}
TEXT = {"sqlite": "printf('%06d', i)", "postgres": "to_char(i, 'FM000000')"}
FILL = "%s INSERT INTO artifact SELECT root, dir, %s || substr(name, 7), kind, size, object, mtime_ms FROM artifact, s WHERE name = '%s'"


def fill(own, request, first):
    """While no server is there."""
    text = FILL % (NUMBERS[own.engine] % (N - 1), TEXT[own.engine], first)
    if own.engine == "postgres":
        replicas.sql(request.getfixturevalue("postgres"), own.store, text)
        return
    with sqlite3.connect(own.data / "cairn.db") as db:
        db.execute(text)
    db.close()


def test_it_is_complete_and_streamed(own, request):
    run = MlflowClient(own.url).create_run("0").info
    folder, first = f"0/{run.run_id}/artifacts/many", f"{0:06}{LONG}"
    conn = http.client.HTTPConnection("127.0.0.1", own.port, timeout=60)
    conn.request("PUT", f"{LIST}/{folder}/{first}", body=b"x")
    assert conn.getresponse().status == 200
    conn.close()
    assert own.stop() == 0
    fill(own, request, first)
    own.start()
    conn = http.client.HTTPConnection("127.0.0.1", own.port, timeout=60)
    conn.request("GET", f"{LIST}?path=0/{run.run_id}/artifacts")   # what a first list needs is there
    assert json.loads(conn.getresponse().read()) == {"files": [{"path": "many", "is_dir": True}]}
    before, peak, text = own.rss_kib(), 0, []
    conn.request("GET", f"{LIST}?path={folder}")
    answer = conn.getresponse()
    assert (answer.status, answer.getheader("Transfer-Encoding")) == (200, "chunked")
    while part := answer.read(1 << 18):
        text.append(part)
        peak = max(peak, own.rss_kib())
    text = b"".join(text)
    assert len(text) > 2 * ROOM_KIB * 1024
    assert [f["path"] for f in json.loads(text)["files"]] == [f"{i:06}{LONG}" for i in range(N)]
    assert "asan" in str(own.binary) or peak - before < ROOM_KIB, (before, peak)
    conn.request("GET", f"/api/2.0/mlflow/artifacts/list?run_id={run.run_id}&path=many&page_token={N - 11:06}{LONG}")
    page = json.loads(conn.getresponse().read())
    assert [f["path"] for f in page["files"]] == [f"many/{i:06}{LONG}" for i in range(N - 10, N)]
    conn.close()
