"""What is stored of metric points, read by the descriptions in docs/formats/ alone: nothing here knows the program's code."""

import ctypes
import ctypes.util
import json
import math
import random
import shutil
import sqlite3
import struct
import subprocess
import time
import urllib.request

import pytest

import cairn

pytestmark = pytest.mark.cairn_only

ZSTD = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
ZSTD.ZSTD_decompress.restype = ctypes.c_size_t
ZSTD.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
NAN = 0x7FF8000000000000
TABLE = []
for _i in range(256):
    for _ in range(8):
        _i = (_i >> 1) ^ 0x82F63B78 if _i & 1 else _i >> 1
    TABLE.append(_i)


def crc32c(data):
    crc = 0xFFFFFFFF
    for b in data:
        crc = TABLE[(crc ^ b) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def inflate(frame, n):
    out = ctypes.create_string_buffer(n)
    assert ZSTD.ZSTD_decompress(out, n, frame, len(frame)) == n
    return out.raw


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        assert self.at + n <= len(self.data)
        self.at += n
        return self.data[self.at - n:self.at]

    def varint(self):
        v = shift = 0
        while True:
            b = self.take(1)[0]
            v |= (b & 127) << shift
            shift += 7
            if b < 128:
                return v & (2 ** 64 - 1)

    def zigzag(self):
        v = self.varint()
        return (v >> 1) ^ -(v & 1)

    def unpack(self, fmt):
        return struct.unpack("<" + fmt, self.take(struct.calcsize("<" + fmt)))[0]


def signed(v):
    v &= 2 ** 64 - 1
    return v - 2 ** 64 if v >= 2 ** 63 else v


def integers(data, n):
    r, out, value, delta = Reader(data), [], 0, 0
    for i in range(n):
        step = r.zigzag() + delta
        value += step
        delta = step if i else 0
        out.append(signed(value))
    assert r.at == len(data)
    return out


def values(data, n, flags, mode, exponent):
    r = Reader(data)
    if mode == 0:
        out = [r.unpack("d")] * n
    elif mode == 1:
        q, out = 0, []
        for _ in range(n):
            q += r.zigzag()
            out.append(q / 10 ** exponent)
    else:
        width = 4 if mode == 2 else 8
        planes = r.take(n * width)
        out = [struct.unpack("<f" if mode == 2 else "<d", bytes(planes[k * n + i] for k in range(width)))[0] for i in range(n)]
    if flags & 1:
        at = 0
        for _ in range(r.varint()):
            at += r.varint()
            out[at] = math.nan
    assert r.at == len(data)
    return out


def head_bits(v):
    if v is None:
        return struct.pack("<Q", NAN)
    return struct.pack("<d", 0.0 if v == 0 else v)


def read_chunk(row, body):
    numbers = [row[k] for k in ("owner", "key", "lvl", "t0", "c", "t1", "s0", "s1", "n", "nnan", "flags", "smin", "tmin",
                                "smax", "tmax")]
    keys = struct.pack("<15q", *numbers) + b"".join(head_bits(row[k]) for k in ("vmin", "vmax", "vsum", "vfirst", "vlast"))
    version, flags, mode, exponent, n, raw_n, crc = struct.unpack("<BBBBIII", body[:16])
    assert version == 1 and n == row["n"] and crc == crc32c(keys + body[:12] + body[16:])
    r = Reader(inflate(body[16:], raw_n))
    steps_n, times_n, _duplicates = r.varint(), r.varint(), r.varint()
    steps, times = integers(r.take(steps_n), n), integers(r.take(times_n), n)
    points = list(zip(times, steps, values(r.data[r.at:], n, flags, mode, exponent)))
    numbers = [v for _, _, v in points if not math.isnan(v)]
    assert (points[0][0], points[-1][0], min(steps), max(steps)) == (row["t0"], row["t1"], row["s0"], row["s1"])
    assert len(points) - len(numbers) == row["nnan"]
    assert not numbers or (min(numbers), max(numbers)) == (row["vmin"], row["vmax"])
    assert not numbers or (row["tmin"], row["smin"], row["vmin"]) in points and (row["tmax"], row["smax"], row["vmax"]) in points
    return points


def read_pack(row):
    body, out = row["body"], {}
    version, flags, _, n, raw_n, crc = struct.unpack("<BBHIII", body[:16])
    keys = struct.pack("<3q", row["owner"], row["w0"], row["n"])
    assert version == 1 and n == row["n"] and crc == crc32c(keys + body[:12] + body[16:])
    frames = Reader(body[16:])
    split = bool(flags & 8)
    r = Reader(inflate(frames.take(frames.unpack("I")) if split else body[16:], raw_n))
    groups = []
    for _ in range(r.varint()):
        k, steps_n, times_n, values_n, frame_n = (r.varint() for _ in range(5))
        steps, times = integers(r.take(steps_n), k), integers(r.take(times_n), k)
        entries = []
        for _ in range(r.varint()):
            key = r.varint()
            flags, mode, exponent = r.take(3)
            r.varint()
            r.take(32)
            entries.append((key, flags, mode, exponent, r.varint()))
        groups.append((k, steps, times, entries, values_n, inflate(frames.take(frame_n), values_n) if split else None))
    for k, steps, times, entries, values_n, raw in groups:
        v = Reader(raw if split else r.take(values_n))
        for key, flags, mode, exponent, length in entries:
            out[key] = list(zip(times, steps, values(v.take(length), k, flags, mode, exponent)))
    assert sum(len(p) for p in out.values()) == n and max(len(p) for p in out.values()) == row["kn"]
    return out


KINDS = {
    "noise": lambda r, i: r.random() - 0.5,
    "loss": lambda r, i: struct.unpack("<f", struct.pack("<f", r.random()))[0],
    "accuracy": lambda r, i: round(r.random(), 4),
    "constant": lambda r, i: 3.5,
    "nan": lambda r, i: math.nan if i % 7 == 0 else float(i % 3),
}


def post(url, path, body):
    request = urllib.request.Request(f"{url}/api/2.0/mlflow/{path}", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def start(data):
    proc = subprocess.Popen([cairn.find_binary(), "server", "--data", data, "--listen", "127.0.0.1:0"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        if (data / "server.url").exists():
            return proc, (data / "server.url").read_text().strip()
        time.sleep(0.05)
    raise AssertionError("the server does not start")


def log(url, run, points):
    metrics = [{"key": k, "value": "NaN" if math.isnan(v) else v, "timestamp": t, "step": s} for k, t, s, v in points]
    for at in range(0, len(metrics), 1000):
        post(url, "runs/log-batch", {"run_id": run, "metrics": metrics[at:at + 1000]})


def history(url, run, key):
    with urllib.request.urlopen(f"{url}/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key={key}", timeout=60) as f:
        return [(int(m["timestamp"]), int(m["step"]), float(m["value"])) for m in json.load(f).get("metrics", [])]


def same(a, b):
    return len(a) == len(b) and all(x[:2] == y[:2] and (x[2] == y[2] or x[2] != x[2] and y[2] != y[2]) for x, y in zip(a, b))


def rows_of(db, owner):
    """Points of an owner by key, of packs and chunks together."""
    out = {}
    for row in db.execute("SELECT * FROM pack WHERE owner = ?", (owner,)):
        for key, points in read_pack(row).items():
            out.setdefault(key, set()).update(map(repr, points))
    for row in db.execute("SELECT * FROM chunk WHERE owner = ? ORDER BY key, t0, c", (owner,)).fetchall():
        body = db.execute("SELECT body FROM chunk_body WHERE id = ?", (row["id"],)).fetchone()[0]
        out.setdefault(row["key"], set()).update(map(repr, read_chunk(row, body)))
    return out


def test_rows_are_as_described(tmp_path):
    rnd, data = random.Random(7), tmp_path / "data"
    proc, url = start(data)
    try:
        runs = [post(url, "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"] for _ in range(2)]
        points = [(k, 1700000000000 + i * 50 + rnd.randrange(20), i, fn(rnd, i)) for i in range(5000) for k, fn in KINDS.items()]
        late = [("loss", 1700000000000 + rnd.randrange(250000), 9999, rnd.random()) for _ in range(300)]
        log(url, runs[0], points)
        log(url, runs[1], points[:3000])
        subprocess.run([cairn.find_binary(), "server", "compact", "--data", data], check=True, stdout=subprocess.DEVNULL)
        log(url, runs[0], late + points[:100])
        histories = {(r, k): history(url, r, k) for r in runs for k in KINDS}
        subprocess.run([cairn.find_binary(), "server", "compact", "--data", data], check=True, stdout=subprocess.DEVNULL)
        for (r, k), points in histories.items():
            assert same(history(url, r, k), points), (r, k)
    finally:
        proc.terminate()
        proc.wait(30)
    db = sqlite3.connect(data / "cairn.db")
    db.row_factory = sqlite3.Row
    names = {row["name"]: row["id"] for row in db.execute("SELECT id, name FROM mkey")}
    assert db.execute("SELECT COUNT(*) FROM chunk").fetchone()[0] >= 10
    for run in runs:
        owner = db.execute("SELECT run FROM runhead WHERE rid = ?", (run,)).fetchone()[0]
        stored = rows_of(db, owner)
        for key in KINDS:
            assert stored[names[key]] == set(map(repr, histories[run, key])), key
    db.close()


def test_a_damaged_chunk_is_named_and_alone(tmp_path):
    data = tmp_path / "data"
    proc, url = start(data)
    run = post(url, "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
    other = post(url, "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
    for r in (run, other):
        log(url, r, [("loss", i, i, i / 10) for i in range(5000)])
    subprocess.run([cairn.find_binary(), "server", "compact", "--data", data], check=True, stdout=subprocess.DEVNULL)
    proc.terminate()
    proc.wait(30)
    db = sqlite3.connect(data / "cairn.db")
    owner = db.execute("SELECT run FROM runhead WHERE rid = ?", (run,)).fetchone()[0]
    bad, body = db.execute("SELECT b.id, b.body FROM chunk c JOIN chunk_body b ON b.id = c.id WHERE c.owner = ? LIMIT 1",
                           (owner,)).fetchone()
    body = bytearray(body)
    body[len(body) // 2] ^= 1
    db.execute("UPDATE chunk_body SET body = ? WHERE id = ?", (bytes(body), bad))
    db.commit()
    db.close()
    done = subprocess.run([cairn.find_binary(), "server", "check", "--data", data], capture_output=True, text=True)
    assert done.returncode == 7 and run in done.stdout and other not in done.stdout
    proc, url = start(data)
    try:
        with pytest.raises(urllib.error.HTTPError):
            history(url, run, "loss")
        assert len(history(url, other, "loss")) == 5000
        subprocess.run([cairn.find_binary(), "server", "compact", "--data", data], check=True, stdout=subprocess.DEVNULL)
        request = urllib.request.Request(f"{url}/api/cairn/v1/runs/{run}?hard=true", method="DELETE")
        urllib.request.urlopen(request, timeout=60).read()
        assert len(history(url, other, "loss")) == 5000
    finally:
        proc.terminate()
        proc.wait(30)
    done = subprocess.run([cairn.find_binary(), "server", "check", "--data", data], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    shutil.rmtree(data)
