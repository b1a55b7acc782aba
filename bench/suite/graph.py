"""W10: lineage: everything downstream of one data set, asked of a server over a store that bench/bench_lineage.c made, and in that program beside
the recursive query of SQLite."""
import re
import shutil

from . import loader
from .registry import command
from .servers import Cairn, Failed

LINES = {"set": "set and totals", "described": "with the 1,000 nearest described", "first": "first after a start",
         "recursive": "recursive query of SQLite"}
NODE = "node:1000000"  # the first, of which bench_lineage asks too


def ask(server, sizes, links, alone):
    """One store of so many links, in a folder of its own. Of whole requests: {"set_ms", "set_cpu_ms", "described_ms", "first_ms", "server_mb"};
    of the walks in the program that made the store {"set_walk_cpu_ms", ...}; its memory "rss_mb" and what SQLite needs."""
    other = Cairn(server.folder / "lineage", "sqlite")
    store = other.folder / "store"
    store.mkdir()
    try:
        _, rss, out = command([server.program.parent / "bench/bench_lineage", store, str(links), *(["alone"] if alone else [])])
        found = {"rss_mb": rss, "nodes": int(out.split(maxsplit=1)[0])}
        for key, title in LINES.items():
            line = re.search(rf"^{title}: (?:[0-9.]+ ms, )?([0-9.]+) ms CPU$", out, re.M)
            if line:
                found[f"{key}_walk_cpu_ms"] = float(line[1])
        if "first_walk_cpu_ms" not in found:
            raise Failed(f"bench_lineage said: {out[-300:]}")
        found |= over_http(other.start(), sizes, found["nodes"])
    finally:
        other.close()
        shutil.rmtree(other.folder, ignore_errors=True)
    if not alone:
        # the kernel counts in ticks: few short requests may take none
        found["ratio"] = found["recursive_walk_cpu_ms"] / max(found["set_cpu_ms"], found["set_walk_cpu_ms"], 0.01)
    return found


def over_http(server, sizes, nodes):
    """Whole requests of one client."""
    found = {}
    for key, most, times in (("first", 1, 1), ("set", 1, sizes["questions"]), ("described", 1000, sizes["questions"])):
        line = f"GET /api/cairn/v1/lineage?node={NODE}&direction=down&max_nodes={most}"
        result = loader.requests(server, [line], answer=True, requests=times)
        total = sum(int(each["count"]) for each in result["answer"].get("totals", []))
        if result["bad"] or total != nodes:
            raise Failed(f"{server.name}: {result['bad']} bad answers; {total} nodes where {nodes} are: {result.get('message', '')}")
        found |= {f"{key}_ms": result["p50_ms"], f"{key}_cpu_ms": result["cpu_us"] / 1000}
    return found | {"server_mb": server.memory_mb()[0]}
