"""Runs the load generator against a server and adds what the kernel says about the server meanwhile."""
import json
import signal
import subprocess
from pathlib import Path

from . import machine
from .servers import Cairn, Failed

PROGRAM = Cairn.program.parent / "bench/bench_load"


def measure(server, work, limit_s=60, quickack=True, **options):
    """One load. What the generator printed, and of the server: cpu_us (of it the kernel's: system_us) and db_cpu_us for each request.

    options are those of the generator: requests=10, seconds=2, clients=16, shared=True, ... After limit_s seconds it is
    stopped and what it has so far counts ("cut")."""
    argv = [PROGRAM, work, "--port", str(server.port)] + (["--quickack"] if quickack else [])
    for name, value in options.items():
        if value is True:
            argv.append(f"--{name}")
        elif value not in (None, False):
            argv += [f"--{name}", str(value)]
    errors = Path(server.folder) / "load.err"
    before, system = server.cpu_s(), machine.system_s(server.pid)
    with open(errors, "wb") as err:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, text=True)
        try:
            out, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            try:
                out, _ = process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                out, _ = process.communicate()
        except BaseException:
            process.kill()
            process.wait()
            raise
    after, system = server.cpu_s(), machine.system_s(server.pid) - system
    try:
        result = json.loads(out)
    except ValueError as e:
        raise Failed(f"{server.name}: {work}: {errors.read_text(errors='replace')[-500:] or 'no result'}") from e
    n = max(result["requests"], 1)
    result["cpu_us"] = (after[0] - before[0]) / n * 1e6
    result["system_us"] = system / n * 1e6
    result["load_cores"] = result["cpu_s"] / max(result["seconds"], 1e-9)
    result["db_cpu_us"] = (after[1] - before[1]) / n * 1e6
    result["p50_ms"], result["p99_ms"], result["max_ms"] = (result.pop(f"{k}_us") / 1000 for k in ("p50", "p99", "max"))
    if result["bad"]:
        result["message"] = errors.read_text(errors="replace")[:300]
    return result


def expect(what, *args):
    """What a server must answer, computed by the generator."""
    done = subprocess.run([PROGRAM, f"expect-{what}", *map(str, args)], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def new_runs(server, experiment, n, name="ids"):
    """n new runs; the file with their ids."""
    path = Path(server.folder) / name
    result = measure(server, "create", experiment=experiment, requests=n, clients=min(n, 16), out=path)
    if result["requests"] != n:
        raise Failed(f"{server.name}: {n} runs were asked for, {result['requests']} made")
    return path


def read_series(server, run, key, page=0, pages=1 << 30, limit_s=120):
    """(count, sum, ordered) of a metric's history, and the measurement. page=0 asks for all in one answer."""
    path = Path(server.folder) / "history-id"
    path.write_text(run + "\n")
    result = measure(server, "history", limit_s=limit_s, ids=path, experiment=key, steps=page, requests=pages)
    return (result["points"], result["sum"], result["ordered"]), result


def requests(server, lines, limit_s=60, answer=False, **options):
    """Send lines METHOD PATH [BODY] in turn. With answer=True the last answer is in result["answer"]."""
    path = Path(server.folder) / "requests"
    path.write_text("\n".join(lines) + "\n")
    if answer:
        options["answer"] = Path(server.folder) / "answer"
    result = measure(server, "request", limit_s=limit_s, ids=path, **options)
    if answer:
        text = options["answer"].read_text()
        result["answer"] = json.loads(text) if text else None
    return result
