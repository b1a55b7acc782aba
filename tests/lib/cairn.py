"""Start and stop what the black-box tests talk to: a cairn server, a PostgreSQL 15, the real MLflow server.

Everything runs on loopback with ports chosen by the kernel, in directories that the caller gives, and is stopped
by process id. Environment:

    CAIRN_BIN             the program under test (default: build/release/cairn, else build/dev/cairn, ...)
    CAIRN_BIN_FAILPOINTS  one of the same tree with failpoints, which a release has none of (default: build/asan/cairn, build/dev/cairn)
    CAIRN_E2E_TARGET      "cairn" (default) or "mlflow": the real MLflow server, to prove the tests themselves
    CAIRN_E2E_ENGINES     comma list out of sqlite,postgres (default: both)
    CAIRN_E2E_URL         use this running server instead of starting one
    CAIRN_PG_BIN          directory of initdb and postgres (default: /usr/lib/postgresql/15/bin)
    CAIRN_PYENV_NEW, CAIRN_PYENV_312   Python of the two MLflow environments
    CAIRN_PYENV_REGISTRY, CAIRN_PYENV_REGISTRY_ALPHA   of the two clients of Kubeflow's model registry
    CAIRN_MLFLOW_RELEASE  "new" (default) or "312": which real server CAIRN_E2E_TARGET=mlflow starts
"""

import fcntl
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0


class StartError(RuntimeError):
    """A server did not come up; the text holds the end of its log."""


def find_binary():
    """Path of the program under test; raises StartError with a hint when there is none."""
    named = os.environ.get("CAIRN_BIN")
    if named:
        return Path(named)
    for build in ("release", "dev", "asan"):
        path = ROOT / "build" / build / "cairn"
        if path.is_file():
            return path
    raise StartError("no cairn program found: build it, or name it in CAIRN_BIN")


def bench_binaries(*names):
    """Paths of programs of bench/ beside the program under test, built if they are not there."""
    build = find_binary().parent
    paths = [build / "bench" / name for name in names]
    with open(build / "bench.lock", "w") as lock:  # two workers may ask
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [path.relative_to(build) for path in paths if not path.exists()]
        if missing:
            subprocess.run(["ninja", "-C", build, *missing], check=True, stdout=subprocess.DEVNULL)
    return paths


def find_binary_with_failpoints():
    """The same of a build in which CAIRN_FAILPOINT means something."""
    named = os.environ.get("CAIRN_BIN_FAILPOINTS")
    if named:
        return Path(named)
    for build in ("asan", "dev"):
        path = ROOT / "build" / build / "cairn"
        if path.is_file():
            return path
    raise StartError("no cairn program with failpoints found: tools/build dev, or name one in CAIRN_BIN_FAILPOINTS")


def find_python(env):
    """Python of an environment of tests/requirements, or None when it is not installed."""
    named = os.environ.get({"mlflow-new": "CAIRN_PYENV_NEW", "mlflow-312": "CAIRN_PYENV_312",
                            "model-registry": "CAIRN_PYENV_REGISTRY",
                            "model-registry-v1alpha3": "CAIRN_PYENV_REGISTRY_ALPHA", "grpc": "CAIRN_PYENV_GRPC",
                            "mlmd": "CAIRN_PYENV_MLMD", "tus": "CAIRN_PYENV_TUS",
                            "openlineage": "CAIRN_PYENV_OPENLINEAGE"}[env])
    if named:
        return Path(named)
    path = ROOT / ".cache" / "pyenv" / env / "bin" / "python"
    if path.exists():
        return path
    return Path(sys.executable) if env == "mlflow-new" else None


def find_program(*names):
    """The first of these programs that is here, by name or by path; None without any."""
    return next((found for found in map(shutil.which, names) if found), None)


def go_tool(name, build=True):
    """Path of a program of tests/requirements in Go, built if that is wanted; a skip says why there is none."""
    import pytest

    found = shutil.which(name)
    if found:
        return found
    if not build and not list((ROOT / ".cache" / "gotool").glob(f"*/{name}")):
        pytest.skip(f"no {name}: tools/gotool {name} builds it (two minutes)")
    made = subprocess.run([ROOT / "tools/gotool", name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if made.returncode:
        pytest.skip(made.stderr.strip().splitlines()[-1] if made.stderr else f"no {name}")
    return made.stdout.strip()


def connects(host, port):
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        return False
    return True


def free_port():
    """A loopback port that was free a moment ago, for programs that cannot be told to choose one."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def http_get(url, timeout=2.0):
    """(status, body) of a GET; status 0 when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as err:
        return err.code, err.read()
    except OSError:
        return 0, b""


def tail(path, n=60):
    """The last n lines of a log file."""
    try:
        lines = Path(path).read_text(errors="replace").splitlines()
    except OSError:
        return "(no log)"
    return "\n".join(lines[-n:])


class Process:
    """One child process with its output in a file; stopped by its own process id."""

    def __init__(self, argv, log_path, cwd=None, env=None):
        self.log_path = Path(log_path)
        self.argv = [str(a) for a in argv]
        with open(self.log_path, "ab") as log:
            self.proc = subprocess.Popen(self.argv, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                         cwd=cwd, env=env, start_new_session=True)

    @property
    def pid(self):
        return self.proc.pid

    def is_running(self):
        return self.proc.poll() is None

    def wait_until(self, ready, timeout=START_TIMEOUT_S):
        """Poll ready() until it is true; StartError if the process ends or the time is over."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if ready():
                return
            if not self.is_running():
                raise StartError(f"{self.argv[0]} ended with {self.proc.returncode}:\n{tail(self.log_path)}")
            time.sleep(0.02)
        self.kill()
        raise StartError(f"{' '.join(self.argv)} not ready in {timeout} s:\n{tail(self.log_path)}")

    def stop(self, sig=signal.SIGTERM, timeout=STOP_TIMEOUT_S):
        """Ask to end, wait, and kill if it does not; the exit status."""
        if self.is_running():
            self.proc.send_signal(sig)
            try:
                self.proc.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.proc.returncode

    def kill(self):
        """kill -9, as after a crash."""
        if self.is_running():
            self.proc.kill()
        self.proc.wait()


class CairnServer:
    """`cairn server` on a data directory. The same directory can be started again after stop() or kill()."""

    kind = "cairn"

    def __init__(self, data, store=None, blobs=None, args=(), binary=None, env=None, auth=None, prefix=""):
        self.data = Path(data)
        self.data.mkdir(parents=True, exist_ok=True)
        self.store = store
        self.blobs = blobs
        self.args = list(args)
        self.auth = auth
        self.prefix = prefix
        self.binary = Path(binary) if binary else find_binary()
        self.env = dict(os.environ, **(env or {}))
        self.process = None
        self.base = None
        self.log_path = self.data.parent / (self.data.name + ".log")

    @property
    def engine(self):
        return "postgres" if self.store else "sqlite"

    @property
    def url(self):
        """Address for clients, static prefix included."""
        return self.base + self.prefix

    @property
    def pid(self):
        return self.process.pid

    @property
    def port(self):
        return int(self.base.rsplit(":", 1)[1])

    def start(self, timeout=START_TIMEOUT_S):
        argv = [self.binary, "server", "--data", self.data, "--listen", "127.0.0.1:0"]
        if self.store:
            argv += ["--store", self.store]
        if self.blobs:
            argv += ["--blobs", self.blobs]
        if self.auth:
            argv += ["--auth", self.auth]
        if self.prefix:
            argv += ["--static-prefix", self.prefix]
        url_file = self.data / "server.url"
        url_file.unlink(missing_ok=True)
        self.process = Process(argv + self.args, self.log_path, env=self.env)

        def ready():
            try:
                self.base = url_file.read_text().strip().rstrip("/")
            except OSError:
                return False
            return self.base != "" and http_get(self.base + "/health")[0] == 200

        self.process.wait_until(ready, timeout)
        if self.prefix and self.base.endswith(self.prefix):
            self.base = self.base[: -len(self.prefix)]
        return self

    def stop(self):
        return self.process.stop() if self.process else None

    def kill(self):
        self.process.kill()

    def log(self, n=60):
        return tail(self.log_path, n)

    def rss_kib(self):
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0


class MlflowServer:
    """The real `mlflow server` of an environment: SQLite, one worker, artifact proxy on."""

    kind = "mlflow"
    engine = "mlflow"

    def __init__(self, data, env_name=None, prefix="", args=()):
        self.data = Path(data)
        self.data.mkdir(parents=True, exist_ok=True)
        release = os.environ.get("CAIRN_MLFLOW_RELEASE", "new")
        self.python = find_python(env_name or f"mlflow-{release}")
        self.prefix = prefix
        self.args = list(args)
        self.log_path = self.data / "server.log"
        self.process = None
        self.base = None

    @property
    def url(self):
        return self.base + self.prefix

    @property
    def pid(self):
        return self.process.pid

    @property
    def port(self):
        return int(self.base.rsplit(":", 1)[1])

    def start(self, timeout=120.0):
        port = free_port()
        env = dict(os.environ, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false", MLFLOW_DISABLE_TELEMETRY="true",
                   PYTHONWARNINGS="ignore")
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN"):
            env.pop(name, None)
        argv = [self.python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
                "--backend-store-uri", f"sqlite:///{self.data}/mlflow.db",
                "--artifacts-destination", self.data / "artifacts"]
        if self.prefix:
            argv += ["--static-prefix", self.prefix]
        self.process = Process(argv + self.args, self.log_path, cwd=self.data, env=env)
        self.base = f"http://127.0.0.1:{port}"
        self.process.wait_until(lambda: http_get(self.base + self.prefix + "/health")[0] == 200
                                or http_get(self.base + "/health")[0] == 200, timeout)
        return self

    def stop(self):
        if not self.process:
            return None
        # the parent starts workers in its own session; all of them are ours
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        return self.process.stop()

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.proc.wait()

    def log(self, n=60):
        return tail(self.log_path, n)


class RunningServer:
    """A server somebody else started (CAIRN_E2E_URL)."""

    def __init__(self, url, kind="cairn"):
        self.base = url.rstrip("/")
        self.url = self.base
        self.prefix = ""
        self.kind = kind
        self.engine = kind

    @property
    def port(self):
        return int(self.base.rsplit(":", 1)[1])

    def stop(self):
        return None

    def log(self, n=60):
        return "(started elsewhere)"


class Postgres:
    """A throw-away PostgreSQL of its own in a temporary directory; trust authentication, loopback only."""

    # the machine does not lose power in the tests
    SETTINGS = ("max_connections=60", "shared_buffers=32MB", "fsync=off", "full_page_writes=off")

    def __init__(self, parent=None, settings=SETTINGS):
        self.settings = settings
        self.bin = Path(os.environ.get("CAIRN_PG_BIN", "/usr/lib/postgresql/15/bin"))
        self.dir = Path(tempfile.mkdtemp(prefix="cairn-pg-", dir=parent or "/tmp"))
        self.user = self._unprivileged_user()
        self.port = None
        self.process = None
        self.created = 0

    @staticmethod
    def is_available():
        return (Path(os.environ.get("CAIRN_PG_BIN", "/usr/lib/postgresql/15/bin")) / "initdb").exists()

    @staticmethod
    def _unprivileged_user():
        """PostgreSQL refuses to run as root: name the account to use, or None when we are not root."""
        if os.geteuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            try:
                pwd.getpwnam(name)
                return name
            except KeyError:
                continue
        raise StartError("PostgreSQL needs an unprivileged account: postgres or nobody")

    def _argv(self, argv):
        if not self.user:
            return [str(a) for a in argv]
        entry = pwd.getpwnam(self.user)
        return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups", "--",
                *[str(a) for a in argv]]

    def _env(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        return dict(env, LC_ALL="C.UTF-8", HOME=str(self.dir), TZ="UTC")

    def start(self):
        if self.user:
            entry = pwd.getpwnam(self.user)
            os.chown(self.dir, entry.pw_uid, entry.pw_gid)
        os.chmod(self.dir, 0o755)
        if not (self.dir / "db").exists():
            done = subprocess.run(self._argv([self.bin / "initdb", "-D", self.dir / "db", "-U", "postgres", "-A", "trust",
                                              "-E", "UTF8", "--no-sync"]),
                                  capture_output=True, text=True, env=self._env(), cwd=self.dir)
            if done.returncode:
                raise StartError(f"initdb failed:\n{done.stdout}\n{done.stderr}")
        for attempt in range(5):
            self.port = free_port()
            self.process = Process(self._argv([self.bin / "postgres", "-D", self.dir / "db", "-p", self.port,
                                               "-c", "listen_addresses=127.0.0.1",
                                               "-c", f"unix_socket_directories={self.dir}",
                                               *[word for setting in self.settings for word in ("-c", setting)]]),
                                   self.dir.parent / (self.dir.name + ".log"), env=self._env(), cwd=self.dir)
            try:
                self.process.wait_until(self._is_ready)
                return self
            except StartError:
                if attempt == 4:
                    raise
        return self

    def _is_ready(self):
        return subprocess.run([self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)],
                              env=self._env()).returncode == 0

    def psql(self, sql, database="postgres"):
        """Run SQL as the superuser; the unaligned output."""
        done = subprocess.run([self.bin / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port),
                               "-U", "postgres", "-d", database, "-c", sql],
                              capture_output=True, text=True, env=self._env())
        if done.returncode:
            raise RuntimeError(f"psql: {done.stderr}")
        return done.stdout.strip()

    def new_database(self):
        """A fresh database; its URI."""
        self.created += 1
        name = f"cairn{self.created}"
        self.psql(f"CREATE DATABASE {name}")
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def stop(self):
        if self.process:
            self.process.stop(signal.SIGQUIT)     # at once: the folder goes away
            self.process = None
        # tens of thousands of files after hundreds of databases: nobody waits for that
        subprocess.Popen(["rm", "-rf", str(self.dir)], start_new_session=True, stdin=subprocess.DEVNULL)
        (self.dir.parent / (self.dir.name + ".log")).unlink(missing_ok=True)


def is_mlflow_target():
    return os.environ.get("CAIRN_E2E_TARGET", "cairn") == "mlflow"


def engines():
    """The engines of this session: ["mlflow"] against the real server, else sqlite and postgres."""
    if is_mlflow_target():
        return ["mlflow"]
    if os.environ.get("CAIRN_E2E_URL"):
        return ["running"]
    named = [e for e in os.environ.get("CAIRN_E2E_ENGINES", "sqlite,postgres").split(",") if e]
    return named


def json_body(data):
    """A JSON answer as Python, NaN and Infinity tokens included; None when it is not JSON."""
    try:
        return json.loads(data)
    except ValueError:
        return None
