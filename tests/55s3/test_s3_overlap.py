"""An upload to S3 is received while its parts are sent: at most two of an upload and eight of all are ahead of their writers, which
may send one more each. The service is tests/lib/s3double.py, which holds parts back until it is told to go on, so that what is seen
here depends on no clock."""

import http.client
import os
import threading
import time

import pytest

import s3double
from s3ask import PATH, ask

pytestmark = pytest.mark.cairn_only

MIB = 1 << 20
PART = 7 * MIB
DATA = os.urandom(4 * PART + 77)


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


class Upload(threading.Thread):
    def __init__(self, server, name, data):
        super().__init__()
        self.server, self.name_, self.data, self.status = server, name, data, None
        self.start()

    def run(self):
        self.status = ask(self.server, "PUT", PATH + self.name_, self.data)[0]

    def ended(self):
        self.join(120)
        assert not self.is_alive()
        return self.status


def is_clean(double):
    return not double.uploads and not [n for _, n in list(double.objects) if "/staging/" in n]


def test_the_next_part_comes_while_one_is_sent(double, on_s3):
    server = on_s3(double)
    double.fail("hold", times=2, op="part")
    one = Upload(server, "a.bin", DATA)
    until(lambda: double.held == 2, "the second part does not come while the first is on its way")
    double.gate.set()
    assert one.ended() == 200
    assert ask(server, "GET", PATH + "a.bin")[1] == DATA
    assert 2 <= double.parts_most <= 3
    assert is_clean(double)


def test_several_uploads(double, on_s3):
    """All go on, however few are ahead."""
    server = on_s3(double)
    double.fail("hold", times=8, op="part")
    all_of_them = [Upload(server, f"{n}.bin", DATA[n:]) for n in range(6)]
    until(lambda: double.held == 8, "parts of several uploads are not sent at once")
    double.gate.set()
    assert [one.ended() for one in all_of_them] == [200] * 6
    assert double.parts_most <= 8 + 6
    for n in range(6):
        assert ask(server, "GET", PATH + f"{n}.bin")[1] == DATA[n:]
    assert is_clean(double)


def test_parts_that_fail_beside_others(double, on_s3):
    """What goes away is not seen, whichever of the parts it meets."""
    server = on_s3(double)
    for n, kind in enumerate(["500", "503", "429", "reset", "lost", "slow", "truncated"]):
        double.forget_failures()
        double.fail(kind, times=2, op="part", after=1)
        double.fail(kind, times=1, op="part", after=1)
        data = DATA[n:3 * PART + 77]
        assert ask(server, "PUT", PATH + f"{kind}.bin", data)[0] == 200, kind
        assert [k for op, k in double.log if op == "part"].count(kind) == 3
        assert ask(server, "GET", PATH + f"{kind}.bin")[1] == data
    assert is_clean(double)


@pytest.mark.parametrize("kind", ["503", "reset"])
def test_a_part_that_fails_for_good(double, on_s3, kind):
    """The client is told, and what was on its way beside it leaves nothing."""
    server = on_s3(double, args=["--s3-patience", "4s"])
    double.fail(kind, times=10000, op="part", after=1)
    status, text, answer = ask(server, "PUT", PATH + "a.bin", DATA)
    assert status == 503 and answer.getheader("Retry-After"), text
    until(lambda: is_clean(double), "the upload is not aborted")
    double.forget_failures()
    assert ask(server, "GET", PATH + "a.bin")[0] == 404
    assert ask(server, "PUT", PATH + "a.bin", DATA)[0] == 200


def half(server, double):
    """A client that has sent three parts of four, two of which are on their way."""
    double.fail("hold", times=2, op="part")
    conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    conn.putrequest("PUT", PATH + "half.bin")
    conn.putheader("Content-Length", str(len(DATA)))
    conn.endheaders()
    conn.send(DATA[:2 * PART + MIB])
    until(lambda: double.held == 2, "no parts are on their way")
    return conn


def test_a_client_that_goes_away(double, on_s3):
    """The upload is aborted after its last part has come: one that came later would stay."""
    server = on_s3(double)
    half(server, double).close()
    # Something that comes after it on every thread that it uses: the server has seen that the client went away.
    assert ask(server, "PUT", PATH + "other.bin", DATA[:PART])[0] == 200
    assert double.uploads and "abort" not in [op for op, _ in double.log]
    double.gate.set()
    until(lambda: is_clean(double), "the upload is not aborted")
    assert ask(server, "GET", PATH + "half.bin")[0] == 404


def test_a_server_that_is_killed(double, on_s3):
    server = on_s3(double)
    conn = half(server, double)
    server.kill()
    conn.close()
    double.gate.set()
    server = on_s3(double)
    until(lambda: is_clean(double), "the next start does not take it away")
    assert ask(server, "GET", PATH + "half.bin")[0] == 404
    assert ask(server, "PUT", PATH + "half.bin", DATA)[0] == 200
    assert ask(server, "GET", PATH + "half.bin")[1] == DATA
