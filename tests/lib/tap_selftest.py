#!/usr/bin/env python3
"""Runs tap_sample and compares what it reports with what it must report."""
import os
import re
import subprocess
import sys
import unittest

SAMPLE = sys.argv.pop(1)


def run(*args, **env):
    full = {k: v for k, v in os.environ.items() if not k.startswith("CAIRN_TEST_")}
    full.update(env)
    p = subprocess.run([SAMPLE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                       timeout=60, env=full)
    results, name = {}, None
    for line in p.stdout.splitlines():
        m = re.match(r"(ok|not ok) \d+ - (\w+)(?: # SKIP (.*))?$", line)
        if m:
            name = m.group(2)
            results[name] = ["skip" if m.group(3) else m.group(1), m.group(3) or ""]
        elif name and line.startswith("# "):
            results[name][1] += line[2:] + "\n"
    return p, results


class Tap(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.p, cls.r = run()

    def test_plan_and_code(self):
        self.assertEqual(self.p.returncode, 1)
        self.assertEqual(self.p.stdout.splitlines()[0], f"1..{len(self.r)}")
        numbers = re.findall(r"^(?:not )?ok (\d+)", self.p.stdout, re.M)
        self.assertEqual(numbers, [str(i + 1) for i in range(len(self.r))])

    def test_verdicts(self):
        good = {"passes", "leaves_child", "temporary_directories", "random_a", "random_b"}
        for name, (verdict, text) in self.r.items():
            want = "ok" if name in good else "skip" if name == "skipped" else "not ok"
            self.assertEqual(verdict, want, f"{name}: {text}")

    def test_texts(self):
        for name, want in {
            "passes": r"^seen$",
            "false_condition": r"tap_sample\.c:\d+: false: 2 < 1",
            "other_int": r"-7\n  got  -7\n  want 8$",
            "other_uint": r"got  1\n  want 18446744073709551615",
            "other_zero": r"got  0 \(0000000000000000\)\n  want -0 \(8000000000000000\)",
            "other_str": r'got  5 bytes "a\\x0a\\"b\\x00"\n  want 1 bytes "a"',
            "other_cstr": r'got  NULL\n  want "x"',
            "other_mem": r'differs at byte 10 of 16; from byte 2\n  got  "23456789abcdef"',
            "other_status": r"got  NOT_FOUND: run 4f2c not found\n  want OK",
            "said_why": r"gave up after 3",
            "skipped": r"no such engine",
            "dies": r"killed by signal 6",
            "leaves": r"exit code 3",
            "hangs": r"no end within 1 s",
            "child_fails": r"got  1\n  want 2",
        }.items():
            text = self.r[name][1].replace("\n# ", "\n")
            self.assertRegex(text, re.compile(want, re.M), name)

    def test_nothing_left(self):
        path = re.search(r"dir (\S+)", self.r["temporary_directories"][1]).group(1)
        self.assertFalse(os.path.exists(os.path.dirname(path)))
        pid = int(re.search(r"child (\d+)", self.r["leaves_child"][1]).group(1))
        try:
            with open(f"/proc/{pid}/stat") as f:  # unreaped is dead enough
                self.assertEqual(f.read().rsplit(")", 1)[1].split()[0], "Z")
        except FileNotFoundError:
            pass

    def test_random_repeats_by_name_and_seed(self):
        value = lambda r, name: re.search(r"random (\w+)", r[name][1]).group(1)
        self.assertNotEqual(value(self.r, "random_a"), value(self.r, "random_b"))
        self.assertEqual(value(run("--filter", "random_b")[1], "random_b"), value(self.r, "random_b"))
        other = value(run("--filter", "random_b", CAIRN_TEST_SEED="2")[1], "random_b")
        self.assertNotEqual(other, value(self.r, "random_b"))
        self.assertEqual(other, value(run("--filter", "random_b", "--seed", "2")[1], "random_b"))

    def test_options(self):
        p, r = run("--filter", "other_")
        self.assertEqual((p.returncode, len(r)), (1, 7))
        self.assertEqual(run("--filter", "passes")[0].returncode, 0)
        self.assertEqual(run("--list")[0].stdout.split(), list(self.r))
        self.assertEqual(run("--nonsense")[0].returncode, 2)


unittest.main()
