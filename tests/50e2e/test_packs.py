"""Bytes of artifacts in packs: through the program as before, and read by the description in docs/formats/packfile.md alone."""

import ctypes
import ctypes.util
import hashlib
import os
import random
import sqlite3
import struct
import subprocess
import urllib.request

import pytest

import cairn

pytestmark = pytest.mark.cairn_only

PATH = "/api/2.0/mlflow-artifacts/artifacts/packed/"
ZSTD = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
ZSTD.ZSTD_decompress.restype = ctypes.c_size_t
ZSTD.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
KEY = bytes.fromhex("6697f5775b9550de3135cbaca597181c9de421109beb2b58b4d0b04b93adf229")
CRC_TABLE = []
for _i in range(256):
    for _ in range(8):
        _i = (_i >> 1) ^ 0x82F63B78 if _i & 1 else _i >> 1
    CRC_TABLE.append(_i)


def crc32c(data):
    crc = 0xFFFFFFFF
    for b in data:
        crc = CRC_TABLE[(crc ^ b) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


# ---- BLAKE3, keyed, one block at a time ------------------------------------------------------------------------------------------

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
MIXES = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)


def compress(cv, block, counter, flags):
    m = list(struct.unpack("<16I", block.ljust(64, b"\0")))
    s = [*cv, *IV[:4], counter & 0xFFFFFFFF, counter >> 32, len(block), flags]
    for _ in range(7):
        for i, (a, b, c, d) in enumerate(MIXES):
            for x, right, left in ((m[2 * i], 16, 12), (m[2 * i + 1], 8, 7)):
                s[a] = (s[a] + s[b] + x) & 0xFFFFFFFF
                s[d] ^= s[a]
                s[d] = (s[d] >> right | s[d] << (32 - right)) & 0xFFFFFFFF
                s[c] = (s[c] + s[d]) & 0xFFFFFFFF
                s[b] ^= s[c]
                s[b] = (s[b] >> left | s[b] << (32 - left)) & 0xFFFFFFFF
        m = [m[i] for i in ORDER]
    return [s[i] ^ s[i + 8] for i in range(8)]


def chunk_id(data):
    key, keyed = struct.unpack("<8I", KEY), 16

    def tree(data, first, root):
        if len(data) <= 1024:
            cv = key
            blocks = [data[i:i + 64] for i in range(0, len(data), 64)] or [b""]
            for i, block in enumerate(blocks):
                last = i == len(blocks) - 1
                cv = compress(cv, block, first, keyed | (i == 0) | (last and 2) | (last and root))
            return cv
        left = 1024
        while left * 2 < len(data):
            left *= 2
        below = tree(data[:left], first, 0) + tree(data[left:], first + left // 1024, 0)
        return compress(key, struct.pack("<16I", *below), 0, keyed | 4 | root)

    return struct.pack("<8I", *tree(data, 0, 8))


# ---- the formats -------------------------------------------------------------------------------------------------------------------


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
                return v


def read_recipe(text):
    r = Reader(text)
    assert r.take(1) == b"\2"
    packs = [(struct.unpack("<Q", r.take(8))[0], r.varint()) for _ in range(r.varint())]
    extents = []
    for _ in range(r.varint()):
        kind, body = r.take(1)[0], Reader(r.take(r.varint()))
        assert kind in (2, 3)
        extent = [body.varint() for _ in range(4)]
        width = body.take(1)[0] if kind == 3 else 0
        steps = [(body.take(1)[0], *(body.varint() for _ in range(4))) for _ in range(body.varint() if kind == 3 else 0)]
        extents.append((*extent, width, steps))
        assert body.at == len(body.data)
    assert r.at == len(text)
    return packs, extents


def read_pack(blobs, number, size):
    """The chunks of a pack: (id, offset, stored, raw, codec), and its bytes."""
    name = f"{number:016x}"
    data = (blobs / "packs" / name[:2] / name).read_bytes()
    assert len(data) == size and data[:8] == b"CAIRNPK1" and data[8:16] == struct.pack("<Q", number)
    foot, n, crc, again, magic = struct.unpack("<QIIQ8s", data[-32:])
    assert (again, magic) == (number, b"CAIRNPKE") and crc == crc32c(data[foot:-20] + data[-16:])
    chunks, at = [], 16
    for i in range(n):
        entry = data[foot + 40 * i:foot + 40 * (i + 1)]
        stored, word = struct.unpack("<II", entry[32:])
        chunks.append((entry[:32], at, stored, word & 0xFFFFFF, word >> 24))
        at += stored
    assert at == foot and foot + 40 * n + 32 == size
    return chunks, data


def inflate(frame, n):
    out = ctypes.create_string_buffer(n)
    assert ZSTD.ZSTD_decompress(out, n, frame, len(frame)) == n
    return out.raw


def raw_bytes(data, chunk):
    _, at, stored, raw, codec = chunk
    body = data[at:at + stored]
    if codec == 0:
        return body
    if codec == 1:
        return inflate(body, raw)
    joined, r, planes = bytearray(raw), Reader(body), {2: 2, 3: 4}[codec]
    for k in range(planes):
        n = len(range(k, raw, planes))
        piece = r.take(struct.unpack("<I", r.take(4))[0])
        joined[k::planes] = piece if len(piece) == n else inflate(piece, n)
    assert r.at == len(body)
    return bytes(joined)


def add_differences(data, differences, width):
    """The bytes that differences lead to from data."""
    bits = 8 * width
    top, mask = 1 << (bits - 1), (1 << bits) - 1
    whole = len(data) - len(data) % width
    out, letter = [], {2: "H", 4: "I"}[width]
    for old, d in zip(struct.unpack(f"<{whole // width}{letter}", data[:whole]), struct.unpack(f"<{whole // width}{letter}", differences[:whole])):
        order = (~old if old & top else old | top) & mask
        new = (order + (~(d >> 1) if d & 1 else d >> 1)) & mask
        out.append(new ^ top if new & top else ~new & mask)
    return struct.pack(f"<{len(out)}{letter}", *out) + bytes(a ^ b for a, b in zip(data[whole:], differences[whole:]))


def checkpoints(n):
    """Weights of consecutive epochs: bfloat16, then float32, and an odd byte at the end."""
    rnd = random.Random(6)
    half = [rnd.choice((0x3C00, 0xBC00)) + rnd.randrange(512) for _ in range(40000)]
    single = [rnd.gauss(0, 0.02) for _ in range(40000)]
    for epoch in range(n):
        yield struct.pack("<40000H", *half) + struct.pack("<40000f", *single) + b"!" * epoch + b"?" * (n - epoch)
        half = [h + rnd.choice((-1, 0, 1)) for h in half]
        single = [x * (1 + rnd.uniform(-1e-4, 1e-4)) for x in single]


def files():
    rnd = random.Random(5)
    base = rnd.randbytes(900_000)
    edited = bytearray(base)
    edited[400_000:400_100] = rnd.randbytes(120)
    floats = struct.pack("<50000f", *(rnd.gauss(0, 0.02) for _ in range(50000)))
    return {"base.bin": base, "edited.bin": bytes(edited), "again.bin": base, "weights.bin": floats,
            "log.csv": b"".join(b"%d,%f\n" % (i, rnd.random()) for i in range(20000)), "small.txt": b"hello", "empty": b""}


def put(server, name, data):
    with urllib.request.urlopen(urllib.request.Request(server.url + PATH + name, data, method="PUT"), timeout=60) as answer:
        assert answer.status == 200


def get(server, name, span=None):
    request = urllib.request.Request(server.url + PATH + name, headers={"Range": f"bytes={span}"} if span else {})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def repack(server, *flags):
    argv = [str(server.binary), "server", "repack", "--wait", *flags, "--data", str(server.data), "-o", "json"]
    if server.store:
        argv += ["--store", server.store]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120,
                          env={k: v for k, v in os.environ.items() if not k.startswith("CAIRN_")})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_all(server, want):
    for name, data in want.items():
        assert get(server, name) == data, name
    base = want["base.bin"]
    for low, high in ((0, 0), (131_000, 400_050), (899_999, 899_999)):
        assert get(server, "base.bin", f"{low}-{high}") == base[low:high + 1]
    assert get(server, "edited.bin", "-7") == want["edited.bin"][-7:]


def test_packed_files_are_the_same(own):
    """Moved by a running server, by the command on a closed store, with a server killed in between."""
    want = files()
    for name, data in want.items():
        put(own, name, data)
    assert '"damaged": 0' in repack(own) or '"damaged":0' in repack(own)
    check_all(own, want)
    own.kill()
    own.start()
    check_all(own, want)
    put(own, "late.bin", want["base.bin"][1000:])
    assert own.stop() == 0, own.log()
    repack(own)
    own.start()
    check_all(own, dict(want, **{"late.bin": want["base.bin"][1000:]}))
    argv = [str(own.binary), "server", "check", "--data", str(own.data)] + (["--store", own.store] if own.store else [])
    assert subprocess.run(argv, timeout=120).returncode == 0


def test_packs_are_as_described(tmp_path):
    server = cairn.CairnServer(tmp_path / "data").start()
    want = files()
    try:
        for name, data in want.items():
            put(server, name, data)
        repack(server)
        for epoch, data in enumerate(checkpoints(3)):
            want[f"checkpoints/epoch_{epoch}/state.bin"] = data
            put(server, f"checkpoints/epoch_{epoch}/state.bin", data)
            repack(server)
        check_all(server, want)
        for low, high in ((0, 0), (79_998, 80_001), (100_001, 200_002), (240_001, 240_002)):
            assert get(server, "checkpoints/epoch_2/state.bin", f"{low}-{high}") == data[low:high + 1]
    finally:
        assert server.stop() == 0, server.log()
    steps_seen, widths = 0, set()
    blobs, packs, codecs, ids = server.data / "blobs", {}, set(), {}
    with sqlite3.connect(server.data / "cairn.db") as db:
        rows = {bytes(sha): (size, recipe, body) for sha, size, recipe, body in db.execute("SELECT sha256, size, recipe, body FROM object")}
    assert len(rows) == len(set(want.values()))
    for data in want.values():
        size, text, body = rows[hashlib.sha256(data).digest()]
        assert size == len(data) and body is None
        places, extents = read_recipe(text)
        got = b""

        def run(index, first, n):
            number, length = places[index]
            if number not in packs:
                packs[number] = read_pack(blobs, number, length)
            chunks, stored = packs[number]
            codecs.update(c[4] for c in chunks[first:first + n])
            ids.update((c[0], raw_bytes(stored, c)) for c in chunks[first:first + n])
            return b"".join(raw_bytes(stored, c) for c in chunks[first:first + n])

        for index, first, n, raw, width, steps in extents:
            piece = run(index, first, n)
            assert len(piece) == raw
            if steps:
                assert steps[0][0] == 0 and len(got) % 4 == 0 and (raw % 4 == 0 or len(got) + raw == size)
                steps_seen, widths = max(steps_seen, len(steps)), widths | {width}
                below = b""
                for under, *where, skip in steps:
                    part = run(*where)[skip:skip + raw]
                    assert len(part) == raw
                    below = add_differences(below, part, under) if under else part
                piece = add_differences(below, piece, width)
            got += piece
        assert got == data
    assert 0 in codecs and codecs & {2, 3}
    assert steps_seen == 2 and widths == {2, 4}
    # Equal parts lie once: the copy with an edit costs a chunk or two.
    assert sum(len(data) for data in ids.values()) < sum(map(len, set(want.values()))) - 700_000
    for number in sorted(ids, key=lambda i: len(ids[i]))[:4]:
        assert chunk_id(ids[number]) == number
    assert chunk_id(b"Hello World!").hex() == "a29cfb08e608d4d8726dd8659a90b9134b3240d5d8e42d5fcb28e2a6e763a3e8"
