"""Real S3 servers for the tests, each of its own, on loopback, in a temporary directory, stopped by process id.

Radosgw: Ceph of Debian 12 (packages radosgw, ceph-mon, ceph-osd): one monitor, one OSD in memory, one gateway; up in a few
seconds with about 130 MB. Versitygw: by the Go module proxy, where Go is new enough; kept in .cache/s3.
"""

import base64
import ctypes
import json
import os
import pwd
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import s3sign
from cairn import Process, StartError, free_port, http_get, tail

ROOT = Path(__file__).resolve().parents[2]
ACCESS, SECRET = "cairnaccess", "cairnsecretcairnsecret"
BUCKET = "cairn"
VERSITYGW = "v1.8.0"
VERSITYGW_GO = (1, 25)

CEPH_CONF = """[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{mon}/0
mon initial members = a
keyring = {dir}/keyring
log file = {dir}/$name.log
log to stderr = false
admin socket =
run dir = {dir}
pid file =
crash dir = {dir}
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail warn = 2
mon data avail crit = 1
auth allow insecure global id reclaim = true
ms async op threads = 1
[mon]
mon data = {dir}/mon
rocksdb cache size = 8388608
paxos propose interval = 0.05
paxos min wait = 0.01
mon tick interval = 1
[osd]
osd data = {dir}/osd
osd objectstore = memstore
memstore device bytes = {bytes}
osd op num shards = 1
osd op num threads per shard = 2
osd memory target = 200000000
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw thread pool size = 32
rgw enable usage log = false
rgw enable ops log = false
rgw enable lc threads = false
rgw enable quota threads = false
rgw run sync thread = false
rgw dynamic resharding = false
rgw override bucket index max shards = 1
rgw num rados handles = 1
rgw enable apis = s3, sts, iam
rgw s3 auth use sts = true
rgw sts key = 0123456789abcdef
rgw dns name = localhost
rgw gc obj min wait = 1
rgw gc processor period = 2
rgw init timeout = 60
rgw data log num shards = 1
rgw md log max shards = 1
rgw gc max objs = 2
rgw lc max objs = 2
rgw objexp hints num shards = 1
rgw reshard num logs = 1
"""

KEYRING = """[mon.]
key = {mon}
caps mon = "allow *"
[client.admin]
key = {admin}
caps mon = "allow *"
caps osd = "allow *"
[osd.0]
key = {osd}
caps mon = "allow profile osd"
caps osd = "allow *"
caps mgr = "allow profile osd"
[client.rgw]
key = {rgw}
caps mon = "allow rw"
caps osd = "allow rwx"
"""


def cephx_key():
    return base64.b64encode(struct.pack("<HIIH", 1, int(time.time()), 0, 16) + os.urandom(16)).decode()


class S3Server:
    """endpoint, access and secret of a running server; made, started and stopped by the subclasses."""

    name = ""
    access, secret = ACCESS, SECRET

    def __init__(self):
        self.dir = Path(tempfile.mkdtemp(prefix=f"cairn-{self.name}-", dir="/tmp"))
        self.port = None
        self.processes = []
        self.started_in = 0.0

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def env(self):
        """What a client of it finds in its environment."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        return dict(clean, AWS_ACCESS_KEY_ID=self.access, AWS_SECRET_ACCESS_KEY=self.secret,
                    AWS_CONFIG_FILE="/nonexistent", AWS_SHARED_CREDENTIALS_FILE="/nonexistent")

    def is_ready(self):
        return http_get(self.endpoint + "/")[0] != 0

    def start(self):
        began = time.monotonic()
        try:
            self._start()
            while not self.is_ready():
                if time.monotonic() - began > 60:
                    raise StartError(f"{self.name} not ready in 60 s\n{self.log()}")
                for one in self.processes:
                    if not one.is_running():
                        raise StartError(f"{one.argv[0]} ended with {one.proc.returncode}\n{self.log()}")
                time.sleep(0.05)
            self._ready()
            self.call("PUT", f"/{BUCKET}")
        except BaseException:
            self.stop()
            raise
        self.started_in = time.monotonic() - began
        return self

    def _ready(self):
        pass

    def call(self, method, path, query=(), body=b"", fields=None):
        """A signed request that has to succeed: the body of the answer."""
        status, answer, _ = s3sign.request(self.endpoint, self.access, self.secret, method, path, query, body, fields=fields)
        if status >= 300:
            raise StartError(f"{self.name}: {method} {path}: {status} {answer[:300]}")
        return answer

    def log(self, n=40):
        return "\n".join(f"== {p.name}\n{tail(p, n)}" for p in sorted(self.dir.glob("*.log")))

    def stop(self):
        for one in reversed(self.processes):
            one.kill()  # nothing of it is kept
        self.processes = []
        shutil.rmtree(self.dir, ignore_errors=True)


class Radosgw(S3Server):
    name = "radosgw"

    @staticmethod
    def is_available():
        return all(shutil.which(p) for p in ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool"))

    def _run(self, *argv):
        done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.dir)
        if done.returncode:
            raise StartError(f"{argv[0]} ended with {done.returncode}\n{done.stdout[-2000:]}")

    def _daemon(self, *argv):
        name = Path(argv[0]).name
        self.processes.append(Process(argv, self.dir / f"{name}.out.log", cwd=self.dir))

    def _start(self):
        d, conf = self.dir, self.dir / "ceph.conf"
        fsid, osd_uuid, mon = str(uuid.uuid4()), str(uuid.uuid4()), free_port()
        self.port = free_port()
        keys = {name: cephx_key() for name in ("mon", "admin", "osd", "rgw")}
        (d / "keyring").write_text(KEYRING.format(**keys))
        (d / "keyring").chmod(0o600)
        conf.write_text(CEPH_CONF.format(fsid=fsid, mon=mon, dir=d, port=self.port, bytes=3 << 30))
        (d / "osd").mkdir()
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{mon}/0]", d / "monmap")
        self._run("ceph-mon", "--mkfs", "-i", "a", "-c", conf, "--monmap", d / "monmap", "--keyring", d / "keyring")
        self._daemon("ceph-mon", "-i", "a", "-c", conf, "-f")
        self._mon_command(conf, {"prefix": "osd new", "uuid": osd_uuid}, {"cephx_secret": keys["osd"]})
        self._run("ceph-osd", "-i", "0", "-c", conf, "--mkfs", "--osd-uuid", osd_uuid, "--keyring", d / "keyring")
        self._daemon("ceph-osd", "-i", "0", "-c", conf, "-f", "--keyring", d / "keyring")
        self._daemon("radosgw", "-n", "client.rgw", "-c", conf, "-f", "--keyring", d / "keyring")

    def _ready(self):
        self._run("radosgw-admin", "-c", self.dir / "ceph.conf", "user", "create", "--uid=cairn", "--display-name=cairn",
                  f"--access-key={ACCESS}", f"--secret-key={SECRET}", "--caps=roles=*;oidc-provider=*")

    @staticmethod
    def _mon_command(conf, command, data):
        """What `ceph ...` does, without the Python bindings that it needs."""
        rados = ctypes.CDLL("librados.so.2")
        cluster = ctypes.c_void_p()
        out, status = ctypes.c_char_p(), ctypes.c_char_p()
        out_n, status_n = ctypes.c_size_t(), ctypes.c_size_t()
        text = (ctypes.c_char_p * 1)(json.dumps(command).encode())
        blob = json.dumps(data).encode()
        if rados.rados_create2(ctypes.byref(cluster), b"ceph", b"client.admin", ctypes.c_uint64(0)) or \
                rados.rados_conf_read_file(cluster, str(conf).encode()):
            raise StartError("librados cannot read the configuration")
        rados.rados_conf_set(cluster, b"client_mount_timeout", b"30")
        if rados.rados_connect(cluster):
            raise StartError("the monitor of Ceph does not answer")
        rc = rados.rados_mon_command(cluster, text, ctypes.c_size_t(1), blob, ctypes.c_size_t(len(blob)), ctypes.byref(out),
                                     ctypes.byref(out_n), ctypes.byref(status), ctypes.byref(status_n))
        rados.rados_shutdown(cluster)
        if rc:
            raise StartError(f"{command['prefix']}: {rc} {status.value}")


class Versitygw(S3Server):
    name = "versitygw"

    @staticmethod
    def binary():
        """Path of the program, made first if needed; None, with the reason, when it cannot be."""
        place = ROOT / ".cache" / "s3" / f"versitygw-{VERSITYGW.lstrip('v')}"
        if (place / "versitygw").exists():
            return place / "versitygw", ""
        go = shutil.which("go") or "/usr/local/go/bin/go"
        if not os.path.exists(go):
            return None, "Go is not installed"
        words = subprocess.run([go, "env", "GOVERSION"], stdout=subprocess.PIPE, text=True).stdout.strip().removeprefix("go").split(".")
        try:
            version = (int(words[0]), int(words[1]))
        except (ValueError, IndexError):
            return None, "Go has no version"
        if version < VERSITYGW_GO:
            return None, f"Go {version[0]}.{version[1]} is too old, it needs {VERSITYGW_GO[0]}.{VERSITYGW_GO[1]}"
        place.mkdir(parents=True, exist_ok=True)
        done = subprocess.run([go, "install", f"github.com/versity/versitygw/cmd/versitygw@{VERSITYGW}"], cwd="/tmp",
                              env=dict(os.environ, GOBIN=str(place), GOFLAGS="-mod=mod"), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            return None, "go install failed: " + done.stdout.strip().splitlines()[-1][:200]
        return place / "versitygw", ""

    def _start(self):
        program, why = self.binary()
        if not program:
            raise StartError(why)
        (self.dir / "data").mkdir()
        self.port = free_port()
        env = dict(self.env(), ROOT_ACCESS_KEY=self.access, ROOT_SECRET_KEY=self.secret)
        self.processes.append(Process([program, "--port", f"127.0.0.1:{self.port}", "posix", self.dir / "data"],
                                      self.dir / "versitygw.log", cwd=self.dir, env=env))

    def is_ready(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0


class ChaosDouble(S3Server):
    """tests/lib/s3double.py as a process of its own, where about every eighth request fails."""

    name = "double"

    def _start(self):
        self.port = free_port()
        keys = json.dumps({"access": self.access, "secret": self.secret})
        self.processes.append(Process([sys.executable, ROOT / "tests/lib/s3double.py", "--chaos", "8", "--port", self.port,
                                       "--keys", keys], self.dir / "double.log"))

    def is_ready(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def call(self, *args, **kwargs):
        return b""  # its bucket is there
