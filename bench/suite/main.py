"""Command line and order of the measurements."""
import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from . import machine, plan, report, servers
from .servers import ROOT, Failed

LIMITS = {"full": 2000, "quick": 270, "tiny": 600}  # seconds


class Bench:
    """The state of one run of the measurements."""

    def __init__(self, args, sizes, folder):
        self.args, self.sizes, self.folder = args, sizes, folder
        self.rows, self.open = [], []
        self.start = time.monotonic()
        self.info = {"started": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()), "machine": machine.describe(),
                     "mode": args.mode, "sizes": sizes, "sync": [], "versions": {}, "settings": {}, "remarks": []}

    def say(self, text):
        print(f"{time.monotonic() - self.start:6.1f} s  {text}", file=sys.stderr, flush=True)

    def remark(self, text):
        self.say(text)
        self.info["remarks"].append(text)

    def sync(self, when):
        self.info["sync"].append(dict(machine.sync_rate(self.folder), when=when))

    def wants(self, *works):
        return not self.args.only or any(w in self.args.only for w in works)

    def late(self):
        return time.monotonic() - self.start > self.args.limit

    def row(self, *args, **named):
        row = report.Row(*args, **named)
        self.rows.append(row)
        return row

    def launch(self, make, *args, **named):
        """A started server, or None with a remark. It is closed at the end at the latest."""
        self.made = getattr(self, "made", 0) + 1
        server = None
        try:
            server = make(self.folder / f"{make.name}-{self.made}", *args, **named)
            self.open.append(server)
            server.start()
        except (Failed, servers.lib.StartError, OSError) as err:
            self.remark(f"{make.name}: {err}")
            if server:
                self.close(server)
            return None
        self.info["settings"].setdefault(f"{make.name}, {server.engine}", server.settings)
        self.info["versions"].setdefault(make.name, server.version())
        return server

    def close_all(self):
        for server in list(self.open):
            self.close(server)

    def close(self, server):
        """Stop it for good and remove its folder."""
        if server in self.open:
            self.open.remove(server)
        server.close()
        shutil.rmtree(server.folder, ignore_errors=True)

    def attempt(self, row, server, work, *args, **named):
        """work(server, ...), or None: a failure becomes a note of the row."""
        if self.late():
            row.note(server.name, "left out: the time is over")
            return None
        try:
            return work(server, *args, **named)
        except (Failed, subprocess.SubprocessError, OSError, KeyError, ValueError) as err:
            row.note(server.name, f"failed: {str(err)[:300]}")
            self.say(f"{row.work} {row.title}, {row.engine}, {server.name}: FAILED {err}")
            return None

    def measure(self, row, server, work, *args, **named):
        """One round of one row on one server. None if it failed or could not be measured."""
        result = self.attempt(row, server, work, *args, **named)
        if not result:
            return result
        if "cpu_us" in result:
            result["cpu"] = result["cpu_us"] + result["db_cpu_us"]
        if result.get("extrapolated", 1) > 1:
            row.note(server.name, f"computed from 1/{result['extrapolated']:g} of the size")
        if result.get("retried"):
            row.note(server.name, f"{result['retried']} requests were answered with 429 or 5xx and sent again")
        row.add(server.name, result)
        return result

    def rounds(self, row, everybody, work, *args, rounds=None, **named):
        """Rounds A B A B ..., so that a change of the machine meets everybody."""
        for _ in range(rounds or self.sizes["rounds"]):
            for server in everybody:
                self.measure(row, server, work, *args, **named)
        self.tell(row, everybody)

    def tell(self, row, everybody):
        if everybody:
            self.say(f"{row.work} {row.title}, {row.engine}: " + "; ".join(f"{s.name} {row.text(s.name)}" for s in everybody))


def arguments():
    parser = argparse.ArgumentParser(
        prog="tools/bench", description="Measure the release program against MLflow and FastTrackML; see docs/benchmarks.md.")
    parser.add_argument("--quick", dest="mode", action="store_const", const="quick", default="full", help="smaller sizes: under 5 minutes")
    parser.add_argument("--tiny", dest="mode", action="store_const", const="tiny", help="seconds, cairn alone: does everything still work")
    parser.add_argument("--only", default="", help="workloads, like W2,W3; without it all")
    parser.add_argument("--engine", default="sqlite,postgres", help="sqlite, postgres or both")
    parser.add_argument("--peers", help="whom to compare with: mlflow,fasttrackml (the default) or none; --tiny has none by itself")
    parser.add_argument("--limit", type=float, help="seconds after which nothing new is begun; " + ", ".join(
        f"{s} for {mode}" for mode, s in LIMITS.items()))
    parser.add_argument("--json", help="write all figures there")
    parser.add_argument("--markdown", help="write the tables there as well")
    parser.add_argument("--publish", action="store_true",
                        help="write docs/benchmarks/DATE.json and DATE.md, and the table of README.md")
    args = parser.parse_args()
    args.limit = LIMITS[args.mode] if args.limit is None else args.limit
    if args.peers is None:
        args.peers = "none" if args.mode == "tiny" else "mlflow,fasttrackml"
    for name in ("only", "engine", "peers"):
        setattr(args, name, [w for w in getattr(args, name).split(",") if w and w != "none"])
    unknown = set(args.engine) - {"sqlite", "postgres"} | set(args.peers) - {"mlflow", "fasttrackml"}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return args


def environment(name):
    """The folder of an environment of tests/requirements."""
    done = subprocess.run([ROOT / "tools/pyenv", name], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"bench: no environment {name}; --peers none measures cairn alone")
    return Path(done.stdout.strip())


def publish(bench):
    """Keep this run in the tree: all figures, the tables, and a few lines for the README."""
    stem = ROOT / "docs/benchmarks" / bench.info["started"][:10]
    stem.parent.mkdir(exist_ok=True)
    report.write(bench.info, bench.rows, f"{stem}.json", f"{stem}.md")
    report.put_into(ROOT / "README.md", report.summary(bench.info, bench.rows, f"docs/benchmarks/{stem.name}.md"))


def main():
    args = arguments()
    if "mlflow" in args.peers:
        servers.Mlflow.python = environment("bench-mlflow") / "bin/python"
    if "fasttrackml" in args.peers:
        servers.FastTrackML.program = environment("bench-fasttrackml") / "bin/fml"
    folder = Path(tempfile.mkdtemp(prefix="cairn-bench-", dir=os.environ.get("TMPDIR", "/var/tmp")))
    folder.chmod(0o755)  # PostgreSQL runs under another account
    bench = Bench(args, plan.SIZES[args.mode], folder)

    def ended(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, ended)
    code = 0
    try:
        plan.run(bench)
    except KeyboardInterrupt:
        bench.remark("The run was cut: what is missing was not measured.")
        code = 130
    except Exception:
        traceback.print_exc()
        bench.remark("The run ended with an error: what is missing was not measured.")
        code = 1
    finally:
        for server in list(bench.open):
            server.close()
        shutil.rmtree(folder, ignore_errors=True)
        bench.info["took_s"] = round(time.monotonic() - bench.start, 1)
        print(report.write(bench.info, bench.rows, args.json, args.markdown))
        if args.publish and not code:
            publish(bench)
    if not code and any(n.startswith("failed") for row in bench.rows for n in row.notes.get("cairn", [])):
        code = 1
    return code
