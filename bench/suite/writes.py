"""W1 to W3: create runs, log-metric, log-batch; and flushes for each acknowledged write.

Each function measures one round on one server and compares what the server then has with what was acknowledged; a
difference raises Failed, and the figures of that round do not count."""
from pathlib import Path

from . import loader, machine
from .servers import Failed


def same(server, what, found, wanted):
    if found != wanted:
        raise Failed(f"{server.name}: {what}: {found}, not {wanted}")


def same_series(server, run, want, page=0):
    """Compare a history with {"key", "count", "sum"}; sums may differ in their last digits, as servers order equal times."""
    (count, total, ordered), result = loader.read_series(server, run, want["key"], page)
    same(server, f"points of {want['key']}", count, want["count"])
    if abs(total - want["sum"]) > 1e-9 * max(1.0, abs(want["sum"])):
        raise Failed(f"{server.name}: sum of {want['key']}: {total}, not {want['sum']}")
    if page:
        same(server, f"order of {want['key']} by time", ordered, True)
    return result


def run_count(server, experiment, limit_s=120):
    """Distinct runs of an experiment, by paging through a search."""
    ids, token = set(), None
    while True:
        body = {"experiment_ids": [experiment], "max_results": 1000}
        if token:
            body["page_token"] = token
        answer = server.post("/api/2.0/mlflow/runs/search", body, timeout=limit_s)
        ids.update(run["info"]["run_id"] for run in answer.get("runs", []))
        token = answer.get("next_page_token")
        if not token:
            return len(ids)


class Names:
    """A new experiment name each time."""

    n = 0

    @classmethod
    def new(cls, prefix="bench"):
        cls.n += 1
        return f"{prefix}-{cls.n}"


def create(server, sizes):
    """W1. 16 clients create runs."""
    experiment = server.experiment(Names.new())
    out = Path(server.folder) / "created"
    result = loader.measure(server, "create", experiment=experiment, clients=16, requests=sizes["create_runs"],
                            seconds=sizes["seconds"], out=out)
    ids = out.read_text().split()
    same(server, "distinct ids", len(set(ids)), result["requests"])
    same(server, "runs found", run_count(server, experiment), result["requests"])
    return result


def series(server, sizes, work, clients, quickack=True):
    """W2 (work="metric") and W3 (work="batch"): each client logs to a run of its own."""
    kind, keys = "loss", (0,) if work == "metric" else (0, 17, 49)
    ids = loader.new_runs(server, server.experiment(Names.new()), clients)
    result = loader.measure(server, work, ids=ids, clients=clients, seconds=sizes["seconds"], kind=kind, quickack=quickack)
    if result["bad"]:
        raise Failed(f"{server.name}: {result['bad']} failed: {result['message']}")
    names = ids.read_text().split()
    for client in {0, clients - 1}:
        steps = result["each"][client] * (1 if work == "metric" else 20)
        for key in keys:
            want = loader.expect("series", kind, client, key, steps)
            same_series(server, names[client], want)
            if steps:
                check_latest(server, names[client], want)
    result["points"] = result["requests"] * (1 if work == "metric" else 1000)
    result["points_per_s"] = result["points"] / result["seconds"]
    result["cpu_us_point"] = (result["cpu_us"] + result["db_cpu_us"]) * result["requests"] / max(result["points"], 1)
    return result


def floor(server, sizes, work, clients):
    """The load of create() or of log-metric against the minimal server, which stores nothing that could be compared."""
    ids = Path(server.folder) / "ids"
    if work == "create":
        return loader.measure(server, work, experiment="1", clients=clients, requests=sizes["create_runs"], seconds=sizes["seconds"],
                              out=ids)
    ids.write_text("".join(f"{i:032x}\n" for i in range(clients)))
    return loader.measure(server, work, ids=ids, clients=clients, seconds=sizes["seconds"], kind="loss")


def check_latest(server, run, want):
    metrics = server.get(f"/api/2.0/mlflow/runs/get?run_id={run}")["run"]["data"]["metrics"]
    latest = {m["key"]: m["value"] for m in metrics}
    same(server, f"latest value of {want['key']}", latest.get(want["key"]), want["last"])


def flushes(server, sizes, work="metric"):
    """Flushes for each acknowledged write of one client, of server and database together; None where strace is missing."""
    ids = loader.new_runs(server, server.experiment(Names.new()), 1)
    with machine.Flushes(server.roots(), server.folder) as counted:
        result = loader.measure(server, work, ids=ids, requests=sizes["flush_writes"], seconds=10, limit_s=30)
    if counted.count is None or not result["requests"]:
        return None
    return {"per_write": counted.count / result["requests"], "writes": result["requests"], "calls": counted.calls}
