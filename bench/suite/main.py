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

from . import machine, report, servers, writes
from .servers import ROOT, Failed

FULL = {"rounds": 3, "seconds": 2, "create_runs": 10000, "flush_writes": 200, "clients": (1, 16, 128), "workers": (1, 2, 4)}
QUICK = {"rounds": 1, "seconds": 1, "create_runs": 4000, "flush_writes": 100, "clients": (1, 16, 128), "workers": (4,)}
TINY = {"rounds": 1, "seconds": 0.2, "create_runs": 100, "flush_writes": 10, "clients": (1, 16), "workers": (1,)}

RATE = (("rate", "/s", "more"), ("p50_ms", " ms", "less"), ("p99_ms", " ms p99", "less"), ("cpu", " us CPU", "less"))
POINTS = (("points_per_s", " points/s", "more"), ("cpu_us_point", " us CPU a point", "less"), ("p99_ms", " ms p99", "less"))


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

    def launch(self, make, *args):
        """A started server, or None with a remark. It is closed at the end at the latest."""
        self.made = getattr(self, "made", 0) + 1
        server = None
        try:
            server = make(self.folder / f"{make.name}-{self.made}", *args)
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

    def close(self, server):
        """Stop it for good and remove its folder."""
        if server in self.open:
            self.open.remove(server)
        server.close()
        shutil.rmtree(server.folder, ignore_errors=True)

    def measure(self, row, server, work, *args, **named):
        """One round of one row on one server; a failure becomes a note."""
        if self.late():
            row.note(server.name, "left out: the time is over")
            return None
        try:
            result = work(server, *args, **named)
        except (Failed, subprocess.SubprocessError, OSError, KeyError, ValueError) as err:
            row.note(server.name, f"failed: {str(err)[:300]}")
            self.say(f"{row.work} {row.title}, {row.engine}, {server.name}: FAILED {err}")
            return None
        if "cpu_us" in result:
            result["cpu"] = result["cpu_us"] + result["db_cpu_us"]
        if result.get("retried"):
            row.note(server.name, f"{result['retried']} requests were answered with 429 or 5xx and sent again")
        row.add(server.name, result)
        return result

    def rounds(self, row, everybody, work, *args, rounds=None, **named):
        """Rounds A B A B ..., so that a change of the machine meets everybody."""
        for _ in range(rounds or self.sizes["rounds"]):
            for server in everybody:
                self.measure(row, server, work, self.sizes, *args, **named)
        self.say(f"{row.work} {row.title}, {row.engine}: " + "; ".join(f"{s.name} {row.text(s.name)}" for s in everybody))


def best_mlflow(bench, engine):
    """An MLflow with the number of workers that logs metrics fastest here."""
    tried = {}
    best = None
    for workers in bench.sizes["workers"]:
        server = bench.launch(servers.Mlflow, engine, workers)
        if not server:
            continue
        machine.wait_quiet(server.pid)
        if len(bench.sizes["workers"]) == 1:
            return server
        try:
            result = writes.series(server, dict(bench.sizes, seconds=2), "metric", 16)
            batch = writes.series(server, dict(bench.sizes, seconds=2), "batch", 1)
            tried[workers] = (result["rate"], batch["points_per_s"])
        except Failed as err:
            bench.remark(f"mlflow with {workers} workers: {err}")
            bench.close(server)
            continue
        score = tried[workers][0] * tried[workers][1]
        if best and best[0] >= score:
            bench.close(server)
        else:
            if best:
                bench.close(best[1])
            best = (score, server)
    if best:
        bench.remark(f"mlflow on {engine}: {best[1].workers} workers taken; log-metric with 16 clients and log-batch points a second "
                     "were " + ", ".join(f"{r:.0f}/s and {p:.0f}/s with {w}" for w, (r, p) in tried.items()) + ".")
        best[1].settings["tried"] = tried
    return best[1] if best else None


def record_writes(bench, engine, everybody):
    sizes = bench.sizes
    if bench.wants("W1"):
        row = bench.row("W1", "create runs, 16 clients", engine, RATE, ">= 12,000/s, 120x MLflow, 5x the rival",
                        lambda r: r.value("cairn") >= 12000)
        bench.rounds(row, everybody, writes.create)
    if bench.wants("W2"):
        limits = {1: (0.5, 0, 1e9), 16: (0.5, 30000, 15), 128: (3, 0, 15)}
        for clients in sizes["clients"]:
            p50, rate, cpu = limits[clients]
            target = f"p50 <= {p50} ms" + (f", >= {rate:,}/s" if rate else "") + (f", <= {cpu} us CPU" if cpu < 1e9 else "")
            row = bench.row("W2", f"log-metric, {clients} client{'s' * (clients > 1)}", engine, RATE, target,
                            lambda r, l=(p50, rate, cpu): r.value("cairn", "p50_ms") <= l[0] and r.value("cairn") >= l[1]
                            and r.value("cairn", "cpu") <= l[2])
            bench.rounds(row, everybody, writes.series, "metric", clients)
        if sizes is not TINY:
            row = bench.row("W2", "log-metric, 1 client without TCP_QUICKACK", engine, RATE)
            bench.rounds(row, everybody, writes.series, "metric", 1, quickack=False, rounds=1)
    if bench.wants("W3"):
        for clients in (1, 16):
            row = bench.row("W3", f"log-batch of 1000, {clients} client{'s' * (clients > 1)}", engine, POINTS,
                            ">= 1,000,000/s, <= 0.6 us CPU a point",
                            lambda r: r.value("cairn") >= 1e6 and r.value("cairn", "cpu_us_point") <= 0.6)
            bench.rounds(row, everybody, writes.series, "batch", clients)
    if bench.wants("W2", "flushes"):
        row = bench.row("W2", "flushes for each acknowledged log-metric, 1 client", engine,
                        (("per_write", "", "less"),))
        for server in everybody:
            bench.measure(row, server, lambda s: writes.flushes(s, sizes) or {"per_write": None})


def peers(bench, engine):
    """The servers to compare with, started and quiet."""
    found = []
    if "mlflow" in bench.args.peers:
        found.append(best_mlflow(bench, engine))
    if "fasttrackml" in bench.args.peers:
        found.append(bench.launch(servers.FastTrackML, engine))
    return [s for s in found if s]


def run(bench):
    bench.sync("before")
    for engine in bench.args.engine:
        if engine == "postgres" and not servers.Postgres.is_available():
            bench.remark("PostgreSQL 15 is not installed: left out")
            continue
        everybody = [bench.launch(servers.Cairn, engine)] + peers(bench, engine)
        if everybody[0]:
            record_writes(bench, engine, everybody)
        for server in list(bench.open):
            bench.close(server)
    bench.sync("after")


def arguments():
    parser = argparse.ArgumentParser(
        prog="tools/bench", description="Measure the release program against MLflow and FastTrackML; see docs/benchmarks.md.")
    parser.add_argument("--quick", dest="mode", action="store_const", const="quick", default="full", help="smaller sizes: under 5 minutes")
    parser.add_argument("--tiny", dest="mode", action="store_const", const="tiny", help="seconds, cairn alone: does everything still work")
    parser.add_argument("--only", default="", help="workloads, like W2,W3; without it all")
    parser.add_argument("--engine", default="sqlite,postgres", help="sqlite, postgres or both")
    parser.add_argument("--peers", default="mlflow,fasttrackml", help="whom to compare with; none is cairn alone")
    parser.add_argument("--limit", type=float, default=3600, help="seconds after which nothing new is begun")
    parser.add_argument("--json", help="write all figures there")
    parser.add_argument("--markdown", help="write the tables there as well")
    args = parser.parse_args()
    for name in ("only", "engine", "peers"):
        setattr(args, name, [w for w in getattr(args, name).split(",") if w and w != "none"])
    if args.mode == "tiny":
        args.peers = []
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


def main():
    args = arguments()
    if "mlflow" in args.peers:
        servers.Mlflow.python = environment("bench-mlflow") / "bin/python"
    if "fasttrackml" in args.peers:
        servers.FastTrackML.program = environment("bench-fasttrackml") / "bin/fml"
    folder = Path(tempfile.mkdtemp(prefix="cairn-bench-", dir=os.environ.get("TMPDIR", "/var/tmp")))
    folder.chmod(0o755)  # PostgreSQL runs under another account
    bench = Bench(args, {"full": FULL, "quick": QUICK, "tiny": TINY}[args.mode], folder)

    def ended(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, ended)
    code = 0
    try:
        run(bench)
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
    if not code and any(n.startswith("failed") for row in bench.rows for n in row.notes.get("cairn", [])):
        code = 1
    return code
