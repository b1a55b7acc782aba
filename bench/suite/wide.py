"""W4 and W11 to W14: a long run, footprint, bytes at rest, abuse, freshness; and the unmodified client of pip."""
import http.client
import json
import os
import statistics
import subprocess
import threading
import time
from pathlib import Path

from . import loader, machine
from .servers import Failed
from .writes import Names, same, same_series


class Watch:
    """Memory of a server while something happens: `peak_mb`, and `early_mb`, what it was after a quarter of the samples."""

    def __init__(self, server, every_s=0.25):
        self.server, self.every_s, self.seen, self.ended = server, every_s, [], threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self.ended.wait(self.every_s):
            self.seen.append(self.server.memory_mb()[0])

    def __enter__(self):
        self.seen.append(self.server.memory_mb()[0])
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.seen.append(self.server.memory_mb()[0])
        self.peak_mb, self.early_mb = max(self.seen), max(self.seen[:len(self.seen) // 4 + 1])


def long_run(server, points, full, limit_s):
    """W4. One run of 50 metrics of all kinds; `full` points, computed from fewer for a rival."""
    ids = loader.new_runs(server, server.experiment(Names.new()), 1)
    clients = 4 if server.name == "cairn" else 1
    before = server.disk()["used"]
    with Watch(server) as memory:
        result = loader.measure(server, "batch", limit_s=limit_s, ids=ids, clients=clients, shared=True, kind="mixed",
                                requests=points // 1000)
    if result["cut"] or result["bad"]:
        raise Failed(f"{server.name}: {result['requests']} of {points // 1000} batches in {limit_s} s, {result['bad']} failed")
    run, steps = ids.read_text().split()[0], points // 50
    for key in (0, 1, 2, 3, 4) if points <= 1000000 else (1, 3):
        same_series(server, run, loader.expect("series", "mixed", 0, key, steps))
    scale = full / points
    result["points_per_s"] = points / result["seconds"]
    result["total_s"] = result["seconds"] * scale
    result["cpu_us_point"] = (result["cpu_us"] + result["db_cpu_us"]) / 1000
    result["peak_mb"], result["early_mb"] = memory.peak_mb, memory.early_mb
    start = time.monotonic()
    result["compacted"] = server.compact()
    result["compact_s"] = time.monotonic() - start
    if result["compacted"]:
        same_series(server, run, loader.expect("series", "mixed", 0, 1, steps))
    disk = server.disk()
    result["bytes_point"], result["disk"] = (disk["used"] - before) / points, disk
    result["log_mb"] = disk["log"] / 1e6
    return result


def at_rest(server, sizes, kind):
    """W12. Bytes of a point of one kind, after compaction."""
    runs, steps = sizes["rest"] if server.name == "cairn" else sizes["rest_peer"]
    ids = loader.new_runs(server, server.experiment(Names.new()), runs)
    server.compact()
    before = server.disk()["used"]
    result = loader.measure(server, "batch", limit_s=120, ids=ids, clients=runs, kind=kind, each=steps // 20)
    if result["cut"] or result["bad"]:
        raise Failed(f"{server.name}: not all could be written")
    result["compacted"] = server.compact()
    disk = server.disk()
    result["points"] = runs * steps * 50
    result["bytes_point"], result["log_bytes"] = (disk["used"] - before) / result["points"], disk["log"]
    return result


def starts(server, _):
    """W11. Milliseconds from exec to the first good answer, after a clean stop."""
    server.stop()
    server.start()
    return {"start_ms": server.start_ms}


def start_after_kill(server, sizes):
    """W11. The same after kill -9 in the middle of a load; everything acknowledged must be there. How much the start has replayed, how
    long that took, and how much it could have been at the worst moment of the load, the servers say."""
    ids = loader.new_runs(server, server.experiment(Names.new()), 4)
    result = loader.measure(server, "batch", ids=ids, clients=4, seconds=sizes["seconds"])
    worst_mb = server.figure("cairn_replay_max_bytes") / 1e6
    server.kill()
    server.start()
    replay_ms, replay_mb = server.figure("cairn_replay_seconds") * 1000, server.figure("cairn_replayed_bytes") / 1e6
    names = ids.read_text().split()
    for client in (0, 3):
        same_series(server, names[client], loader.expect("series", "loss", client, 3, result["each"][client] * 20))
    return {"start_ms": server.start_ms, "rest_ms": server.start_ms - replay_ms, "replay_ms": replay_ms, "replay_mb": replay_mb,
            "worst_mb": worst_mb, "batches": result["requests"]}


def footprint(server):
    """W11. Memory of the server's processes when it is quiet; of cairn also what it says it keeps, and what of it is the index."""
    machine.wait_quiet(server.pid)
    time.sleep(3)  # memory is given back when a second or two have been quiet
    rss, pss = server.memory_mb()
    kept = server.kept_mb()
    return {"rss_mb": rss, "pss_mb": pss} | ({"rest_mb": rss - kept["index_mb"]} | kept if kept else {})


def writers(server, sizes):
    """W13. 64 clients log to one run; then the same batches once more: nothing changes."""
    ids = loader.new_runs(server, server.experiment(Names.new()), 1)
    # a rival gets batches of 100 points: 64 of 1000 take it minutes
    each, steps = (sizes["abuse_batches"], 20) if server.name == "cairn" else (max(1, sizes["abuse_batches"] // 5), 2)
    run, results = ids.read_text().split()[0], []
    for _ in range(2):
        result = loader.measure(server, "batch", limit_s=90, ids=ids, clients=64, shared=True, kind="mixed", requests=64 * each, steps=steps)
        if result["bad"] or result["cut"]:
            raise Failed(f"{server.name}: {result['bad']} of {64 * each} batches failed, {result['retried']} were sent again: "
                         f"{result.get('message', 'too slow')}")
        for key in (0, 2, 4):
            same_series(server, run, loader.expect("series", "mixed", 0, key, 64 * each * steps))
        results.append(result)
    results[0]["points_per_s"] = results[0]["requests"] * steps * 50 / results[0]["seconds"]
    results[0]["again_per_s"] = results[1]["requests"] * steps * 50 / results[1]["seconds"]
    return results[0]


def can_delete(server):
    """Whether this program removes runs for good."""
    done = subprocess.run([server.program, "run", "rm", "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode == 0 and "--hard" in done.stdout


def hard_delete(server, sizes):
    """W13. A run of many points is removed for good; it is gone, and its neighbour is not."""
    ids = loader.new_runs(server, server.experiment(Names.new()), 2)
    result = loader.measure(server, "batch", limit_s=60, ids=ids, clients=2, shared=True, kind="mixed", requests=sizes["delete"] // 1000)
    same(server, "failures", (result["bad"], result["cut"]), (0, False))
    server.compact()
    gone, left = ids.read_text().split()
    before = server.memory_mb()[0]
    with Watch(server, 0.02) as memory:
        start = time.perf_counter()
        done = subprocess.run([server.program, "run", "rm", gone, "--hard", "--yes", "--server", server.url], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
        took = time.perf_counter() - start
    if done.returncode:
        raise Failed(f"cairn run rm --hard: {done.stdout.strip()[-200:]}")
    if server.has("GET", f"/api/2.0/mlflow/runs/get?run_id={gone}"):
        raise Failed("the deleted run is still there")
    same(server, "the other run", server.get(f"/api/2.0/mlflow/runs/get?run_id={left}")["run"]["info"]["run_id"], left)
    return {"delete_s": took, "grown_mb": memory.peak_mb - before}


class Caller:
    """Requests on one keep-alive connection, from Python."""

    def __init__(self, server):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def __call__(self, method, path, body=None):
        self.connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise Failed(f"{path}: {answer.status} {text[:200].decode(errors='replace')}")
        return json.loads(text or b"{}")


def sees(call, experiment, run, step):
    """Which of search, history and chart show the value of a step (its metric is the step itself)."""
    found = call("POST", "/api/2.0/mlflow/runs/search", {"experiment_ids": [experiment], "filter": f"metrics.fresh = {step}",
                                                         "max_results": 5})
    history = call("GET", f"/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=fresh")
    chart = call("GET", "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?"
                        f"run_ids={run}&metric_key=fresh&max_results=320")
    return (len(found.get("runs", [])) == 1, any(int(m["step"]) == step for m in history.get("metrics", [])),
            any(int(m["step"]) == step for m in chart.get("metrics", [])))


def fresh(writer, sizes, reader=None):
    """W14. Milliseconds from the answer to a log-metric until search, history and chart show it, asked at `reader` (without it, at
    the same server). On the same server it must be there at the first look."""
    write, read = Caller(writer), Caller(reader or writer)
    experiment = writer.experiment(Names.new())
    run = write("POST", "/api/2.0/mlflow/runs/create", {"experiment_id": experiment})["run"]["info"]["run_id"]
    waits, late = [], 0
    for step in range(sizes["fresh"]):
        write("POST", "/api/2.0/mlflow/runs/log-metric",
              {"run_id": run, "key": "fresh", "value": step, "timestamp": 1790000000000 + step, "step": step})
        start, looks = time.perf_counter(), 0
        while not all(sees(read, experiment, run, step)):
            looks += 1
            if time.perf_counter() - start > 5:
                raise Failed(f"step {step} is not visible after 5 s")
        late += looks > 0
        # looking takes time itself: what counts is when the first look that saw everything began, at best 0
        waits.append((time.perf_counter() - start) * 1000 if looks else 0.0)
    waits.sort()
    return {"p50_ms": statistics.median(waits), "max_ms": waits[-1], "late": late, "looks": len(waits)}


CLIENT = """
import json, sys, time
import mlflow
from mlflow.entities import Metric
seconds = float(sys.argv[2])
mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()
run = client.create_run(client.create_experiment(sys.argv[3])).info.run_id
def rate(do):
    do(0)
    n, start = 1, time.perf_counter()
    while time.perf_counter() - start < seconds:
        do(n)
        n += 1
    return (n - 1) / (time.perf_counter() - start)
one = rate(lambda i: client.log_metric(run, "loss", 1 / (i + 1), 1790000000000 + i, i))
many = rate(lambda i: client.log_batch(run, [Metric(f"k{k}", 1 / (i + k + 1), 1790000000000 + i, i * 20 + s)
                                             for s in range(20) for k in range(50)]))
print(json.dumps({"rate": one, "batches": many, "stored": len(client.get_metric_history(run, "loss"))}))
"""


def pip_client(server, sizes, python):
    """The client of pip as it is: one process, log_metric and log_batch(1000) one after the other."""
    env = dict(os.environ, MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true", PYTHONWARNINGS="ignore", MLFLOW_ENABLE_ASYNC_LOGGING="false")
    before = server.cpu_s()
    done = subprocess.run([python, "-c", CLIENT, server.url, str(sizes["client_s"]), Names.new("client")], env=env, cwd=server.folder,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    if done.returncode:
        raise Failed(f"{server.name}: {done.stderr[-300:]}")
    result = json.loads(done.stdout.splitlines()[-1])
    result["points_per_s"] = result["batches"] * 1000
    result["server_cpu_s"] = sum(server.cpu_s()) - sum(before)
    return result
