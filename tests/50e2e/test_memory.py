"""Memory after a burst: what large answers and many writes took goes back to the system by itself."""
import http.client
import threading
import time

import pytest
import requests

import cairn

pytestmark = pytest.mark.cairn_only

POINTS, READERS, ROUNDS = 400_000, 8, 3
MOST_AFTER = 60 << 20


def resident(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))


def test_memory_goes_back_after_a_burst(tmp_path):
    server = cairn.CairnServer(tmp_path / "data").start()
    try:
        api = server.url + "/api/2.0/mlflow/"
        session = requests.Session()
        run = session.post(api + "runs/create", json={"experiment_id": "0"}, timeout=30).json()["run"]["info"]["run_id"]
        for first in range(0, POINTS, 1000):
            points = [{"key": "x", "value": i / 7, "timestamp": 1_700_000_000_000 + i, "step": i} for i in range(first, first + 1000)]
            assert session.post(api + "runs/log-batch", json={"run_id": run, "metrics": points}, timeout=60).status_code == 200
        sizes = []

        def read():
            conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
            conn.request("GET", f"/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=x&max_results={POINTS}")
            sizes.append(len(conn.getresponse().read()))
            conn.close()

        for _ in range(ROUNDS):
            readers = [threading.Thread(target=read) for _ in range(READERS)]
            for t in readers:
                t.start()
            for t in readers:
                t.join()
        assert len(sizes) == READERS * ROUNDS and min(sizes) > 20 << 20
        deadline = time.monotonic() + 20
        while resident(server.pid) > MOST_AFTER and time.monotonic() < deadline:
            time.sleep(0.2)
        assert resident(server.pid) <= MOST_AFTER
    finally:
        server.stop()
