"""W8: artifacts. One large file up and down, many small ones, a long list.

What is got is compared with what was sent: a difference raises Failed, and the figures of that round do not count."""
import hashlib
import http.client
import json
import random
import socket
import sqlite3
import subprocess
import time

from . import loader, machine
from .servers import Failed
from .wide import Watch
from .writes import Names

PIECE = 1 << 20
PROXY = "/api/2.0/mlflow-artifacts/artifacts"


class Large:
    """A file that nobody has seen: one random MiB, numbered."""

    def __init__(self, size, seed):
        self.size, self.base = size, random.Random(seed).randbytes(PIECE)

    def pieces(self):
        for i in range(-(-self.size // PIECE)):
            yield (i.to_bytes(8, "little") + self.base[8:])[:min(PIECE, self.size - i * PIECE)]

    def digest(self):
        sha = hashlib.sha256()
        for piece in self.pieces():
            sha.update(piece)
        return sha.hexdigest()


def answer_of(sock):
    got = b""
    while b"\r\n\r\n" not in got:
        more = sock.recv(65536)
        if not more:
            raise Failed(f"the connection ended: {got[:200]!r}")
        got += more
    return got


def up(server, size, name, seed):
    """One PUT with all CPU of the server and its memory."""
    file = Large(size, seed)
    before = server.cpu_s()[0]
    idle = server.memory_mb()[0]
    with Watch(server, 0.05) as memory, socket.create_connection(("127.0.0.1", server.port), timeout=600) as sock:
        start = time.perf_counter()
        sock.sendall(f"PUT {PROXY}/{name} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: {size}\r\n\r\n".encode())
        for piece in file.pieces():
            sock.sendall(piece)
        got = answer_of(sock)
        took = time.perf_counter() - start
    if b" 200 " not in got.split(b"\r\n")[0]:
        raise Failed(f"{server.name}: {got[:300]!r}")
    return {"mb_s": size / took / 1e6, "cpu_s_gb": (server.cpu_s()[0] - before) / (size / 1e9), "grown_mb": memory.peak_mb - idle,
            "seconds": took}


def down(server, size, name, seed):
    """The same file back, into one buffer; then once more, to compare it."""
    want = Large(size, seed).digest()
    buffer, sha = bytearray(PIECE), hashlib.sha256()

    def get(each):
        conn, total = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600), 0
        conn.request("GET", f"{PROXY}/{name}")
        answer = conn.getresponse()
        while True:
            n = answer.readinto(buffer)
            if not n:
                break
            total += n
            if each:
                each(memoryview(buffer)[:n])
        conn.close()
        if total != size:
            raise Failed(f"{server.name}: {total} bytes of {size} came back")

    before, idle = server.cpu_s()[0], server.memory_mb()[0]
    with Watch(server, 0.05) as memory:
        start = time.perf_counter()
        get(None)
        took = time.perf_counter() - start
    cpu = server.cpu_s()[0] - before
    get(sha.update)
    if sha.hexdigest() != want:
        raise Failed(f"{server.name}: other bytes came back")
    return {"mb_s": size / took / 1e6, "cpu_s_gb": cpu / (size / 1e9), "grown_mb": memory.peak_mb - idle, "seconds": took}


def small(server, sizes, n):
    """n files of 4 KB from 16 clients, each acknowledged as durable."""
    rnd, folder = random.Random(Names.n), Names.new("files")
    bodies = [rnd.randbytes(2048).hex() for _ in range(n)]
    lines = [f"PUT {PROXY}/{folder}/{i % 10}/{i:06} {body}" for i, body in enumerate(bodies)]
    result = loader.requests(server, lines, limit_s=300, requests=n, clients=16)
    if result["bad"] or result["requests"] != n:
        raise Failed(f"{server.name}: {result['requests']} of {n} files, {result['bad']} failed: {result.get('message')}")
    conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    for i in (0, n // 2, n - 1):
        conn.request("GET", f"{PROXY}/{folder}/{i % 10}/{i:06}")
        if conn.getresponse().read() != bodies[i].encode():
            raise Failed(f"{server.name}: file {i} has other bytes")
    conn.close()
    return result


def noise(size, seed, edits=()):
    """A file without any repetition, in pieces of 1 MiB; edits: numbers of pieces whose first 256 KiB are others."""
    for i in range(-(-size // PIECE)):
        piece = random.Random(seed * 1000003 + i).randbytes(PIECE)
        if i in edits:
            piece = random.Random(f"{seed} {i} edited").randbytes(PIECE // 4) + piece[PIECE // 4:]
        yield piece[:min(PIECE, size - i * PIECE)]


def send(server, name, size, pieces):
    with socket.create_connection(("127.0.0.1", server.port), timeout=600) as sock:
        sock.sendall(f"PUT {PROXY}/{name} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: {size}\r\n\r\n".encode())
        for piece in pieces:
            sock.sendall(piece)
        got = answer_of(sock)
    if b" 200 " not in got.split(b"\r\n")[0]:
        raise Failed(f"{server.name}: {got[:300]!r}")


def settled_bytes(server):
    """Bytes on disk when all is in packs, and what nothing refers to is gone."""
    for command in (("repack", "--wait"), ("gc", "--now")):
        done = subprocess.run([server.program, "server", *command, "--data", server.sqlite_file().parent], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=600)
        if done.returncode:
            raise Failed(f"{server.name}: {command[0]}: {done.stdout[-300:]}")
    return machine.folder_bytes(server.sqlite_file().parent / "blobs") + server.disk()["used"]


def again(server, size, seed):
    """What the second copy of a file costs on disk, and one with 1 % edited in pieces of 256 KiB."""
    folder = Names.new("again")
    send(server, f"{folder}/a", size, noise(size, seed))
    before = server.cpu_s()[0]
    start = time.perf_counter()
    first = settled_bytes(server)
    took, cpu = time.perf_counter() - start, server.cpu_s()[0] - before
    send(server, f"{folder}/b", size, noise(size, seed))
    second = settled_bytes(server)
    edits = random.Random(seed).sample(range(size // PIECE), max(1, size // 100 // (PIECE // 4)))
    send(server, f"{folder}/c", size, noise(size, seed, set(edits)))
    third = settled_bytes(server)
    sha, want = hashlib.sha256(), hashlib.sha256()
    for piece in noise(size, seed, set(edits)):
        want.update(piece)
    conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    conn.request("GET", f"{PROXY}/{folder}/c")
    answer = conn.getresponse()
    while piece := answer.read(PIECE):
        sha.update(piece)
    conn.close()
    if sha.digest() != want.digest():
        raise Failed(f"{server.name}: other bytes came back out of packs")
    return {"same_mb": (second - first) / 1e6, "edited": 100 * (third - second) / size, "pack_mb_s": size / took / 1e6,
            "cpu_s_gb": cpu / (size / 1e9)}


def sync_limit(folder):
    """Syncs a second of the machine: a group of files costs one."""
    return machine.sync_rate(folder)


class Many:
    """A folder of a run with n files, for lists."""

    def __init__(self, server, n):
        self.server, self.n = server, n
        self.experiment = server.experiment(Names.new())
        run = server.post("/api/2.0/mlflow/runs/create", {"experiment_id": self.experiment})["run"]["info"]
        self.run, self.root = run["run_id"], f"{self.experiment}/{run['run_id']}/artifacts"
        lines = [f"PUT {PROXY}/{self.root}/many/{i:06} x" for i in range(n)]
        result = loader.requests(server, lines, limit_s=600, requests=n, clients=16)
        if result["bad"] or result["requests"] != n:
            raise Failed(f"{server.name}: {result['requests']} of {n} files, {result['bad']} failed")

    def pages(self):
        """All pages of the run's list, one after the other."""
        conn = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=600)
        took, names, token = [], 0, ""
        while True:
            start = time.perf_counter()
            conn.request("GET", f"/api/2.0/mlflow/artifacts/list?run_id={self.run}&path=many" + (f"&page_token={token}" if token else ""))
            text = conn.getresponse().read()
            took.append(time.perf_counter() - start)
            page = json.loads(text)
            names += len(page.get("files", []))
            token = page.get("next_page_token", "")
            if not token:
                break
        conn.close()
        if names != self.n:
            raise Failed(f"{self.server.name}: {names} of {self.n} files are listed")
        took.sort()
        return {"page_ms": took[len(took) // 2] * 1000, "max_ms": took[-1] * 1000, "pages": len(took)}

    def whole(self):
        """The proxy's list, which has no pages."""
        idle = self.server.memory_mb()[0]
        conn = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=600)
        with Watch(self.server, 0.02) as memory:
            start = time.perf_counter()
            conn.request("GET", f"{PROXY}?path={self.root}/many")
            text = conn.getresponse().read()
            took = time.perf_counter() - start
        conn.close()
        names = len(json.loads(text).get("files", []))
        if names != self.n:
            raise Failed(f"{self.server.name}: {names} of {self.n} files are listed")
        return {"list_ms": took * 1000, "grown_mb": memory.peak_mb - idle}


def collected(server, n):
    """n objects that nothing refers to any more are collected: memory of all of the server meanwhile. Half lie in their rows, half in a
    pack. They are put into the store as rows while it does not run, which is the same for the collector and a matter of seconds: those
    in the pack are all where one file is that was packed, and they all name the pack, which goes with the last of them."""
    rnd, folder = random.Random(n), Names.new("collected")
    send(server, f"{folder}/one", 100000, noise(100000, n))
    settled_bytes(server)
    server.stop()
    with sqlite3.connect(server.sqlite_file()) as db:
        recipe, size, pack = db.execute("SELECT recipe, size, pack FROM object JOIN object_pack USING (sha256)").fetchone()
        names = [rnd.randbytes(32) for _ in range(n // 2)]
        db.executemany("INSERT INTO object (sha256, size, gen, state, stage, recipe) VALUES (?, ?, 0, 1, 1, ?)",
                       ((name, size, recipe) for name in names))
        db.executemany("INSERT INTO object_pack (pack, sha256) VALUES (?, ?)", ((pack, name) for name in names))
        db.executemany("INSERT INTO object (sha256, size, gen, state, body) VALUES (?, 16, 0, 1, ?)",
                       ((rnd.randbytes(32), rnd.randbytes(16)) for _ in range(n - n // 2)))
        db.execute("DELETE FROM artifact WHERE name = 'one'")
    db.close()
    server.start()
    with Watch(server, 0.05) as memory:
        start = time.perf_counter()
        done = subprocess.run([server.program, "server", "gc", "--now", "--data", server.sqlite_file().parent], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=900)
        took = time.perf_counter() - start
    with sqlite3.connect(server.sqlite_file()) as db:
        left = [db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in ("object", "object_pack", "packfile")]
    db.close()
    if done.returncode or any(left):
        raise Failed(f"{server.name}: objects, names in packs and packs that are left: {left}: {done.stdout[-300:]}")
    return {"peak_mb": memory.peak_mb, "objects_s": n / took}
