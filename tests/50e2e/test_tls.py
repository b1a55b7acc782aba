"""HTTPS by option: the unmodified client, and what happens to those who speak plain HTTP to the port."""
import socket

import pytest

pytestmark = pytest.mark.cairn_only


def test_the_client_over_tls(start_server, certificate, monkeypatch):
    cert, key = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))  # urllib, which waits for the server
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(cert))
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(cert))
    server = start_server(args=["--tls-cert", str(cert), "--tls-key", str(key)])
    assert server.url.startswith("https://")
    from mlflow import MlflowClient

    client = MlflowClient(server.url)
    run = client.create_run("0")
    client.log_metric(run.info.run_id, "loss", 0.5)
    client.log_text(run.info.run_id, "x" * 100000, "big.txt")
    assert client.get_run(run.info.run_id).data.metrics == {"loss": 0.5}
    assert [f.path for f in client.list_artifacts(run.info.run_id)] == ["big.txt"]
    # a plain request on the port gets an answer that says so, not silence
    host, port = server.url.removeprefix("https://").split(":")
    with socket.create_connection((host, int(port)), 5) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert plain.recv(1000).startswith(b"HTTP/1.1 400 ")
