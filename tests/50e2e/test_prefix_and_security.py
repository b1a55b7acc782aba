"""Static prefix, tokens, allowed hosts, switched-off artifact proxy."""

import socket
import subprocess
import sys

import mlflow
import pytest
import requests
from mlflow.exceptions import MlflowException

import cairn


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory):
    """A server behind a static prefix, of whatever target is tested."""
    folder = tmp_path_factory.mktemp("prefix") / "data"
    make = cairn.MlflowServer if cairn.is_mlflow_target() else cairn.CairnServer
    one = make(folder, prefix="/ml/flow").start()
    yield one
    one.stop()


def test_static_prefix(prefixed, uniq, tmp_path):
    client = mlflow.MlflowClient(tracking_uri=prefixed.url)
    exp = client.create_experiment(f"p-{uniq}")
    run = client.create_run(exp).info.run_id
    client.log_metric(run, "m", 1)
    (tmp_path / "a.txt").write_text("x")
    client.log_artifact(run, str(tmp_path / "a.txt"))
    assert [f.path for f in client.list_artifacts(run)] == ["a.txt"]
    assert open(client.download_artifacts(run, "a.txt", str(tmp_path))).read() == "x"
    assert requests.get(prefixed.url + "/api/2.0/mlflow/experiments/get", params={"experiment_id": exp}, timeout=10).ok
    answer = requests.get(prefixed.base + "/api/2.0/mlflow/experiments/get", params={"experiment_id": exp}, timeout=10)
    assert answer.status_code == 404


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A cairn server that asks for a token from a file."""
    folder = tmp_path_factory.mktemp("token")
    token = folder / "token"
    token.write_text("s3cret-Token_with.chars\n")
    token.chmod(0o600)
    one = cairn.CairnServer(folder / "data", auth=None, args=["--token-file", str(token)]).start()
    yield one
    one.stop()


SCRIPT = """
import mlflow, sys
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("auth")
with mlflow.start_run() as run:
    mlflow.log_metric("m", 1)
    mlflow.log_text("hello", "a.txt")
assert mlflow.artifacts.load_text(run.info.artifact_uri + "/a.txt") == "hello"
print("fine", run.info.run_id)
"""


def run_script(url, **env):
    import os
    full = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_TRACKING")}
    full.update(MLFLOW_HTTP_REQUEST_MAX_RETRIES="1", **env)
    return subprocess.run([sys.executable, "-c", SCRIPT, url], env=full, capture_output=True, text=True, timeout=100)


@pytest.mark.cairn_only
def test_token(guarded):
    done = run_script(guarded.url, MLFLOW_TRACKING_TOKEN="s3cret-Token_with.chars")
    assert done.returncode == 0 and "fine" in done.stdout, done.stderr[-2000:]


@pytest.mark.cairn_only
def test_token_as_basic_password(guarded):
    done = run_script(guarded.url, MLFLOW_TRACKING_USERNAME="anyone", MLFLOW_TRACKING_PASSWORD="s3cret-Token_with.chars")
    assert done.returncode == 0 and "fine" in done.stdout, done.stderr[-2000:]


@pytest.mark.cairn_only
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "},
                                     {"Authorization": "Basic !!!"}, {"Authorization": "Basic dXNlcjp3cm9uZw=="},
                                     {"Authorization": "Bearer s3cret-Token_with.char"},
                                     {"Authorization": "Bearer s3cret-Token_with.charsX"}, {"Authorization": "s3cret-Token_with.chars"}])
def test_wrong_tokens(guarded, headers):
    for method, path in (("GET", "/api/2.0/mlflow/experiments/get?experiment_id=0"), ("POST", "/api/2.0/mlflow/experiments/create"),
                         ("GET", "/ajax-api/2.0/mlflow/experiments/get?experiment_id=0"), ("GET", "/get-artifact?run_id=a&path=b"),
                         ("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/x")):
        body = {"json": {"name": "x"}} if method == "POST" else {}
        answer = requests.request(method, guarded.url + path, headers=headers, timeout=10, **body)
        assert answer.status_code == 401, (method, path)
        assert "WWW-Authenticate" in answer.headers
    assert requests.get(guarded.url + "/health", headers=headers, timeout=10).text == "OK"


@pytest.mark.cairn_only
def test_the_client_says_what_is_wrong(guarded, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "wrong")
    with pytest.raises(MlflowException, match="401|UNAUTHENTICATED|authenticat"):
        mlflow.MlflowClient(tracking_uri=guarded.url).get_experiment("0")


@pytest.mark.cairn_only
def test_token_is_not_in_the_log(guarded):
    requests.get(guarded.url + "/api/2.0/mlflow/experiments/get?experiment_id=0",
                 headers={"Authorization": "Bearer s3cret-Token_with.chars"}, timeout=10)
    assert "s3cret" not in guarded.log(100000)


@pytest.mark.cairn_only
def test_other_addresses_ask_for_a_token(tmp_path):
    """Beyond loopback a token is made and printed once, unless the operator says --auth none."""
    binary = cairn.find_binary()
    log = tmp_path / "log"
    process = cairn.Process([binary, "server", "--data", tmp_path / "data", "--listen", "0.0.0.0:0"], log)
    try:
        process.wait_until(lambda: (tmp_path / "data" / "server.url").exists() and "listening" in log.read_text())
        port = (tmp_path / "data" / "server.url").read_text().strip().rstrip("/").rsplit(":", 1)[1]
        url = f"http://127.0.0.1:{port}"
        process.wait_until(lambda: cairn.http_get(url + "/health")[0] == 200)
        assert requests.get(url + "/api/2.0/mlflow/experiments/get?experiment_id=0", timeout=10).status_code == 401
        words = log.read_text().replace("=", " ").replace(":", " ").replace("'", " ").replace('"', " ").split()
        good = [w for w in words if len(w) >= 20 and requests.get(
            url + "/api/2.0/mlflow/experiments/get?experiment_id=0",
            headers={"Authorization": f"Bearer {w}"}, timeout=10).status_code == 200]
        assert len(good) >= 1, log.read_text()
    finally:
        process.stop()


@pytest.mark.cairn_only
def test_allowed_hosts(start_server):
    one = start_server(args=["--allowed-hosts", "my.example.com,*.lab.example.com"])
    path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    for host, status in (("my.example.com", 200), ("a.lab.example.com", 200), ("evil.example.com", 403)):
        assert requests.get(one.url + path, headers={"Host": host}, timeout=10).status_code == status, host


@pytest.mark.cairn_only
def test_allowed_origins(start_server):
    one = start_server(args=["--cors-allowed-origins", "https://ui.example.com"])
    for origin, status in (("https://ui.example.com", 200), ("https://evil.example.com", 403), ("null", 403)):
        answer = requests.post(one.url + "/api/2.0/mlflow/runs/search", json={"experiment_ids": ["0"]},
                               headers={"Origin": origin}, timeout=10)
        assert answer.status_code == status, origin
    answer = requests.options(one.url + "/api/2.0/mlflow/runs/search", timeout=10, headers={
        "Origin": "https://ui.example.com", "Access-Control-Request-Method": "POST"})
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "https://ui.example.com"


@pytest.mark.cairn_only
def test_no_serve_artifacts(start_server):
    one = start_server(args=["--no-serve-artifacts", "--default-artifact-root", "mlflow-artifacts:/"])
    answer = requests.get(one.url + "/api/2.0/mlflow-artifacts/artifacts/0/x", timeout=10)
    assert answer.status_code == 503
    assert "disabled due to the mlflow server running with `--no-serve-artifacts`" in answer.text


@pytest.mark.cairn_only
def test_open_connections_do_not_block(start_server):
    """A hundred idle and half-sent connections, and the server still answers."""
    one = start_server()
    socks = []
    try:
        for i in range(100):
            s = socket.create_connection(("127.0.0.1", one.port))
            if i % 2:
                s.sendall(b"POST /api/2.0/mlflow/runs/search HTTP/1.1\r\nHost: loc")
            socks.append(s)
        assert requests.get(one.url + "/health", timeout=5).text == "OK"
    finally:
        [s.close() for s in socks]


@pytest.mark.cairn_only
def test_the_address_that_is_listened_on_is_allowed(tmp_path):
    """A server on an address of its own answers there without --allowed-hosts; other names stay refused."""
    log, url_file = tmp_path / "log", tmp_path / "data" / "server.url"
    process = cairn.Process([cairn.find_binary(), "server", "--data", tmp_path / "data", "--listen", "127.0.0.2:0"], log)
    try:
        process.wait_until(lambda: url_file.exists() and "listening" in log.read_text())
        path = url_file.read_text().strip().rstrip("/") + "/api/2.0/mlflow/experiments/get?experiment_id=0"
        for host, status in ((None, 200), ("127.0.0.2", 200), ("127.0.0.3", 403), ("evil.example.com", 403)):
            headers = {"Host": host} if host else {}
            assert requests.get(path, headers=headers, timeout=10).status_code == status, host
    finally:
        process.stop()


@pytest.mark.cairn_only
def test_a_store_of_an_unknown_scheme_is_refused(tmp_path):
    done = subprocess.run([cairn.find_binary(), "server", "--data", tmp_path / "data", "--store", "mysql://db/cairn",
                           "--listen", "127.0.0.1:0"], cwd=tmp_path, capture_output=True, text=True, timeout=20)
    assert done.returncode != 0 and "mysql://db/cairn" in done.stderr and "postgresql://" in done.stderr
    assert not (tmp_path / "mysql:").exists()
