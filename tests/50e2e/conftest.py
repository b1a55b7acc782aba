"""Fixtures of the end-to-end tests: the unmodified pip client against one server per engine."""

import subprocess
import uuid

import mlflow
import pytest
import requests
from mlflow import MlflowClient

import cairn


@pytest.fixture(params=cairn.engines(), scope="session")
def server(request, servers):
    """The server of one engine; every test runs once per engine."""
    return servers(request.param)


@pytest.fixture
def tracking(server):
    """The fluent API points at the server, with an experiment of its own; yields the experiment id."""
    mlflow.set_tracking_uri(server.url)
    experiment = mlflow.set_experiment(f"e2e-{uuid.uuid4().hex[:12]}")
    yield experiment.experiment_id
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.clear_active_model()
    mlflow.set_tracking_uri(None)


@pytest.fixture
def client(server):
    return MlflowClient(tracking_uri=server.url)


@pytest.fixture
def uniq():
    return uuid.uuid4().hex[:12]


@pytest.fixture
def exp(client, uniq):
    """A fresh experiment."""
    return client.create_experiment(f"e2e-{uniq}")


@pytest.fixture
def run(client, exp):
    """A fresh run in it."""
    return client.create_run(exp).info.run_id


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate of localhost that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


class Rest:
    """Plain requests to the server, for what the client does not call."""

    def __init__(self, server):
        self.server = server
        self.session = requests.Session()

    def call(self, method, path, **kwargs):
        return self.session.request(method, self.server.url + path, timeout=60, **kwargs)

    def get(self, path, **kwargs):
        return self.call("GET", path, **kwargs)

    def post(self, path, json=None, **kwargs):
        return self.call("POST", path, json=json, **kwargs)


@pytest.fixture
def rest(server):
    one = Rest(server)
    yield one
    one.session.close()


@pytest.fixture(params=["sqlite", "postgres"])
def own(request, tmp_path):
    """A server of its own that the test may stop and kill; server.start() starts it again."""
    if request.param not in cairn.engines():
        pytest.skip("engine not selected")
    store = request.getfixturevalue("postgres").new_database() if request.param == "postgres" else None
    one = cairn.CairnServer(tmp_path / "data", store=store).start()
    yield one
    one.stop()
