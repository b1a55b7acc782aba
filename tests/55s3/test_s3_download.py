"""A download from a bucket goes through a pipe, from the connection of the service to that of the client: what breaks in the middle goes on
behind it or breaks the answer, and never gives other bytes. The service is tests/lib/s3double.py, and radosgw for many readers."""

import http.client
import os
import socket
import time

import pytest

import s3double
from s3ask import PATH, ask

pytestmark = pytest.mark.cairn_only

MIB = 1 << 20
BIG = os.urandom(17 * MIB + 11)
BROKE = "get an object: "
READERS = 32
ROOM_KIB = 30000000 // 1024


@pytest.fixture
def double():
    one = s3double.Double().start()
    yield one
    one.gate.set()
    one.stop()


def until(true, what):
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.fixture
def server(double, on_s3):
    one = on_s3(double, args=["--log-level", "debug"])
    assert ask(one, "PUT", PATH + "a.bin", BIG)[0] == 200
    return one


def gets(double):
    return [kind for op, kind in double.log if op == "get"]


def pipes(server):
    """What is open of them: a descriptor that goes meanwhile is none."""
    found = 0
    for fd in os.listdir(f"/proc/{server.pid}/fd"):
        try:
            found += os.readlink(f"/proc/{server.pid}/fd/{fd}").startswith("pipe:")
        except FileNotFoundError:
            pass
    return found


@pytest.mark.parametrize("field", [{}, {"Range": f"bytes=1000-{len(BIG) - 1000}"}])
def test_it_goes_on_behind_a_break(double, server, field):
    want = BIG[1000:-999] if field else BIG
    for kind in ("truncated", "slow"):
        double.log.clear()
        double.fail(kind, op="get")
        status, got, _ = ask(server, "GET", PATH + "a.bin", **field)
        assert (status, got == want) == (206 if field else 200, True)
        assert gets(double) == ([kind, None] if kind == "truncated" else [kind])
    assert server.log(10000).count(BROKE) == 1, "the pipe did not break, or did for nothing"


def test_another_object_by_now(double, server):
    """Of the same size or another, it is not what the first half was of: the answer breaks off."""
    key, = [k for k in double.objects if "/objects/" in k[1]]
    data, when = double.objects[key]
    for other, tag in ((os.urandom(len(BIG)), '"{}"'), (os.urandom(len(BIG)), f'"{"long" * 50}{{}}"'), (BIG[:-1], '"{}"'), (BIG + b"x", '"{}"')):
        double.etag = tag
        double.fail("truncated", op="get")
        double.fail("hold", op="get")
        double.held = 0
        double.gate.clear()
        conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        conn.request("GET", PATH + "a.bin")
        answer = conn.getresponse()
        got = answer.read(len(BIG) // 2 - 65536)  # nearly all that comes of the first answer
        until(lambda: double.held == 1, "the rest was not asked for")
        double.objects[key] = (other, when)
        double.gate.set()
        with pytest.raises((http.client.IncompleteRead, ConnectionError)) as e:
            got += answer.read()
        got += getattr(e.value, "partial", b"")
        assert BIG.startswith(got) and len(got) < len(BIG)
        conn.close()
        double.objects[key] = (data, when)
    assert ask(server, "GET", PATH + "a.bin")[1] == BIG


@pytest.mark.parametrize("kind", ["shifted", "nameless"])
def test_another_range_than_was_asked_for(double, server, kind):
    double.fail(kind, times=100, op="get")
    status, text, answer = ask(server, "GET", PATH + "a.bin", Range="bytes=100-9000000")
    assert status == 503 and answer.getheader("Retry-After"), (status, text[:200])
    double.forget_failures()
    double.fail("truncated", op="get")
    double.fail(kind, times=100, op="get")
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ask(server, "GET", PATH + "a.bin")
    double.forget_failures()
    assert ask(server, "GET", PATH + "a.bin", Range="bytes=100-9000000")[1] == BIG[100:9000001]


def test_many_readers_in_flat_memory(radosgw, on_s3):
    """Readers that wait cost kernel memory only, those that go away leave nothing, and the others get all bytes."""
    server = on_s3(radosgw)
    assert ask(server, "PUT", PATH + "a.bin", BIG)[0] == 200
    assert ask(server, "GET", PATH + "a.bin")[1] == BIG
    before, at_rest = server.rss_kib(), pipes(server)
    readers = []
    for _ in range(READERS):
        one = socket.create_connection(("127.0.0.1", server.port), timeout=120)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        one.sendall(f"GET {PATH}a.bin HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        readers.append(one.makefile("rb"))
        one.close()
    for one in readers:
        while one.readline().strip():
            pass
    assert [one.read(1000) == BIG[:1000] for one in readers] == [True] * READERS
    assert pipes(server) > at_rest
    peak = server.rss_kib()
    for one in readers[::2]:
        one.close()
    for one in readers[1::2]:
        assert one.read() == BIG[1000:]
        peak = max(peak, server.rss_kib())
        one.close()
    until(lambda: pipes(server) == at_rest, "pipes are left")
    assert "asan" in str(server.binary) or peak - before < ROOM_KIB, (before, peak)
