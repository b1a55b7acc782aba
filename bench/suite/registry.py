"""W9: the model registry: a page of a search among many models, one model, and 64 clients that register versions; a large model file."""
import json
import statistics
import struct
import subprocess
from urllib.parse import quote

from . import loader
from .servers import Failed
from .writes import same

API = "/api/2.0/mlflow/"


def name(i):
    return f"model-{i:06}"


class Registry:
    """The registered models of one server: name, description and a tag each, made through its API."""

    def __init__(self, server):
        self.server, self.n = server, 0

    def fill(self, n, limit_s):
        lines = [f"POST {API}registered-models/create " + json.dumps(
            {"name": name(i), "description": f"model number {i}", "tags": [{"key": "team", "value": f"team-{i % 7}"}]})
            for i in range(self.n, n)]
        result = loader.requests(self.server, lines, limit_s=limit_s, clients=1 if self.server.name == "mlflow" else 16,
                                 requests=len(lines))
        if result["cut"] or result["bad"]:
            raise Failed(f"{self.server.name}: {result['requests']} of {len(lines)} models in {limit_s} s; {result['bad']} failed: "
                         f"{result.get('message', '')}")
        self.n = n
        return result

    def search(self, pattern, wanted, sizes):
        """100 models by LIKE, in the order of their names: the first answer is compared."""
        line = f"GET {API}registered-models/search?max_results=100&filter=" + quote(f"name LIKE '{pattern}'")
        first = loader.requests(self.server, [line], answer=True, requests=1, limit_s=120)
        found = [m["name"] for m in first["answer"].get("registered_models", [])]
        same(self.server, f"models found by LIKE '{pattern}'", found, [name(i) for i in range(self.n) if wanted(i)][:100])
        result = loader.requests(self.server, [line], requests=sizes["searches"], seconds=sizes["search_s"])
        result["first_ms"] = first["max_ms"]
        return result

    def get(self, sizes):
        lines = [f"GET {API}registered-models/get?name={name(i * 7919 % self.n)}" for i in range(min(self.n, 5000))]
        first = loader.requests(self.server, lines[:1], answer=True, requests=1)
        same(self.server, "name of the model", first["answer"]["registered_model"]["name"], name(0))
        return loader.requests(self.server, lines, requests=10 * sizes["searches"], seconds=sizes["search_s"])

    def register(self, sizes, clients):
        """Versions of all models in turn; afterwards none is lost and none doubled."""
        n = sizes["versions"] if self.server.name == "cairn" else sizes["versions_peer"]
        before = self.versions()
        lines = [f"POST {API}model-versions/create " + json.dumps({"name": name(i * 7919 % self.n), "source": f"s3://bucket/models/{i}"})
                 for i in range(n)]
        result = loader.requests(self.server, lines, clients=clients, requests=n, limit_s=120)
        if self.server.name == "cairn":
            if result["bad"]:
                raise Failed(f"{self.server.name}: {result['bad']} of {n} failed: {result.get('message', '')}")
            same(self.server, "versions registered", self.versions() - before, result["requests"])
        return result

    def versions(self):
        """How many versions there are, by the sum of the highest numbers; cairn gives each number once."""
        if self.server.name != "cairn":
            return 0
        total, token = 0, ""
        while True:
            page = self.server.get(f"{API}registered-models/search?max_results=1000&page_token={quote(token)}")
            for model in page.get("registered_models", []):
                total += max((int(v["version"]) for v in model.get("latest_versions", [])), default=0)
            token = page.get("next_page_token", "")
            if not token:
                return total


TENSORS = 500


def large_model(path, size):
    """A safetensors file of that many bytes, most of which nobody wrote."""
    each = size // TENSORS // 4 * 4
    table = {f"model.layers.{i}.weight": {"dtype": "F32", "shape": [each // 4], "data_offsets": [i * each, (i + 1) * each]}
             for i in range(TENSORS)}
    header = json.dumps(table).encode()
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(header)) + header)
        out.truncate(out.tell() + TENSORS * each)


def command(argv):
    """(milliseconds, largest RSS in MB, output) of a command."""
    done = subprocess.run([loader.PROGRAM.parent / "bench_run", *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
    out, _, last = done.stdout.rstrip("\n").rpartition("\n")
    figures = json.loads(last)
    if figures["status"]:
        raise Failed(f"{argv}: exit status {figures['status']}")
    return figures["ms"], figures["rss_kb"] / 1024, out


def inspect(server, sizes):
    """The command on a file that lies in its folder; memory is told beside that of a command that does nothing."""
    path = server.folder / "large.safetensors"
    large_model(path, sizes["large_model"])
    taken, used, idle = [], 0, 0
    try:
        for _ in range(sizes["inspections"]):
            ms, rss, out = command([server.program, "model", "inspect", path, "-o", "json"])
            found = json.loads(out)
            if (found["tensor_count"], found["finding_count"]) != (TENSORS, 0):
                raise Failed(f"{server.name}: {found['tensor_count']} tensors and {found['finding_count']} findings")
            taken.append(ms)
            used = max(used, rss)
            idle = max(idle, command([server.program, "version"])[1])
    finally:
        path.unlink()
    return {"inspect_ms": statistics.median(taken), "rss_mb": used, "grown_mb": max(used - idle, 0)}
