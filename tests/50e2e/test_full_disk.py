"""A full disk under PostgreSQL: 503 with the time to try again, nothing half stored, and all is well once there is room.
The same under SQLite is in tests/10module/test_api_calls.c and test_sql_faults.c."""
import os
import subprocess
import tempfile
from pathlib import Path

import cairn
import pytest
import requests

pytestmark = [pytest.mark.cairn_only, pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")]


@pytest.fixture
def small_disk():
    folder = Path(tempfile.mkdtemp(prefix="cairn-disk-", dir="/tmp"))  # where the database's own account gets to
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=110m,mode=755", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()


def fill_up(folder):
    with open(folder / "ballast", "wb") as f, pytest.raises(OSError):
        while True:
            f.write(b"\0" * 65536)
            f.flush()


def test_postgres_without_room(small_disk, tmp_path):
    pg = cairn.Postgres(parent=small_disk).start()
    server = cairn.CairnServer(tmp_path / "data", store=pg.new_database()).start()
    try:
        api = server.url + "/api/2.0/mlflow/runs/"
        run = requests.post(api + "create", json={"experiment_id": "0"}, timeout=30).json()["run"]["info"]["run_id"]
        fill_up(small_disk)
        acknowledged, refused = 0, None
        for step in range(300):
            points = [{"key": "m", "value": i, "timestamp": step, "step": step * 900 + i} for i in range(900)]
            answer = requests.post(api + "log-batch", json={"run_id": run, "metrics": points}, timeout=60)
            if answer.status_code != 200:
                refused = answer
                break
            acknowledged += 900
        assert refused is not None and refused.status_code == 503, refused
        assert refused.headers["Retry-After"] and refused.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
        (small_disk / "ballast").unlink()
        answer = requests.post(api + "log-metric", json={"run_id": run, "key": "after", "value": 1, "timestamp": 1}, timeout=60)
        assert answer.status_code == 200, answer.text
        history = requests.get(server.url + "/api/2.0/mlflow/metrics/get-history",
                               params={"run_id": run, "metric_key": "m", "max_results": 1000000}, timeout=60).json()
        assert len(history.get("metrics", [])) == acknowledged
    finally:
        server.stop()
        pg.stop()
