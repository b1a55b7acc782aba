"""Artifacts far larger than what the server may hold: memory stays flat while they come, while they go, and while nobody reads.

64 MiB by default; CAIRN_TEST_BIG=1 takes 1 GiB."""

import hashlib
import http.client
import json
import os
import socket
import time

import pytest

MIB = 1 << 20
SIZE = 1024 * MIB if os.environ.get("CAIRN_TEST_BIG") == "1" else 64 * MIB
# What buffers, caches and the allocator may add, whatever the size of the file.
ROOM_KIB = 24 * 1024
PATH = "/api/2.0/mlflow-artifacts/artifacts/big/"


def piece(i):
    """The i-th MiB: repeatable, different from every other, not held anywhere."""
    return hashlib.sha256(b"%d" % i).digest() * (MIB // 32)


def pieces():
    for i in range(SIZE // MIB):
        yield piece(i)


@pytest.fixture(scope="module")
def own(start_server):
    return start_server()


@pytest.fixture(scope="module")
def uploaded(own):
    """The address of the large file, and by how much the server grew at most while it came in."""
    conn = http.client.HTTPConnection("127.0.0.1", own.port, timeout=120)
    conn.request("GET", "/health")
    conn.getresponse().read()
    before, peak = own.rss_kib(), 0
    conn.putrequest("PUT", PATH + "file.bin")
    conn.putheader("Content-Length", str(SIZE))
    conn.endheaders()
    for i, data in enumerate(pieces()):
        conn.send(data)
        if i % 8 == 0:
            peak = max(peak, own.rss_kib())
    answer = conn.getresponse()
    assert (answer.status, answer.read()) == (200, b"{}")
    conn.close()
    return PATH + "file.bin", max(peak, own.rss_kib()) - before


def is_sanitized(server):
    return "asan" in str(server.binary)


@pytest.mark.cairn_only
def test_upload_in_flat_memory(own, uploaded):
    if not is_sanitized(own):
        assert uploaded[1] < ROOM_KIB


@pytest.mark.cairn_only
def test_chunked_upload_in_flat_memory(own):
    conn = http.client.HTTPConnection("127.0.0.1", own.port, timeout=120)
    before = own.rss_kib()
    conn.request("PUT", PATH + "chunked.bin", body=pieces(), encode_chunked=True,
                 headers={"Transfer-Encoding": "chunked"})
    answer = conn.getresponse()
    assert (answer.status, answer.read()) == (200, b"{}")
    assert is_sanitized(own) or own.rss_kib() - before < ROOM_KIB
    conn.close()


@pytest.mark.cairn_only
def test_download_in_flat_memory(own, uploaded):
    conn = http.client.HTTPConnection("127.0.0.1", own.port, timeout=120)
    before, peak = own.rss_kib(), 0
    conn.request("GET", uploaded[0])
    answer = conn.getresponse()
    assert answer.status == 200
    assert answer.getheader("Content-Length") == str(SIZE)
    for i, want in enumerate(pieces()):
        assert answer.read(MIB) == want
        if i % 8 == 0:
            peak = max(peak, own.rss_kib())
    assert answer.read() == b""
    assert is_sanitized(own) or peak - before < ROOM_KIB
    conn.request("GET", uploaded[0], headers={"Range": f"bytes={SIZE - MIB - 5}-{SIZE - MIB + 4}"})
    answer = conn.getresponse()
    last = SIZE // MIB - 1
    assert (answer.status, answer.read()) == (206, piece(last - 1)[-5:] + piece(last)[:5])
    conn.close()


@pytest.mark.cairn_only
def test_stalled_downloads_cost_nothing(own, uploaded):
    """Sixteen clients ask for the file and read nothing: memory stays, and others are served meanwhile."""
    before = own.rss_kib()
    stalled = []
    for _ in range(16):
        one = socket.create_connection(("127.0.0.1", own.port), timeout=60)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.sendall(f"GET {uploaded[0]} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        stalled.append(one)
    for one in stalled:
        assert one.recv(15) == b"HTTP/1.1 200 OK"
    for _ in range(20):
        conn = http.client.HTTPConnection("127.0.0.1", own.port, timeout=20)
        began = time.monotonic()
        conn.request("GET", "/health")
        assert conn.getresponse().read() == b"OK"
        assert time.monotonic() - began < 10
        conn.close()
    assert is_sanitized(own) or own.rss_kib() - before < ROOM_KIB
    for one in stalled:
        one.close()


def in_tmp(server):
    return len(list((server.data / "blobs" / "tmp").iterdir()))


@pytest.mark.cairn_only
def test_broken_uploads_leave_nothing(own, uploaded):
    """Clients that go away in the middle: nothing is stored, no unfinished file and no descriptor stays."""
    def descriptors():
        return len(os.listdir(f"/proc/{own.pid}/fd"))

    before = descriptors()
    for _ in range(8):
        one = socket.create_connection(("127.0.0.1", own.port), timeout=60)
        one.sendall(f"PUT {PATH}half.bin HTTP/1.1\r\nHost: localhost\r\nContent-Length: {SIZE}\r\n\r\n".encode())
        one.sendall(piece(0))
        one.close()
    until = time.monotonic() + 60
    while (in_tmp(own) or descriptors() > before) and time.monotonic() < until:
        time.sleep(0.05)
    # connections of tests before this one may have been on their way out
    assert in_tmp(own) == 0 and descriptors() <= before
    conn = http.client.HTTPConnection("127.0.0.1", own.port, timeout=20)
    conn.request("GET", PATH + "half.bin")
    assert conn.getresponse().status == 404
    conn.close()


@pytest.mark.cairn_only
def test_upload_artifact_stops_at_its_limit(own):
    """upload-artifact takes 10 MiB: a body without a length is refused there, not after all of it was written."""
    conn = http.client.HTTPConnection("127.0.0.1", own.port, timeout=120)
    body = b'{"experiment_id": "0"}'
    conn.request("POST", "/api/2.0/mlflow/runs/create", body=body, headers={"Content-Type": "application/json"})
    run = json.loads(conn.getresponse().read())["run"]["info"]["run_id"]
    conn.close()
    one = socket.create_connection(("127.0.0.1", own.port), timeout=60)
    one.sendall((f"POST /ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=x HTTP/1.1\r\nHost: localhost\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n").encode())
    sent = 0
    try:
        while sent < 12:
            one.sendall(b"%x\r\n" % MIB + piece(sent) + b"\r\n")
            sent += 1
    except OSError:
        pass  # the server has answered and closed
    got = one.recv(65536)
    assert got.startswith(b"HTTP/1.1 400 "), got[:200]
    assert b"Artifact size is too large. Max size is 10MB." in got or b"Artifact size is too large" in one.recv(65536)
    one.close()
