"""W5 to W7: search, whole histories, charts."""
import json
from pathlib import Path
from urllib.parse import urlencode

from . import fill, loader
from .servers import Failed
from .writes import Names, same, same_series

SEARCH = "/api/2.0/mlflow/runs/search"
QUESTIONS = {
    "common": ("metrics.loss < 0.1 AND params.model = 'x3'", 0.1),
    "rare": ("metrics.loss < 0.0001 AND params.model = 'x3'", 0.0001),
    "page": (None, None),
}


def body(experiment, question):
    if question == "page":
        return {"experiment_ids": [experiment], "max_results": 1000}
    return {"experiment_ids": [experiment], "filter": QUESTIONS[question][0], "order_by": ["metrics.acc DESC"], "max_results": 100}


class Store:
    """The search store of one server: an experiment and its runs in the order of their numbers."""

    def __init__(self, server):
        self.server = server
        self.experiment = server.experiment(Names.new("store"))
        self.n, self.ids = 0, []
        self.path = Path(server.folder) / "store-ids"

    def fill(self, n, limit_s):
        """Bring it to n runs: cairn through its API, which is what is measured; a rival by writing its tables."""
        result = None
        if self.server.name == "cairn":
            result = loader.measure(self.server, "fill", limit_s=limit_s, experiment=self.experiment, clients=16,
                                    first=self.n, requests=n - self.n, out=self.path)
            if result["cut"] or result["bad"]:
                raise Failed(f"{self.server.name}: {result['requests']} of {n - self.n} runs in {limit_s} s; {result['bad']} failed")
        else:
            self.path = fill.Filler(self.server, self.experiment).search_store(n)
        self.ids, self.n = self.path.read_text().split(), n
        same(self.server, "runs of the store", len(set(self.ids)), n)
        return result

    def wanted(self, question):
        """Numbers of the runs that must be found, in their order."""
        if question == "page":
            return list(range(self.n - 1, max(self.n - 1001, -1), -1))
        return loader.expect("search", self.n, QUESTIONS[question][1], 3, 100)["runs"]

    def ask(self, question, sizes):
        """Compare one answer, then measure."""
        line = f"POST {SEARCH} {json.dumps(body(self.experiment, question), separators=(',', ':'))}"
        first = loader.requests(self.server, [line], answer=True, requests=1, limit_s=120)
        if not hasattr(self, "numbers") or len(self.numbers) != self.n:
            self.numbers = {run: i for i, run in enumerate(self.ids)}
        runs = [r for r in first["answer"].get("runs", []) if r["info"]["run_id"] in self.numbers]
        wanted = self.wanted(question)
        same(self.server, f"runs found by the {question} search", [self.numbers[r["info"]["run_id"]] for r in runs][:len(wanted)],
             wanted)
        for run in runs[:1]:
            same(self.server, "metrics, parameters of a run", (len(run["data"]["metrics"]), len(run["data"]["params"])), (50, 50))
        result = loader.requests(self.server, [line], requests=sizes["searches"], seconds=sizes["search_s"])
        result["first_ms"] = first["max_ms"]
        return result


def history_store(server, sizes, points):
    """One run with one long series; its id."""
    if server.name != "cairn":
        return fill.Filler(server, server.experiment(Names.new())).series("loss", 1, 1, points)[0]
    ids = loader.new_runs(server, server.experiment(Names.new()), 1)
    result = loader.measure(server, "batch", limit_s=sizes["fill_limit_s"], ids=ids, keys=1, steps=1000, requests=points // 1000)
    if result["cut"] or result["bad"]:
        raise Failed(f"{server.name}: the series could not be written")
    return ids.read_text().split()[0]


def history(server, run, points, page=0, pages=0):
    """W6. Read a whole series and compare its sum. With pages > 0 only so many are read, and the time is computed from them."""
    want = loader.expect("series", "loss", 0, 0, points)
    if pages and pages * page < points:
        part = loader.expect("series", "loss", 0, 0, page * pages)
        (count, total, ordered), result = loader.read_series(server, run, want["key"], page, pages)
        same(server, "points", count, page * pages)
        if abs(total - part["sum"]) > 1e-9 * part["sum"] or not ordered:
            raise Failed(f"{server.name}: sum {total}, not {part['sum']}, or not in order")
        scale = points / (page * pages)
        result["extrapolated"] = scale
    else:
        result, scale = same_series(server, run, want, page), 1
    result["read_s"] = result["waited_s"] * scale  # without the time in which the generator sums up
    result["cpu_s_all"] = (result["cpu_us"] + result["db_cpu_us"]) * result["requests"] / 1e6 * scale
    return result


class Charts:
    """Runs with the same metrics, for pictures of many runs."""

    def __init__(self, server, runs, keys, steps, limit_s):
        self.server, self.runs, self.keys, self.steps = server, runs, keys, steps
        self.names = [f"train/layer_{k:02d}/loss" for k in range(keys)]
        if server.name == "cairn":
            path = loader.new_runs(server, server.experiment(Names.new()), runs, "chart-ids")
            each = 1000 // keys
            self.filled = loader.measure(server, "batch", limit_s=limit_s, ids=path, clients=runs, keys=keys, steps=each,
                                         each=steps // each)
            if self.filled["cut"] or self.filled["bad"]:
                raise Failed(f"{server.name}: the series of the charts could not be written in {limit_s} s")
            self.ids = path.read_text().split()
        else:
            self.filled = None
            self.ids = fill.Filler(server, server.experiment(Names.new())).series("loss", runs, keys, steps)

    def compare(self, run, points):
        """points: [(step, value)] of the first metric of a run: the ends are there, and each exists."""
        exact = {}
        for line in fill._dump("dump-series", "loss", run + 1, 1, self.steps):
            number, _, value, _, step = line.split("\t")
            if int(number) == run:
                exact[int(step)] = float(value)
        steps = sorted(s for s, _ in points)
        same(self.server, "first and last step of a chart", (steps[0], steps[-1]), (0, self.steps - 1))
        for step, value in points:
            same(self.server, f"value at step {step}", value, exact.get(step))

    def interval(self, metrics, buckets=320):
        """MLflow's call, once for each metric: 320 points of each run."""
        lines = []
        for name in self.names[:metrics]:
            query = [("run_ids", i) for i in self.ids] + [("metric_key", name), ("max_results", buckets)]
            lines.append("GET /ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?" + urlencode(query))
        first = loader.requests(self.server, lines[:1], answer=True, requests=1, limit_s=120)
        found = {}
        for m in first["answer"]["metrics"]:
            found.setdefault(m["run_id"], []).append((int(m["step"]), m["value"]))
        same(self.server, "runs in a chart", len(found), self.runs)
        if max(map(len, found.values())) > buckets + 2:  # MLflow adds the ends
            raise Failed(f"{self.server.name}: {max(map(len, found.values()))} points of a run, more than {buckets}")
        if self.steps <= 100000:
            self.compare(0, found[self.ids[0]])
        return self._set(loader.requests(self.server, lines, requests=len(lines), limit_s=180), self.keys / metrics)

    def native(self, buckets=320):
        """cairn's call: all runs and metrics at once."""
        question = {"run_ids": self.ids, "metrics": self.names, "buckets": buckets}
        line = f"POST /api/cairn/v1/charts {json.dumps(question, separators=(',', ':'))}"
        first = loader.requests(self.server, [line], answer=True, requests=1, limit_s=120)
        series = first["answer"]["series"]
        same(self.server, "series in a chart", len(series), self.runs * self.keys)
        same(self.server, "points in a chart", sum(int(s["points"]) for s in series), self.runs * self.keys * self.steps)
        want = loader.expect("series", "loss", 0, 0, self.steps)
        one = next(s for s in series if s["run_id"] == self.ids[0] and s["metric"] == self.names[0])
        same(self.server, "first, last, low and high of a chart",
             (one["first"][0], one["last"][-1], min(v for v in one["low"] if v is not None),
              max(v for v in one["high"] if v is not None)), (want["first"], want["last"], want["min"], want["max"]))
        return self._set(loader.requests(self.server, [line], requests=1, limit_s=120), 1)

    @staticmethod
    def _set(result, scale):
        result["set_s"] = result["waited_s"] * scale
        result["cpu_s_all"] = (result["cpu_us"] + result["db_cpu_us"]) * result["requests"] / 1e6 * scale
        result["answer_mb"] = result["bytes_in"] / 1e6 * scale
        result.pop("answer", None)
        return result
