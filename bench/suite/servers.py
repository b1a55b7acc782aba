"""The programs that are measured, each with a store of its own in a folder of its own, on SQLite or PostgreSQL."""
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from . import machine

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lib"))
import cairn as lib  # noqa: E402

# The same for everybody; everything else is PostgreSQL's default: fsync, full_page_writes and synchronous_commit are on.
PG_SETTINGS = ("shared_buffers=256MB", "max_connections=100", "max_wal_size=4GB", "fsync=on", "full_page_writes=on")


class Failed(Exception):
    """A server did not do what was asked; the text says what."""


class Postgres(lib.Postgres):
    """A PostgreSQL that keeps what it acknowledges, for one server."""

    def __init__(self, parent):
        super().__init__(parent, settings=PG_SETTINGS)

    def cpu_s(self):
        return machine.cpu_s(self.process.pid)

    def version(self):
        return self.psql("SHOW server_version").split()[0]


class Server:
    """One server. `name` is its column in the report."""

    name = "?"
    start_limit_s = 120.0

    def __init__(self, folder, engine, store=None):
        """store: a database that exists and belongs to another server; without it, one of its own."""
        self.folder, self.engine, self.store = Path(folder), engine, store
        self.folder.mkdir(parents=True)
        self.process, self.port, self.pg = None, None, None
        self.start_ms = 0.0
        self.settings = {}
        if engine == "postgres" and not store:
            self.pg = Postgres(self.folder).start()
            self.store = self.pg.new_database()
            self.settings["postgres"] = {"version": self.pg.version(), "set": list(PG_SETTINGS)}

    def argv(self):
        raise NotImplementedError

    def env(self):
        return dict(os.environ)

    def version(self):
        return "?"

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        """Start; `start_ms` is the time to the first good answer of /health."""
        self.port = lib.free_port()
        start = time.perf_counter()
        self.process = lib.Process(self.argv(), self.folder / "log", cwd=self.folder, env=self.env())
        while not answers(self.port):
            if not self.process.is_running() or time.perf_counter() - start > self.start_limit_s:
                self.kill()
                raise Failed(f"{self.name} did not start:\n{lib.tail(self.folder / 'log', 20)}")
            time.sleep(0.001 if time.perf_counter() - start < 1 else 0.02)
        self.start_ms = (time.perf_counter() - start) * 1000
        return self

    def stop(self):
        """Ask it and its children to end."""
        if self.process and self.process.is_running():
            try:
                os.killpg(self.process.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
            self.process.stop(timeout=60)

    def kill(self):
        if self.process:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.proc.wait()

    def close(self):
        """Everything ends; the folder is the caller's to remove."""
        self.kill()
        if self.pg:
            self.pg.stop()
            self.pg = None

    def cpu_s(self):
        """(server, database) CPU seconds so far."""
        return machine.cpu_s(self.pid), self.pg.cpu_s() if self.pg else 0.0

    def memory_mb(self):
        """(RSS, PSS) of the server's own processes."""
        return machine.memory_mb(self.pid)

    def roots(self):
        return [self.pid] + ([self.pg.process.pid] if self.pg else [])

    def kept_mb(self):
        """What the server says it keeps in memory, `index_mb` of it to find runs; None: it does not say."""
        return None

    def sqlite_file(self):
        raise NotImplementedError

    def compact(self):
        """Bring what is stored into its final form, where there is such a thing. False if there is nothing to do."""
        return False

    def disk(self):
        """Bytes of the store: {"used", "file", "log"}. SQLite: after a checkpoint, without pages that are free; the server must
        have stopped or be idle. PostgreSQL: the database after VACUUM."""
        if self.pg:
            self.pg.psql("VACUUM", database=self.store.rsplit("/", 1)[1])
            self.pg.psql("CHECKPOINT")
            size = int(self.pg.psql(f"SELECT pg_database_size('{self.store.rsplit('/', 1)[1]}')"))
            return {"used": size, "file": size, "log": machine.folder_bytes(self.pg.dir / "db" / "pg_wal")}
        path = self.sqlite_file()
        log = Path(str(path) + "-wal")
        before = log.stat().st_size if log.exists() else 0
        with sqlite3.connect(path, timeout=10) as db:
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            pages, free, size = (db.execute(f"PRAGMA {p}").fetchone()[0] for p in ("page_count", "freelist_count", "page_size"))
        db.close()
        return {"used": (pages - free) * size, "file": pages * size, "log": before}

    def post(self, path, body, timeout=120):
        return call(self.url + path, body, timeout)

    def get(self, path, timeout=120):
        return call(self.url + path, None, timeout)

    def has(self, method, path):
        """True if there is such a route."""
        request = urllib.request.Request(self.url + path, None if method == "GET" else b"{}", {"Content-Type": "application/json"},
                                         method=method)
        try:
            urllib.request.urlopen(request, timeout=30).close()
        except urllib.error.HTTPError as err:
            err.close()
            return err.code not in (404, 405)
        return True

    def experiment(self, name):
        return str(self.post("/api/2.0/mlflow/experiments/create", {"name": name})["experiment_id"])


class Cairn(Server):
    name = "cairn"
    program = Path(os.environ.get("CAIRN_BIN") or ROOT / "build/release/cairn").resolve()

    def __init__(self, folder, engine, store=None, options=()):
        super().__init__(folder, engine, store)
        self.options = list(options)

    def argv(self):
        argv = [self.program, "server", "--data", self.folder / "store", "--listen", f"127.0.0.1:{self.port}"]
        return argv + (["--store", self.store] if self.store else []) + self.options

    def version(self):
        return subprocess.run([self.program, "--version"], stdout=subprocess.PIPE, text=True).stdout.split()[-1]

    def kept_mb(self):
        memory = self.get("/api/cairn/v1/version")["memory"]
        kept = {f"{what}_mb": int(n) / 1e6 for what, n in memory.items()}
        return {"index_mb": kept["columns_mb"] + kept["runs_mb"] + kept["keys_mb"]} | kept

    def figure(self, name):
        """What /metrics says."""
        with urllib.request.urlopen(self.url + "/metrics", timeout=30) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(name + " "):
                    return float(line.split()[1])
        raise Failed(f"cairn: /metrics has no {name}")

    def sqlite_file(self):
        return self.folder / "store" / "cairn.db"

    def compact(self):
        command = [self.program, "server", "compact"]
        if subprocess.run(command + ["--help"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            return False  # a program without compaction
        done = subprocess.run(command + ["--data", self.folder / "store"] + (["--store", self.store] if self.store else []),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900)
        if done.returncode:
            raise Failed(f"cairn server compact: {done.stdout.strip()}")
        return True


class Floor(Server):
    """The least that a server of small durable writes does (bench/bench_floor.c): what the machine allows. It keeps nothing."""

    name = "floor"
    program = Cairn.program.parent / "bench/bench_floor"

    def argv(self):
        return [self.program, self.port, self.folder / "log", 3600]

    def version(self):
        return "bench/bench_floor.c"


class Receive(Server):
    """The least that a server of files does (bench/bench_receive.c): receives, hashes, writes and syncs."""

    name = "receive"
    program = Cairn.program.parent / "bench/bench_receive"

    def argv(self):
        return [self.program, self.port, self.folder / "file", 3600]

    def version(self):
        return "bench/bench_receive.c"


class Mlflow(Server):
    name = "mlflow"
    python = None  # set by the caller

    def __init__(self, folder, engine, workers=4):
        super().__init__(folder, engine)
        self.workers = workers
        self.settings["workers"] = workers

    def argv(self):
        store = (self.store or f"sqlite:///{self.folder}/mlflow.db").replace("postgresql:", "postgresql+psycopg2:")
        return [self.python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", self.port, "--workers", self.workers,
                "--backend-store-uri", store, "--artifacts-destination", self.folder / "artifacts"]

    def env(self):
        env = dict(os.environ, MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true", PYTHONWARNINGS="ignore",
                   MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN"):
            env.pop(name, None)
        return env

    def version(self):
        done = subprocess.run([self.python, "-c", "import importlib.metadata as m; print(m.version('mlflow'))"],
                              stdout=subprocess.PIPE, text=True)
        return done.stdout.strip()

    def sqlite_file(self):
        return self.folder / "mlflow.db"


class FastTrackML(Server):
    name = "fasttrackml"
    program = None  # set by the caller

    def argv(self):
        store = self.store or f"sqlite://{self.folder}/fasttrackml.db"
        return [self.program, "server", "--listen-address", f"127.0.0.1:{self.port}", "--database-uri", store,
                "--default-artifact-root", self.folder / "artifacts", "--log-level", "error"]

    def version(self):
        done = subprocess.run([self.program, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.stdout.strip().split()[-1] if done.stdout.strip() else "?"

    def sqlite_file(self):
        return self.folder / "fasttrackml.db"


def answers(port):
    """True if GET /health is answered with 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as s:
            s.settimeout(2)
            s.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return s.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def call(url, body, timeout):
    """The JSON answer to a GET (no body) or POST."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as err:
        raise Failed(f"{url}: {err.code} {err.read()[:300].decode(errors='replace')}") from err
    except (OSError, ValueError) as err:
        raise Failed(f"{url}: {err}") from err
