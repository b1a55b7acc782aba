#!/usr/bin/env python3
"""Numbers as text, compared with Python's own repr() and float(), and \\w with its regular expressions.
Usage: test_num_python.py NUM_TOOL [SEED]"""
import array
import json
import random
import re
import struct
import subprocess
import sys
import unicodedata
from decimal import Decimal, getcontext
from pathlib import Path

TOOL = sys.argv[1]
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
RANDOM_N = 1_000_000
rng = random.Random(SEED)
getcontext().prec = 2000
getcontext().Emax, getcontext().Emin = 10**6, -10**6
failures = 0
done = 0


def run(mode, data):
    return subprocess.run([TOOL, mode], input=data, stdout=subprocess.PIPE, check=True).stdout


def report(name, bad, n):
    global failures, done
    done += 1
    print(f"{'not ok' if bad else 'ok'} {done} - {name} ({n} cases)")
    for line in bad[:10]:
        print("#  ", line)
    failures += bool(bad)
    sys.stdout.flush()


def bits(x):
    return struct.unpack("<Q", struct.pack("<d", x))[0]


def from_bits(u):
    return struct.unpack("<d", struct.pack("<Q", u))[0]


def check_print(name, values):
    got = run("print", array.array("d", values).tobytes()).decode().split("\n")[:-1]
    bad = [f"{x.hex()}: {g}, python {x!r}" for x, g in zip(values, got) if g != repr(x)]
    if len(got) != len(values):
        bad.append(f"{len(got)} lines")
    report(name, bad, len(values))


def check_parse(name, texts, mode="parse"):
    got = run(mode, ("\n".join(texts) + "\n").encode()).decode().split("\n")[:-1]
    bad = []
    for text, g in zip(texts, got):
        want = bits(float(text))
        if g == "-" or int(g, 16) != want:
            bad.append(f"{text[:60]} ({len(text)} bytes): {g}, python {want:x}")
    if len(got) != len(texts):
        bad.append(f"{len(got)} lines")
    report(name, bad, len(texts))


def finite_random(n):
    out = []
    while len(out) < n:
        chunk = array.array("d", rng.randbytes(8 * (n - len(out))))
        out.extend(x for x in chunk if x - x == 0)
    return out


def corner_values():
    values = [0.0, -0.0, float("inf"), float("-inf"), float("nan")]
    for e in range(-1074, 1024):  # powers of two with their neighbours
        u = bits(2.0**e) if e >= -1022 else 1 << (e + 1074)
        values += [from_bits(v) for v in (u - 1, u, u + 1) if v >= 0]
    for e in range(-330, 310):  # powers of ten, with their neighbours
        u = bits(float(f"1e{e}"))
        values += [from_bits(v) for v in range(max(u - 2, 0), min(u + 3, 0x7FF0000000000000))]
    values += [float(2**53 + d) for d in range(-20, 21)]
    values += [float(10**15 + d) for d in range(-20, 21)] + [float(10**16 + 2 * d) for d in range(-20, 21)]
    values += [from_bits(u) for u in range(1, 3000)]  # the smallest subnormals
    values += [from_bits((1 << 52) + d) for d in range(-500, 500)]  # around the smallest normal
    values += [from_bits(0x7FEFFFFFFFFFFFFF - d) for d in range(500)]
    values += [float(i) for i in range(-2000, 2000)] + [i / 100 for i in range(-2000, 20000)]
    values += [i * 10.0**e for i in range(1, 100) for e in range(-25, 25)]
    return values


def middles(n):
    """Texts exactly between two neighbours, and a little off on both sides, far behind the last digit that counts."""
    texts = []
    for x in finite_random(n) + [from_bits(u) for u in range(0, 200)] + [float(2**53 + 2 * i) for i in range(50)]:
        u = bits(abs(x))
        if u >= 0x7FEFFFFFFFFFFFFF:
            continue
        middle = (Decimal(from_bits(u)) + Decimal(from_bits(u + 1))) / 2
        text = format(middle, "e")
        digits, exponent = text.split("e")
        digits += "" if "." in digits else "."
        texts += [text, f"{digits}{'0' * rng.randrange(900)}1e{exponent}"]
        lower = middle - Decimal(1).scaleb(middle.adjusted() - 900)
        texts += [format(lower, "e"), format(middle, "f"), "-" + text]
    return texts


def random_texts(n):
    texts = []
    for _ in range(n):
        k = rng.choice((rng.randrange(1, 25), rng.randrange(1, 60), rng.randrange(1, 900)))
        digits = "".join(rng.choices("0123456789", k=k))
        point = rng.randrange(k + 1)
        exponent = f"e{rng.randrange(-400, 400)}" if rng.random() < 0.8 else ""
        texts.append(rng.choice(("", "-", "+")) + digits[:point] + "." + digits[point:] + exponent)
    return texts


def check_json_grammar():
    """Every text over a small alphabet: taken exactly where Python's json takes it as a number."""
    texts = [""]
    for _ in range(5):
        texts += [t + c for t in texts[-(6 ** (len(texts[-1]))):] for c in "01.-+e"]
    texts = sorted(set(texts))[1:]
    got = run("json", ("\n".join(texts) + "\n").encode()).decode().split("\n")[:-1]
    bad = []
    for text, g in zip(texts, got):
        try:
            want = f"{bits(float(json.loads(text, parse_int=float))):x}"
        except ValueError:
            want = "-"
        if g != want:
            bad.append(f"{text}: {g}, python {want}")
    report("JSON grammar", bad, len(texts))


def check_word():
    table = (Path(__file__).resolve().parents[2] / "src/base/utf8_word.inc.h").read_text()
    version = re.search(r"Unicode ([\d.]+)\.", table).group(1)
    if version != unicodedata.unidata_version:
        print(f"# \\w: the table has Unicode {version}, this Python {unicodedata.unidata_version}: not compared")
        return
    got = run("word", b"").decode()
    word = re.compile(r"\w")
    bad = [f"U+{cp:04X}" for cp in range(0x110000) if (got[cp] == "1") != bool(word.match(chr(cp)))]
    report("\\w", bad, 0x110000)


corners = corner_values()
check_print("print: powers, subnormals, limits", corners)
check_print("print: random bits", finite_random(RANDOM_N))
check_print("print: random fractions", [rng.random() * 10.0 ** rng.randrange(-8, 8) for _ in range(RANDOM_N // 5)])
check_parse("parse: powers, subnormals, limits", [repr(x) for x in corners if x == x])
check_parse("parse: 17 digits", [f"{x:.16e}" for x in corners if x - x == 0])
check_parse("parse: random bits", [repr(x) for x in finite_random(RANDOM_N)])
check_parse("parse: middles", middles(3000))
check_parse("parse: random digits", random_texts(30000))
check_parse("parse: every power of ten", [f"{d}e{e}" for e in range(-400, 400) for d in ("1", "9", "12345678901234567890")])
check_json_grammar()
check_word()
print(f"1..{done}")
sys.exit(1 if failures else 0)
