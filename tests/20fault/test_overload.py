"""Commits that take long and a queue that is short: the real client is told to try again, does, and nothing is lost or doubled."""
import re
import threading

import mlflow
import pytest
from mlflow import MlflowClient

import cairn

pytestmark = pytest.mark.cairn_only

THREADS, STEPS = 14, 6


@pytest.mark.parametrize("engine", cairn.engines())
def test_client_retries_until_it_is_taken(engine, request, tmp_path):
    store = request.getfixturevalue("postgres").new_database() if engine == "postgres" else None
    server = cairn.CairnServer(tmp_path / "data", store=store, args=["--store-write-queue", "16"],
                               env={"CAIRN_FAILPOINT": "seq.group.before_commit=wait:150"})
    server.start()
    try:
        mlflow.set_tracking_uri(server.url)
        client = MlflowClient(tracking_uri=server.url)
        run = client.create_run("0").info.run_id
        errors = []

        def work(i):
            try:
                for step in range(STEPS):
                    client.log_metric(run, f"m{i}", step, step=step, timestamp=1000 + step)
            except Exception as e:  # noqa: BLE001 - any is a failure of the test
                errors.append(e)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(THREADS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not errors, errors[:3]
        for i in range(THREADS):
            assert [m.value for m in client.get_metric_history(run, f"m{i}")] == list(range(STEPS))
        figures = cairn.http_get(server.url + "/metrics")[1]
        figures = figures.decode() if isinstance(figures, bytes) else figures
        refused = sum(int(n) for n in re.findall(r'cairn_http_requests_total\{[^}]*"4xx"[^}]*\} (\d+)', figures))
        assert refused > 0, figures  # the queue was full for some
    finally:
        mlflow.set_tracking_uri(None)
        server.stop()
