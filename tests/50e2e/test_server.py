"""The program itself: restart, kill, drain, locks, options for people who switch."""

import re
import sqlite3
import subprocess
import threading
import time
import uuid

import mlflow
import pytest
import requests
from mlflow.entities import Metric, Param

import cairn

pytestmark = pytest.mark.cairn_only


def fill(url):
    client = mlflow.MlflowClient(tracking_uri=url)
    exp = client.create_experiment("kept", tags={"a": "b"})
    run = client.create_run(exp, run_name="kept").info.run_id
    client.log_batch(run, [Metric("m", i / 3, i, i) for i in range(900)], [Param("p", "v")])
    model = client.create_logged_model(exp, name="model")
    requests.put(f"{url}/api/2.0/mlflow-artifacts/artifacts/{exp}/{run}/artifacts/small", data=b"x" * 100, timeout=10)
    requests.put(f"{url}/api/2.0/mlflow-artifacts/artifacts/{exp}/{run}/artifacts/large", data=b"y" * 3000000, timeout=30)
    return exp, run, model.model_id


def check(url, exp, run, model):
    client = mlflow.MlflowClient(tracking_uri=url)
    assert client.get_experiment(exp).tags == {"a": "b"}
    got = client.get_run(run)
    assert got.info.run_name == "kept" and got.data.params == {"p": "v"} and got.data.metrics["m"] == 899 / 3
    assert [m.value for m in client.get_metric_history(run, "m")] == [i / 3 for i in range(900)]
    assert client.get_logged_model(model).name == "model"
    assert {(f.path, f.file_size) for f in client.list_artifacts(run)} == {("small", 100), ("large", 3000000)}
    got = requests.get(f"{url}/api/2.0/mlflow-artifacts/artifacts/{exp}/{run}/artifacts/large", timeout=30)
    assert got.content == b"y" * 3000000
    assert [r.info.run_id for r in client.search_runs([exp], "params.p = 'v' AND metrics.m > 299")] == [run]


def test_the_store_is_private(own):
    """Nothing in the data folder is for other accounts of the machine."""
    for path in own.data.rglob("*"):
        assert path.lstat().st_mode & 0o077 == 0 or path.is_socket(), path


def test_restart_keeps_everything(own):
    made = fill(own.url)
    assert own.stop() == 0
    own.start()
    check(own.url, *made)


def test_kill_keeps_what_was_acknowledged(own):
    made = fill(own.url)
    own.kill()
    own.start()
    check(own.url, *made)


def test_kill_under_load(own):
    """Writers run while the server is killed; every acknowledged point is there afterwards, batches whole or absent."""
    client = mlflow.MlflowClient(tracking_uri=own.url)
    exp = client.create_experiment("load")
    runs = [client.create_run(exp).info.run_id for _ in range(4)]
    acknowledged = {run: [] for run in runs}

    def work(run):
        session = requests.Session()
        for batch in range(100000):
            metrics = [{"key": "m", "value": batch, "timestamp": batch * 10 + i, "step": batch * 10 + i} for i in range(10)]
            try:
                answer = session.post(own.url + "/api/2.0/mlflow/runs/log-batch", json={"run_id": run, "metrics": metrics}, timeout=10)
            except requests.RequestException:
                return
            if answer.status_code != 200:
                return
            acknowledged[run].append(batch)

    threads = [threading.Thread(target=work, args=(run,)) for run in runs]
    [t.start() for t in threads]
    time.sleep(0.7)
    own.kill()
    [t.join() for t in threads]
    own.start()
    client = mlflow.MlflowClient(tracking_uri=own.url)
    for run in runs:
        steps = {m.step for m in client.get_metric_history(run, "m")}
        assert len(acknowledged[run]) > 3
        for batch in acknowledged[run]:
            assert set(range(batch * 10, batch * 10 + 10)) <= steps
        assert len(steps) % 10 == 0


def test_drain_answers_what_is_under_way(own):
    """SIGTERM while clients write: no connection is cut inside of an answer, the exit code is 0."""
    client = mlflow.MlflowClient(tracking_uri=own.url)
    exp = client.create_experiment("drain")
    run = client.create_run(exp).info.run_id
    bad, good = [], [0]

    def work():
        session = requests.Session()
        for i in range(100000):
            try:
                answer = session.post(own.url + "/api/2.0/mlflow/runs/log-metric",
                                      json={"run_id": run, "key": "m", "value": i, "timestamp": i}, timeout=10)
            except requests.ConnectionError as err:
                if "BadStatusLine" in str(err) or "IncompleteRead" in str(err):
                    bad.append(err)
                return
            if answer.status_code not in (200, 503):
                bad.append(answer.status_code)
            good[0] += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    [t.start() for t in threads]
    time.sleep(0.4)
    assert own.stop() == 0
    [t.join() for t in threads]
    assert bad == [] and good[0] > 10


def test_a_second_server_on_the_same_folder_is_refused(own):
    done = subprocess.run([str(own.binary), "server", "--data", str(own.data), "--listen", "127.0.0.1:0"]
                          + (["--store", own.store] if own.store else []), capture_output=True, text=True, timeout=30)
    assert done.returncode != 0
    assert "server" in (done.stderr + done.stdout).lower()
    assert requests.get(own.url + "/health", timeout=5).text == "OK"


def test_postgres_that_goes_away_and_comes_back(tmp_path, request):
    if "postgres" not in cairn.engines():
        pytest.skip("engine not selected")
    pg = cairn.Postgres().start()
    try:
        one = cairn.CairnServer(tmp_path / "data", store=pg.new_database()).start()
        client = mlflow.MlflowClient(tracking_uri=one.url)
        run = client.create_run("0").info.run_id
        pg.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'cairn%'")
        end = time.monotonic() + 20
        body = {"run_id": run, "key": "m", "value": 1, "timestamp": 1}
        while True:
            answer = requests.post(one.url + "/api/2.0/mlflow/runs/log-metric", json=body, timeout=20)
            if answer.status_code == 200 or time.monotonic() > end:
                break
            assert answer.status_code == 503 and "Retry-After" in answer.headers
            time.sleep(0.2)
        assert answer.status_code == 200
        assert client.get_run(run).data.metrics["m"] == 1
        one.stop()
    finally:
        pg.stop()


def mlflow_options(tmp_path, *args):
    binary = cairn.find_binary()
    port = cairn.free_port()
    process = cairn.Process([binary, "server", "--host", "127.0.0.1", "--port", str(port), *args], tmp_path / "log", cwd=tmp_path)
    return process, f"http://127.0.0.1:{port}"


def test_options_of_mlflow_server(tmp_path):
    """What people have in their start scripts today."""
    process, url = mlflow_options(tmp_path, "--backend-store-uri", f"sqlite:///{tmp_path}/cairn.db", "--artifacts-destination",
                                  str(tmp_path / "art"), "--default-artifact-root", "mlflow-artifacts:/", "--serve-artifacts",
                                  "--workers", "4", "--expose-prometheus", str(tmp_path / "prom"))
    try:
        process.wait_until(lambda: cairn.http_get(url + "/health")[0] == 200)
        client = mlflow.MlflowClient(tracking_uri=url)
        run = client.create_run("0").info.run_id
        client.log_text(run, "hello", "a.txt")
        assert client.list_artifacts(run)[0].path == "a.txt"
        assert "worker" in process.log_path.read_text().lower()
        assert requests.get(url + "/metrics", timeout=5).status_code == 200
    finally:
        process.stop()


def test_roots_on_s3_are_refused(tmp_path):
    process, _ = mlflow_options(tmp_path, "--default-artifact-root", "s3://bucket/x")
    assert process.proc.wait(20) != 0
    assert "s3" in process.log_path.read_text().lower()


def test_a_database_of_mlflow_is_left_alone(tmp_path):
    db = tmp_path / "mlflow.db"
    con = sqlite3.connect(db)
    con.executescript("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);"
                      "INSERT INTO alembic_version VALUES ('abc');"
                      "CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name VARCHAR(256), artifact_location VARCHAR(256));"
                      "CREATE TABLE runs (run_uuid VARCHAR(32) PRIMARY KEY, name VARCHAR(250));")
    con.commit()
    con.close()
    before = db.read_bytes()
    process, _ = mlflow_options(tmp_path, "--backend-store-uri", f"sqlite:///{db}")
    assert process.proc.wait(20) != 0
    assert "mlflow" in process.log_path.read_text().lower()
    assert db.read_bytes() == before


def test_prometheus(start_server):
    one = start_server()
    requests.get(one.url + "/health", timeout=5)
    text = requests.get(one.url + "/metrics", timeout=5).text
    assert "# TYPE" in text and "cairn_" in text
    kept = {m[1]: int(m[2]) for m in re.finditer(r'^cairn_memory_kept_bytes\{what="(\w+)"\} (\d+)$', text, re.M)}
    assert set(kept) == {"columns", "runs", "keys", "points", "answers"}
    assert 0 <= sum(kept.values()) < int(re.search(r"^cairn_memory_in_use_bytes (\d+)$", text, re.M)[1])
    memory = requests.get(one.url + "/api/cairn/v1/version", timeout=5).json()["memory"]
    assert set(memory) == set(kept) | {"all", "peak"} and int(memory["peak"]) >= int(memory["all"]) > 0


def test_parallel_starts_on_a_fresh_store(tmp_path):
    """Several servers are started at once on one folder: exactly one serves, the store is whole."""
    binary = cairn.find_binary()
    processes = [cairn.Process([binary, "server", "--data", tmp_path / "data", "--listen", "127.0.0.1:0"],
                               tmp_path / f"log{i}") for i in range(4)]
    try:
        end = time.monotonic() + 20
        while sum(p.is_running() for p in processes) > 1 and time.monotonic() < end:
            time.sleep(0.05)
        alive = [p for p in processes if p.is_running()]
        assert len(alive) == 1
        url_file = tmp_path / "data" / "server.url"
        alive[0].wait_until(url_file.exists)
        assert cairn.http_get(url_file.read_text().strip() + "/health", 5)[0] == 200
    finally:
        [p.stop() for p in processes]


def test_idempotency_key(start_server):
    one = start_server()
    key = uuid.uuid4().hex
    url = one.url + "/api/2.0/mlflow/runs/create"
    first = requests.post(url, json={"experiment_id": "0", "run_name": "a"}, headers={"Idempotency-Key": key}, timeout=10)
    again = requests.post(url, json={"experiment_id": "0", "run_name": "a"}, headers={"Idempotency-Key": key}, timeout=10)
    assert first.status_code == again.status_code == 200
    assert first.json()["run"]["info"]["run_id"] == again.json()["run"]["info"]["run_id"]
    other = requests.post(url, json={"experiment_id": "0", "run_name": "b"}, headers={"Idempotency-Key": key}, timeout=10)
    assert other.status_code == 409


def test_the_gzip_way(start_server):
    """Compressed requests and answers."""
    import gzip
    one = start_server()
    body = gzip.compress(b'{"max_results": 5}')
    answer = requests.post(one.url + "/api/2.0/mlflow/experiments/search", data=body, timeout=10,
                           headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})
    assert answer.status_code == 200 and answer.json()["experiments"][0]["name"] == "Default"
    bomb = gzip.compress(b"[" + b" " * (200 << 20) + b"]")
    answer = requests.post(one.url + "/api/2.0/mlflow/experiments/search", data=bomb, timeout=30,
                           headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})
    assert answer.status_code == 413
