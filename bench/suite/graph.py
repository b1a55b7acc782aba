"""W10: lineage: everything downstream of one data set, asked of a store by bench/bench_lineage.c, beside the recursive query of SQLite."""
import re
import shutil

from .registry import command
from .servers import Failed

LINES = {"set": "set and totals", "described": "with the 1,000 nearest described", "first": "first after a start",
         "recursive": "recursive query of SQLite"}


def ask(server, links, alone):
    """One store of so many links, in a folder of its own: {"set_ms": ..., "set_cpu_ms": ..., "nodes": ..., "rss_mb": ...}."""
    folder = server.folder / "lineage"
    folder.mkdir()
    try:
        _, rss, out = command([server.program.parent / "bench/bench_lineage", folder, str(links), *(["alone"] if alone else [])])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found = {"rss_mb": rss}
    for key, title in LINES.items():
        line = re.search(rf"^{title}: (?:([0-9.]+) ms, )?([0-9.]+) ms CPU$", out, re.M)
        if line:
            found[f"{key}_cpu_ms"] = float(line[2])
            if line[1]:
                found[f"{key}_ms"] = float(line[1])
    if "first_ms" not in found:
        raise Failed(f"bench_lineage said: {out[-300:]}")
    if not alone:
        found["ratio"] = found["recursive_cpu_ms"] / found["set_cpu_ms"]
    return found
