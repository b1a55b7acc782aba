"""64 writers on one run, every batch sent twice as a client does that lost its answer: no error, every point there once."""
import http.client
import json
import threading

import pytest

WRITERS, BATCHES, POINTS = 64, 8, 25

pytestmark = pytest.mark.cairn_only


def test_64_writers_and_their_retries(server, client, run):
    host = server.url.split("//")[1].split("/")[0]
    errors = []

    def post(conn, body):
        conn.request("POST", "/api/2.0/mlflow/runs/log-batch", body, {"Content-Type": "application/json"})
        answer = conn.getresponse()
        text = answer.read()
        if answer.status != 200:
            errors.append((answer.status, text))

    def write(w):
        conn = http.client.HTTPConnection(host, timeout=120)
        try:
            for b in range(BATCHES):
                steps = range(b * POINTS, (b + 1) * POINTS)
                body = json.dumps({
                    "run_id": run,
                    "metrics": [{"key": f"own/{w}", "value": s / 7, "timestamp": s, "step": s} for s in steps]
                    + [{"key": "shared", "value": w + s / 7, "timestamp": s, "step": s} for s in steps],
                    "params": [{"key": f"p{w}", "value": str(w)}],
                    "tags": [{"key": "last", "value": str(w)}, {"key": f"t{w}", "value": str(b)}],
                })
                post(conn, body)
                post(conn, body)
        except Exception as e:  # noqa: BLE001 - any is a failure of the test
            errors.append(e)
        finally:
            conn.close()

    threads = [threading.Thread(target=write, args=(w,)) for w in range(WRITERS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors[:3]
    n = BATCHES * POINTS
    for w in (0, 17, WRITERS - 1):
        own = client.get_metric_history(run, f"own/{w}")
        assert [(m.step, m.value) for m in own] == [(s, s / 7) for s in range(n)]
    shared = client.get_metric_history(run, "shared")
    assert len(shared) == WRITERS * n
    assert {(m.step, m.value) for m in shared} == {(s, w + s / 7) for s in range(n) for w in range(WRITERS)}
    data = client.get_run(run).data
    assert data.params == {f"p{w}": str(w) for w in range(WRITERS)}
    assert {k: v for k, v in data.tags.items() if k[0] == "t"} == {f"t{w}": str(BATCHES - 1) for w in range(WRITERS)}
    assert all(data.metrics[f"own/{w}"] == (n - 1) / 7 for w in range(WRITERS))
    assert data.metrics["shared"] == WRITERS - 1 + (n - 1) / 7
