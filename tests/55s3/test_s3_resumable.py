"""Uploads that go on where they stopped, with the bytes in a bucket: over a restart by kill -9, and nothing is left behind."""

import hashlib
import http.client
import socket

import pytest

import cairn
import s3servers
from command import Cli

pytestmark = pytest.mark.cairn_only

API = "/api/cairn/v1/"
MIB = 1 << 20


def ask(server, method, path, body=None, **fields):
    conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    try:
        conn.request(method, path, body=body,
                     headers={"Tus-Resumable": "1.0.0", **{k.replace("_", "-"): str(v) for k, v in fields.items()}})
        answer = conn.getresponse()
        answer.data = answer.read()
        return answer
    finally:
        conn.close()


def staged(s3, prefix):
    answer = s3.call("GET", f"/{s3servers.BUCKET}", [("list-type", "2"), ("prefix", prefix + "/staging/")]).decode()
    begun = s3.call("GET", f"/{s3servers.BUCKET}", [("uploads", ""), ("prefix", prefix)]).decode()
    return answer.count("<Key>") + begun.count("<Upload>")


def test_over_a_kill(radosgw, on_s3, prefix, tmp_path):
    data = b"".join(hashlib.sha256(b"%d" % i).digest() * (MIB // 32) for i in range(18))
    server = on_s3(radosgw)
    begun = ask(server, "POST", API + "uploads?path=big.bin", Upload_Length=len(data))
    assert begun.status == 201
    url = API + begun.headers["Location"]
    for at, end in ((0, 3 * MIB + 5), (3 * MIB + 5, 11 * MIB), (11 * MIB, len(data))):
        head = ask(server, "HEAD", url)
        assert (head.status, head.headers["Upload-Offset"]) == (200, str(at))
        answer = ask(server, "PATCH", url, body=data[at:end], Upload_Offset=at, Content_Type="application/offset+octet-stream")
        assert answer.status == 204, answer.data
        server.kill()
        server = on_s3(radosgw)
    assert ask(server, "GET", API + "artifacts/file?path=big.bin").data == data
    given_up = ask(server, "POST", API + "uploads?path=other.bin", Upload_Length=len(data))
    url = API + given_up.headers["Location"]
    answer = ask(server, "PATCH", url, body=data[:9 * MIB], Upload_Offset=0, Content_Type="application/offset+octet-stream")
    assert answer.status == 204, answer.data
    assert staged(radosgw, prefix) > 0
    assert ask(server, "DELETE", url).status == 204
    Cli(tmp_path).run("server", "gc", "--now", "--data", server.data)
    assert staged(radosgw, prefix) == 0


def test_on_two_servers(radosgw, postgres, prefix, tmp_path):
    """Either goes on with it. Of two that write at once only the one that took it last can say how far it is, and the file is right."""
    store = postgres.new_database()
    servers = [cairn.CairnServer(tmp_path / f"data{i}", store=store, blobs=f"s3://{s3servers.BUCKET}/{prefix}",
                                 args=("--s3-endpoint", radosgw.endpoint), env=radosgw.env()) for i in range(2)]
    body = {"Content_Type": "application/offset+octet-stream"}
    try:
        one, two = (server.start() for server in servers)
        data = hashlib.sha256(b"shared").digest() * 12_500
        url = API + ask(one, "POST", API + "uploads?path=shared.bin", Upload_Length=len(data)).headers["Location"]
        assert ask(one, "PATCH", url, data[:100_000], Upload_Offset=0, **body).status == 204
        assert ask(two, "HEAD", url).headers["Upload-Offset"] == "100000"
        assert ask(two, "PATCH", url, data[100_000:200_000], Upload_Offset=100_000, **body).status == 204
        assert ask(one, "PATCH", url, data[100_000:200_000], Upload_Offset=100_000, **body).status == 409
        # The first has taken it, and its bytes come only after the second has taken it and saved.
        with socket.create_connection(("127.0.0.1", one.port), timeout=120) as s:
            s.sendall((f"PATCH {url} HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 200000\r\n"
                       "Expect: 100-continue\r\nContent-Type: application/offset+octet-stream\r\n"
                       "Content-Length: 100000\r\n\r\n").encode())
            assert b"100 Continue" in s.recv(1000)
            second = ask(two, "PATCH", url, data[200_000:350_000], Upload_Offset=200_000, **body)
            s.sendall(data[200_000:300_000])
            first = s.recv(1000)
        assert (second.status, first.split()[1]) == (204, b"409"), (second.data, first)
        assert [ask(server, "HEAD", url).headers["Upload-Offset"] for server in servers] == ["350000", "350000"]
        one.kill()
        assert ask(two, "PATCH", url, data[350_000:], Upload_Offset=350_000, **body).status == 204
        assert ask(two, "GET", API + "artifacts/file?path=shared.bin").data == data
        assert two.stop() == 0
    finally:
        for server in servers:
            if server.process and server.process.is_running():
                server.kill()
