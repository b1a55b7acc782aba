"""Uploads that go on where they stopped, by hand: offsets, cuts, kills, what is refused; and with the command line. The clients of the
tus protocol are in test_tus.py."""

import base64
import email.utils
import hashlib
import http.client
import os
import re
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import cairn
import pytest
from command import Cli
from cutter import Cutter

pytestmark = pytest.mark.cairn_only

API = "/api/cairn/v1/uploads"
FILE = "/api/cairn/v1/artifacts/file?path="
BODY = {"Content-Type": "application/offset+octet-stream"}
LOCKED = 423


def data_of(n, seed=1):
    return b"".join(hashlib.sha256(b"%d %d" % (seed, i)).digest() for i in range(n // 32 + 1))[:n]


def sum_of(name, data):
    return f"{name} {base64.b64encode(hashlib.new(name, data).digest()).decode()}"


def gc(tmp_path, server, how):
    return Cli(tmp_path).json("server", "gc", "--data", str(server.data), how, *(["--store", server.store] if server.store else []))


class Upload:
    """One upload over a connection of its own."""

    def __init__(self, port, location=""):
        self.port, self.location = port, location

    def ask(self, method, path, body=None, **fields):
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            while True:
                headers = {"Tus-Resumable": "1.0.0", **{name.replace("_", "-"): str(value) for name, value in fields.items()}}
                conn.request(method, path, body=body, headers=headers)
                answer = conn.getresponse()
                answer.data = answer.read()
                # A request that was cut is still saving what came: its clients are told to try again.
                if answer.status != LOCKED:
                    return answer
        finally:
            conn.close()

    def begin(self, path, size, **metadata):
        text = ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in {"path": path, **metadata}.items())
        answer = self.ask("POST", API, Upload_Length=size, Upload_Metadata=text)
        if answer.status == 201:
            assert answer.headers["Location"].startswith("uploads/")
            self.location = API.rsplit("/", 1)[0] + "/" + answer.headers["Location"]
        return answer

    def offset(self):
        answer = self.ask("HEAD", self.location)
        return int(answer.headers["Upload-Offset"]) if answer.status == 200 else None

    def offset_beyond(self, at):
        """Once a request that was cut has been seen and saved."""
        end = time.monotonic() + 60
        while self.offset() == at and time.monotonic() < end:
            time.sleep(0.02)
        return self.offset()

    def add(self, at, data, **fields):
        return self.ask("PATCH", self.location, body=data, Upload_Offset=at, **BODY, **fields)

    def cut(self, at, data, said, fields=""):
        """Says that `said` bytes come, sends these, and is gone."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as s:
            s.sendall((f"PATCH {self.location} HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: {at}\r\n"
                       f"{fields}Content-Type: application/offset+octet-stream\r\nContent-Length: {said}\r\n\r\n").encode() + data)


def got(port, path):
    return Upload(port).ask("GET", FILE + path)


@pytest.fixture(params=cairn.engines(), scope="module")
def own(request, tmp_path_factory):
    """A server of this module alone."""
    store = request.getfixturevalue("postgres").new_database() if request.param == "postgres" else None
    server = cairn.CairnServer(tmp_path_factory.mktemp("data") / "data", store=store).start()
    yield server
    server.stop()


def test_in_pieces(own):
    data = data_of(300_000)
    up = Upload(own.port)
    answer = up.begin("a/in pieces.bin", len(data))
    assert (answer.status, answer.headers["Tus-Resumable"], answer.headers["Upload-Offset"]) == (201, "1.0.0", "0")
    for at in range(0, len(data), 70_000):
        assert up.offset() == at
        answer = up.add(at, data[at:at + 70_000])
        assert (answer.status, answer.headers["Upload-Offset"]) == (204, str(min(at + 70_000, len(data))))
        assert (got(own.port, "a/in%20pieces.bin").status == 200) == (at + 70_000 >= len(data))
    sha = hashlib.sha256(data)
    assert answer.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(sha.digest()).decode()}:"
    assert got(own.port, "a/in%20pieces.bin").data == data
    # Who missed the last answer is told; nothing can be added.
    assert up.offset() == len(data)
    assert up.add(len(data), b"x").status == 409
    assert up.ask("DELETE", up.location).status == 404


def test_a_cut_goes_on_where_it_stopped(own):
    data = data_of(3_000_000, 2)
    up = Upload(own.port)
    assert up.begin("cut.bin", len(data)).status == 201
    up.cut(0, data[:1_234_567], len(data))
    at = up.offset_beyond(0)
    assert at == 1_234_567          # not a byte is asked for twice
    up.cut(at, data[at:at + 1], len(data) - at)
    assert up.offset_beyond(at) == at + 1
    at += 1
    assert up.add(at, data[at:]).status == 204
    assert got(own.port, "cut.bin").data == data


def test_what_is_refused(own):
    up = Upload(own.port)
    assert up.ask("POST", API, Upload_Length=10, **{"Tus-Resumable": "0.2.2"}).status == 412
    assert up.begin("../out", 10).status == 400
    assert up.begin("", 10).status == 400
    assert up.begin("empty", 0).status == 400
    assert up.ask("POST", API + "?path=x").status == 400                      # no length
    assert up.begin("x", 10, sha256="12").status == 400
    assert up.begin("x", 10, run_id="none").status == 404
    assert up.begin("wrong.bin", 10, sha256=hashlib.sha256(b"0123456789").hexdigest()).status == 201
    assert up.ask("PATCH", up.location, body=b"01", Upload_Offset=0).status == 415
    assert up.ask("PATCH", up.location, body=b"01", **BODY).status == 400     # no offset
    answer = up.add(3, b"01")
    assert (answer.status, answer.headers["Upload-Offset"]) == (409, "0")
    assert up.add(0, b"0123456789a").status == 400                            # longer than was said
    assert up.add(0, b"01234").status == 204
    answer = up.add(0, b"01234")
    assert (answer.status, answer.headers["Upload-Offset"]) == (409, "5")
    # The wrong bytes: nothing is kept, and the upload is over.
    assert up.add(5, b"5678x").status == 400
    assert up.offset() is None
    assert got(own.port, "wrong.bin").status == 404
    assert up.add(5, b"56789").status == 404
    # A place that has become a folder meanwhile.
    assert up.begin("late", 4).status == 201
    assert up.ask("PUT", FILE + "late/a", body=b"a").status == 200
    assert up.add(0, b"late").status == 400
    assert up.offset() is None
    # Given up.
    assert up.begin("gone", 4).status == 201
    assert up.ask("DELETE", up.location).status == 204
    assert up.offset() is None
    assert up.add(0, b"gone").status == 404


def test_what_is_spoken(own):
    answer = Upload(own.port).ask("OPTIONS", API)
    assert (answer.status, answer.headers["Tus-Version"]) == (204, "1.0.0")
    assert answer.headers["Tus-Extension"] == "creation,termination,expiration,checksum"
    assert answer.headers["Tus-Checksum-Algorithm"] == "sha1,sha256"
    # A browser asks first, and then reads these fields.
    asked = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "tus-resumable"}
    first = Upload(own.port).ask("OPTIONS", API, **asked)
    assert "PATCH" in first.headers["Access-Control-Allow-Methods"] and "Tus-Extension" not in first.headers
    answer = Upload(own.port).ask("POST", API + "?path=of-a-page", Upload_Length=10, Origin="http://localhost:3000")
    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert {"Location", "Upload-Offset", "Upload-Expires"} <= set(answer.headers["Access-Control-Expose-Headers"].split(", "))


def test_it_says_when_it_ends(own):
    up = Upload(own.port)
    before = time.time()
    for answer in (up.begin("ends", 10), up.add(0, b"01234"), up.ask("HEAD", up.location)):
        ends = email.utils.parsedate_to_datetime(answer.headers["Upload-Expires"]).timestamp()
        assert before + 24 * 3600 - 2 < ends < time.time() + 24 * 3600 + 2
    assert "Upload-Expires" not in up.add(5, b"56789").headers
    assert "Upload-Expires" not in up.ask("HEAD", up.location).headers


@pytest.mark.parametrize("name", ["sha1", "sha256"])
def test_checksums(own, name):
    data = data_of(700_000, 7)
    up = Upload(own.port)
    assert up.begin(f"sum {name}", len(data)).status == 201
    assert up.add(0, data[:300_000], Upload_Checksum=sum_of(name, data[:300_000])).status == 204
    # Damaged on its way: nothing of it is kept, with the last bytes too, and the upload goes on.
    for end in (500_000, len(data)):
        damaged = bytearray(data[300_000:end])
        damaged[-1] ^= 1
        answer = up.add(300_000, bytes(damaged), Upload_Checksum=sum_of(name, data[300_000:end]))
        assert answer.status == 460 and b"checksum" in answer.data
        assert up.offset() == 300_000
    # And of one that was cut nothing is kept: who knows what came.
    up.cut(300_000, data[300_000:500_000], 400_000, f"Upload-Checksum: {sum_of(name, data[300_000:])}\r\n")
    assert up.offset() == 300_000
    for wrong in ("md5 1B2M2Y8AsgTpgAmY7PhCfg==", "sha1", f"{name} AAAA", f"{name} ?"):
        assert up.add(300_000, b"x", Upload_Checksum=wrong).status == 400
    assert got(own.port, f"sum%20{name}").status == 404
    assert up.add(300_000, data[300_000:], Upload_Checksum=sum_of(name, data[300_000:])).status == 204
    assert got(own.port, f"sum%20{name}").data == data


def test_two_at_once(own):
    up = Upload(own.port)
    assert up.begin("two.bin", 100_000).status == 201
    with socket.create_connection(("127.0.0.1", own.port), timeout=60) as s:
        s.sendall((f"PATCH {up.location} HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nExpect: 100-continue\r\n"
                   f"Content-Type: application/offset+octet-stream\r\nContent-Length: 100000\r\n\r\n").encode())
        assert b"100 Continue" in s.recv(100)       # it is at work
        conn = http.client.HTTPConnection("127.0.0.1", own.port, timeout=60)
        for method in ("HEAD", "PATCH", "DELETE"):
            conn.request(method, up.location, headers={"Tus-Resumable": "1.0.0", "Upload-Offset": "0", **BODY})
            answer = conn.getresponse()
            answer.read()
            assert answer.status == LOCKED, method
        conn.close()
        s.sendall(b"x" * 100_000)
        assert b" 204 " in s.recv(1000)


def test_a_file_is_found_again(own):
    up, again = Upload(own.port), Upload(own.port)
    assert up.begin("found.bin", 10, fingerprint="f 1").status == 201
    assert up.add(0, b"01234").status == 204
    answer = again.begin("found.bin", 10, fingerprint="f 1")
    assert (answer.status, answer.headers["Upload-Offset"], again.location) == (201, "5", up.location)
    for path, size, mark in (("found.bin", 11, "f 1"), ("other.bin", 10, "f 1"), ("found.bin", 10, "f 2")):
        assert again.begin(path, size, fingerprint=mark).headers["Upload-Offset"] == "0"
        assert again.location != up.location
    assert up.add(5, b"56789").status == 204
    assert again.begin("found.bin", 10, fingerprint="f 1").headers["Upload-Offset"] == "0"


def test_after_a_kill(own):
    """What is answered after a restart is durable: it can be gone on with, and the file is right."""
    server, data = own, data_of(2_000_000, 3)
    up = Upload(server.port)
    assert up.begin("killed.bin", len(data)).status == 201
    assert up.add(0, data[:700_001]).status == 204
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as s:
        s.sendall((f"PATCH {up.location} HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 700001\r\n"
                   f"Content-Type: application/offset+octet-stream\r\nContent-Length: 1000000\r\n\r\n").encode() + data[700_001:1_000_000])
        server.kill()
    server.start()
    up.port = server.port
    at = up.offset()
    assert 700_001 <= at <= 1_000_000
    assert up.add(at, data[at:]).status == 204
    assert got(server.port, "killed.bin").data == data
    # Saved bytes that are lost end the upload; they never make a wrong file.
    assert up.begin("lost.bin", len(data)).status == 201
    assert up.add(0, data[:500_000]).status == 204
    server.kill()
    partial = server.data / "blobs/partial" / up.location.rsplit("/", 1)[1]
    os.truncate(partial, 499_999)
    server.start()
    up.port = server.port
    assert up.add(500_000, data[500_000:]).status == 404
    assert up.offset() is None


def test_what_is_left_is_collected(own, tmp_path):
    server = own
    up, kept = Upload(server.port), None
    for name, size in (("one", 10), ("two", 5), ("three", 10)):
        assert up.begin(name, size).status == 201
        assert up.add(0, b"12345").status == 204
        kept = up.location.rsplit("/", 1)[1] if name == "one" else kept
        if name == "three":
            assert up.ask("DELETE", up.location).status == 204

    assert gc(tmp_path, server, "--dry-run")["uploads"] <= 5      # with those of the tests before; the collector may have been there already
    gc(tmp_path, server, "--now")
    assert gc(tmp_path, server, "--dry-run")["uploads"] == 0
    left = {f.name for f in (server.data / "blobs/partial").iterdir()}
    assert kept in left and up.location.rsplit("/", 1)[1] not in left       # "one" may go on
    assert got(server.port, "two").data == b"12345"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk(tmp_path):
    """503 with what to do; what was saved stays, what is given up makes room at once, and the upload goes on."""
    folder = Path(tempfile.mkdtemp(prefix="cairn-disk-", dir="/tmp"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m,mode=755", "tmpfs", str(folder)], check=True)
    server = cairn.CairnServer(folder / "data").start()
    try:
        data = data_of(4 << 20, 8)
        up, other = Upload(server.port), Upload(server.port)
        assert up.begin("stays", len(data)).status == 201
        assert up.add(0, data[:1 << 20]).status == 204
        assert other.begin("goes", 20 << 20).status == 201
        assert other.add(0, bytes(15 << 20)).status == 204
        with open(folder / "ballast", "wb", buffering=0) as f, pytest.raises(OSError):   # to the last byte
            while True:
                f.write(b"\0" * 4096)
        answer = up.add(1 << 20, data[1 << 20:])
        assert answer.status == 503 and answer.headers["Retry-After"] and b"gc --now" in answer.data, answer.data
        assert up.offset() == 1 << 20
        assert other.ask("DELETE", other.location).status == 204
        gc(tmp_path, server, "--now")
        answer = up.add(1 << 20, data[1 << 20:])
        assert answer.status == 204, answer.data
        assert got(server.port, "stays").data == data
        assert server.stop() == 0
    finally:
        if server.process.is_running():
            server.kill()
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


@pytest.mark.parametrize("point", ["core.resume.cancel", "core.resume.drop", "core.resume.left"])
def test_killed_while_it_ends(point, tmp_path):
    """An upload that is given up: the program dies at every step, and the next collection ends it."""
    binary = cairn.find_binary_with_failpoints()
    server = cairn.CairnServer(tmp_path / "data", binary=binary).start()
    up = Upload(server.port)
    assert up.begin("x", 10).status == 201
    assert up.add(0, b"12345").status == 204
    assert server.stop() == 0
    server = cairn.CairnServer(tmp_path / "data", binary=binary, env={"CAIRN_FAILPOINT": f"{point}=kill:1"}).start()
    up.port = server.port
    try:
        up.ask("DELETE", up.location)
    except (OSError, http.client.HTTPException):
        pass
    subprocess.run([str(binary), "server", "gc", "--now", "--data", str(server.data)], capture_output=True, timeout=60)
    server.process.proc.wait(60)
    server = cairn.CairnServer(tmp_path / "data", binary=binary, env={"CAIRN_FAILPOINT": ""}).start()
    up.port = server.port
    if up.offset() is not None:
        assert up.ask("DELETE", up.location).status == 204
    Cli(tmp_path).json("server", "gc", "--data", str(server.data), "--now")
    assert up.offset() is None
    assert not list((server.data / "blobs/partial").iterdir())
    assert server.stop() == 0


def test_the_command_goes_on_by_itself(own, tmp_path):
    """A cut connection: the command waits and goes on; no byte of the file is sent twice."""
    data = data_of(20 << 20, 5)
    (tmp_path / "big.bin").write_bytes(data)
    proxy = Cutter(own.port, 7 << 20)
    Cli(tmp_path, f"http://127.0.0.1:{proxy.port}").run("artifact", "put", "-", "big.bin", "--to", "by-command")
    assert proxy.cuts == 1
    assert proxy.sent < len(data) + 64 * 1024       # heads
    assert got(own.port, "by-command/big.bin").data == data


def test_the_same_command_after_a_kill(own, tmp_path):
    """The command and the server are killed; the same command sends what is missing only."""
    data = data_of(20 << 20, 6)
    (tmp_path / "big.bin").write_bytes(data)
    cli = Cli(tmp_path)
    hold = socket.create_server(("127.0.0.1", 0))
    process = subprocess.Popen([str(cli.binary), "artifact", "put", "-", "big.bin", "--to", "killed"], cwd=tmp_path,
                               env=dict(cli.env, CAIRN_SERVER=f"http://127.0.0.1:{hold.getsockname()[1]}"))
    sent, seen = 0, bytearray()
    while sent < 9 << 20:               # passed on by hand, so that it dies in the middle of the file
        client = hold.accept()[0]
        with client, socket.create_connection(("127.0.0.1", own.port)) as server:
            back = threading.Thread(target=Cutter.back, args=(server, client, seen), daemon=True)
            back.start()
            while sent < 9 << 20 and (part := client.recv(65536)):
                server.sendall(part)
                sent += len(part)
            if sent >= 9 << 20:
                process.kill()
                process.wait(60)
            server.shutdown(socket.SHUT_WR)
            back.join(60)
    hold.close()
    up = Upload(own.port, "/api/cairn/v1/" + re.search(rb"Location: (uploads/\w+)", seen)[1].decode())
    assert up.offset_beyond(0) > 8 << 20        # what came is saved once it is seen that the client has gone
    own.kill()
    own.start()
    proxy = Cutter(own.port, 1 << 40)
    cli.env["CAIRN_SERVER"] = f"http://127.0.0.1:{proxy.port}"
    cli.run("artifact", "put", "-", "big.bin", "--to", "killed")
    assert "goes on at" in cli.err
    assert proxy.sent < len(data) - (8 << 20)
    assert got(own.port, "killed/big.bin").data == data
