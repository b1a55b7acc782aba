#!/usr/bin/env python3
"""bench/grpc.py - a unary call of gRPC beside nghttpd, in one run: processor time of the server for a call.

h2load sends an empty message to grpc.health.v1.Health/Check, and the same request to nghttpd, the server that comes with libnghttp2, which
answers it with a file of the same seven bytes. Rounds alternate; the medians are compared, and the exit code is 1 if cairn takes more
than twice the time.

    python3 bench/grpc.py [--cairn build/release/cairn] [--calls 60000] [--rounds 5]"""
import argparse
import contextlib
import json
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

LIMIT = 2.0


def processor_s(pid):
    """All that its threads have used, as clock_getcpuclockid(3) has it: to the nanosecond, not to a tick of 10 ms."""
    return time.clock_gettime(~pid << 3 | 2)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def running(args, port):
    process = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
                break
            if process.poll() is not None or time.monotonic() > until:
                sys.exit(f"{args[0]} does not start")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def load(port, path, calls, body):
    """Calls a second; every answer has to be a success."""
    before = time.monotonic()
    out = subprocess.run(["h2load", "-n", str(calls), "-c", "4", "-m", "16", "-d", body, "-H", "content-type: application/grpc",
                          "-H", "te: trailers", f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True).stdout
    if f"{calls} succeeded" not in out:
        sys.exit(out)
    return calls / (time.monotonic() - before)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--cairn", default="build/release/cairn")
    p.add_argument("--calls", type=int, default=60000)
    p.add_argument("--rounds", type=int, default=5)
    args = p.parse_args()
    nghttpd = shutil.which("nghttpd") or "/usr/sbin/nghttpd"
    ports = {"cairn": free_port(), "nghttpd": free_port()}
    paths = {"cairn": "/grpc.health.v1.Health/Check", "nghttpd": "/answer"}
    costs, rates = {name: [] for name in ports}, {name: [] for name in ports}
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "ask").write_bytes(bytes(5))
        (pathlib.Path(folder) / "answer").write_bytes(b"\0\0\0\0\2\10\1")
        with running([args.cairn, "server", "--data", f"{folder}/data", "--listen", f"127.0.0.1:{ports['cairn']}"],
                     ports["cairn"]) as ours, \
             running([nghttpd, "--no-tls", "-n", "2", "-d", folder, "-a", "127.0.0.1", str(ports["nghttpd"])],
                     ports["nghttpd"]) as theirs:
            for n in range(args.rounds + 1):  # the first warms up
                for name, pid in (("cairn", ours), ("nghttpd", theirs)):
                    before = processor_s(pid)
                    rate = load(ports[name], paths[name], args.calls, f"{folder}/ask")
                    if n > 0:
                        costs[name].append((processor_s(pid) - before) / args.calls * 1e6)
                        rates[name].append(rate)
    us = {name: statistics.median(c) for name, c in costs.items()}
    print(json.dumps({"us_cpu_per_call": {k: round(v, 2) for k, v in us.items()},
                      "calls_per_s": {k: round(statistics.median(r)) for k, r in rates.items()},
                      "ratio": round(us["cairn"] / us["nghttpd"], 2), "limit": LIMIT}))
    return us["cairn"] > LIMIT * us["nghttpd"]


if __name__ == "__main__":
    sys.exit(main())
