#!/usr/bin/env python3
"""JSON, query strings, base64 and CSV, compared with Python's own modules.
Usage: test_codec_python.py CODEC_TOOL [SEED]"""
import base64
import csv
import io
import json
import random
import re
import sys
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
import codec  # noqa: E402

TOOL = sys.argv[1]
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
BARE_NAN = 2  # enum json_flags
rng = random.Random(SEED)
failures = done = 0


def report(name, bad, n):
    global failures, done
    done += 1
    print(f"{'not ok' if bad else 'ok'} {done} - {name} ({n} cases)")
    for line in bad[:10]:
        print("#  ", line)
    failures += bool(bad)
    sys.stdout.flush()


def random_text(longest=20):
    tops = [0x7F, 0x7F, 0x100, 0x800, 0x10000, 0x110000]
    out = []
    for _ in range(rng.randrange(longest)):
        c = rng.randrange(rng.choice(tops))
        out.append(chr(c) if not 0xD800 <= c < 0xE000 else "\\")
    return "".join(out)


def random_number():
    kind = rng.randrange(6)
    if kind == 0:
        return rng.randrange(-10, 10)
    if kind == 1:
        return rng.getrandbits(rng.randrange(1, 90)) * rng.choice([1, -1])
    if kind == 2:
        return rng.random()
    if kind == 3:
        return rng.uniform(-1, 1) * 10.0 ** rng.randrange(-320, 308)
    if kind == 4:
        return rng.choice([0.0, -0.0, 1e16, 1e-5, 5e-324, 1.7976931348623157e308, 1e22])
    return rng.choice([float("nan"), float("inf"), float("-inf")])


def random_value(depth):
    kind = rng.randrange(7 if depth else 5)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind in (1, 2):
        return random_number()
    if kind in (3, 4):
        return random_text()
    if kind == 5:
        return [random_value(depth - 1) for _ in range(rng.randrange(5))]
    return {random_text(8): random_value(depth - 1) for _ in range(rng.randrange(6))}


def random_document():
    indent = rng.choice([None, None, 0, 1, "\t"])
    seps = rng.choice([None, (",", ":"), (" ,\n", " :\r ")])
    text = json.dumps(random_value(4), ensure_ascii=rng.random() < 0.5, indent=indent, separators=seps)
    return (" \n" * rng.randrange(2)) + text + ("\t " * rng.randrange(2))


def python_canonical(text):
    return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")).encode()


def check_canonical():
    texts = [random_document() for _ in range(5000)]
    texts += ['{"a":1,"a":{"b":2},"\\u0061":3}', "1E5", "-0", "-0.0", "1e400", "[1.0e+2,1e-7]", '{"\\ud83d\\ude00":0,"\\uffff":1}']
    got = codec.run(TOOL, [("c", 0, BARE_NAN, t.encode()) for t in texts])
    bad = [f"{t[:80]!r}: {g}" for t, (st, g) in zip(texts, got) if st or g != python_canonical(t)]
    report("canonical JSON", bad, len(texts))


def python_accepts(body):
    """What json.loads takes, less what we refuse on purpose: surrogates without partner, deep nesting."""
    try:
        text = body.decode()
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return True


def mutate(body):
    body = bytearray(body)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(body) + 1)
        kind = rng.randrange(4)
        if kind == 0 and at < len(body):
            del body[at]
        elif kind == 1 and at < len(body):
            body[at] = rng.randrange(256)
        elif kind == 2:
            body[at:at] = rng.choice([b",", b'"', b"]", b"}", b"{", b"[", b"0", b"-", b".", b"e", b"\\", b"\\u", b"\\ud800", b"NaN",
                                      b":", b"true", b"\x00", b"\xef\xbb\xbf", b"\xc3", b"\x7f", b"\n"])
        else:
            body = body[:at]
    return bytes(body)


def check_acceptance():
    bodies = [mutate(random_document().encode()) for _ in range(20000)]
    got = codec.run(TOOL, [("c", 0, BARE_NAN, b) for b in bodies])
    bad = [f"{b[:90]!r}: {'refused' if st else 'accepted'}" for b, (st, _) in zip(bodies, got)
           if python_accepts(b) != (st == 0)]
    report("what is JSON and what is not", bad, len(bodies))


def check_strings():
    texts = [random_text(60) for _ in range(4000)]
    texts = [t.replace("\0", "0") for t in texts]
    requests, want = [], []
    for t in texts:
        ascii_in, ascii_out = rng.random() < 0.5, rng.random() < 0.5
        requests.append(("j", codec.ALL, codec.ASCII if ascii_out else 0,
                         json.dumps({"text_value": t}, ensure_ascii=ascii_in).encode()))
        if ascii_out:
            want.append(json.dumps({"text_value": t}, separators=(",", ":")).encode())
        else:
            want.append(t)
    got = codec.run(TOOL, requests)
    bad = []
    for t, w, (st, g) in zip(texts, want, got):
        good = st == 0 and (g == w if isinstance(w, bytes) else json.loads(g) == {"text_value": t})
        if not good:
            bad.append(f"{t!r}: {g}")
    report("text through a message", bad, len(texts))


def check_numbers():
    values = [random_number() for _ in range(5000)]
    got = codec.run(TOOL, [("j", codec.ALL, codec.BARE_NAN | codec.NAN_BARE, json.dumps({"d": v}).encode()) for v in values])
    bad = [f"{v!r}: {g}" for v, (st, g) in zip(values, got)
           if st or g != json.dumps({"d": float(v)}, separators=(",", ":")).encode()]
    report("doubles through a message", bad, len(values))
    texts = []
    for _ in range(5000):
        digits = str((1 + rng.getrandbits(rng.randrange(1, 66))) * rng.choice([1, -1]))
        texts.append(rng.choice([digits, digits + ".0", digits + "e0", digits + "00e-2", digits + ".5", digits + "e1", f'"{digits}"']))
    got = codec.run(TOOL, [("j", codec.ALL, codec.INT64_AS_NUMBER, f'{{"i64":{t}}}'.encode()) for t in texts])
    bad = []
    for t, (st, g) in zip(texts, got):
        exact = exact_integer(t.strip('"'))
        want = f'{{"i64":{exact}}}'.encode() if exact is not None and -2**63 <= exact < 2**63 else None
        if (want is None) != (st != 0) or (want is not None and g != want):
            bad.append(f"{t}: {g}, want {want}")
    report("64-bit integers through a message", bad, len(texts))


def exact_integer(text):
    m = re.fullmatch(r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?", text)
    fraction, exp = m.group(3) or "", int(m.group(4) or 0)
    scaled = int(m.group(2) + fraction) * 10 ** max(0, exp - len(fraction))
    down = 10 ** max(0, len(fraction) - exp)
    if scaled % down:
        return None
    return scaled // down * (-1 if m.group(1) else 1)


def check_queries():
    rows = []
    for _ in range(3000):
        texts = [random_text(12).replace("\0", "0") for _ in range(rng.randrange(4))]
        one = random_text(12).replace("\0", "0")
        rows.append((texts, one))
    quote = [urllib.parse.quote, urllib.parse.quote_plus]
    requests = [("q", codec.ALL, 0, urllib.parse.urlencode([("text_value", one)] + [("texts", t) for t in texts],
                                                           quote_via=rng.choice(quote)).encode()) for texts, one in rows]
    got = codec.run(TOOL, requests)
    bad = []
    for (texts, one), (st, g) in zip(rows, got):
        want = {"text_value": one, **({"texts": texts} if texts else {})}
        if st or json.loads(g) != want:
            bad.append(f"{want}: {g}")
    report("query strings", bad, len(rows))


def check_base64():
    rows = [rng.randbytes(rng.randrange(40)) for _ in range(2000)]
    got = codec.run(TOOL, [("b", 0, 0, r) for r in rows]) + codec.run(TOOL, [("b", 0, 1, r) for r in rows])
    want = [base64.b64encode(r) for r in rows] + [base64.urlsafe_b64encode(r) for r in rows]
    bad = [f"{w}: {g}" for w, (_, g) in zip(want, got) if g != w]
    back = codec.run(TOOL, [("B", 0, 0, w) for w in want])
    bad += [f"{r}: {g}" for r, (st, g) in zip(rows + rows, back) if st or g != r]
    report("base64", bad, 4 * len(rows))


def check_csv():
    bad = []
    tables = [[[random_text(8).replace("\0", "0") for _ in range(rng.randrange(1, 5))] for _ in range(rng.randrange(1, 5))]
              for _ in range(1500)]
    got = codec.run(TOOL, [("v", 0, 0, json.dumps(t).encode()) for t in tables])
    for t, (st, g) in zip(tables, got):
        if st or list(csv.reader(io.StringIO(g.decode(), newline=""), strict=True)) != t:
            bad.append(f"{t}: {g}")
    report("CSV", bad, len(tables))


print(f"# seed {SEED}")
print("1..8")
check_canonical()
check_acceptance()
check_strings()
check_numbers()
check_queries()
check_base64()
check_csv()
sys.exit(1 if failures else 0)
