"""What is measured in which order, with which sizes and targets."""
import time

from . import bucket, files, graph, grpc, machine, mlmd, openlineage, reads, registry, report, servers, wide, writes
from .servers import Failed

_FULL = {
    "rounds": 3, "seconds": 2, "create_runs": 10000, "flush_writes": 200, "clients": (1, 16, 128), "workers": (1, 2, 4),
    "store": {"sqlite": (10000, 100000, 1000000), "postgres": (10000, 100000)}, "store_peer": 10000,
    "searches": 200, "search_s": 2, "fill_limit_s": 900,
    "models": 10000, "models_peer": 10000, "models_limit_s": 300, "versions": 40000, "versions_peer": 500,
    "large_model": 5000000000, "inspections": 10, "links": 1000000, "links_more": 10000000, "questions": 60, "calls": (60000, 5), "events": 200000, "events_one": 2000, "mlmd": (100000, 3000, 3),
    "history": 1000000, "history_page": 25000, "history_pages_peer": 4,
    "charts": (100, 10, 1000), "charts_long": {"sqlite": (10, 10, 1000000), "postgres": (10, 10, 100000)}, "charts_peer_metrics": 1,
    "long": {"sqlite": 50000000, "postgres": 10000000}, "long_peer": 100000, "long_limit_s": 300,
    "rest_kinds": {"sqlite": ("mixed", "noise", "loss", "accuracy", "cosine", "constant"), "postgres": ("mixed",)},
    "rest": (10, 2000), "rest_peer": (4, 100), "abuse_batches": 20, "delete": 6500000, "delete_peer": 100000, "fresh": 100,
    "large_file": 1000000000, "large_file_peer": 250000000, "small_files": 10000, "small_files_peer": 1000, "listed": 100000,
    "listed_peer": 10000, "collected": 1000000, "bucket_file": 1000000000, "bucket_rounds": 1, "starts": 5, "client_s": 3, "peers_read": ("sqlite",), "peers_search": ("sqlite", "postgres"),
    "peers_restart": ("sqlite",),
}
SIZES = {
    "full": _FULL,
    "quick": dict(_FULL, rounds=1, seconds=1, create_runs=4000, flush_writes=100, workers=(4,),
                  store={"sqlite": (2000, 50000), "postgres": (2000,)}, store_peer=2000, searches=100, search_s=1, fill_limit_s=60,
                  links_more=0, questions=30, calls=(20000, 3), events=40000, events_one=500, mlmd=(5000, 800, 1), models_peer=2000, models_limit_s=60, versions=20000, versions_peer=200,
                  history=200000, history_pages_peer=2, charts=(100, 10, 300),
                  charts_long={"sqlite": (10, 10, 50000), "postgres": (10, 10, 20000)},
                  long={"sqlite": 5000000, "postgres": 2000000}, long_peer=20000, long_limit_s=60,
                  large_file=256000000, large_file_peer=100000000, bucket_file=128000000, collected=100000, listed=20000, listed_peer=2000,
                  rest=(4, 1000), rest_peer=(2, 100), abuse_batches=4, delete=1000000, delete_peer=20000, fresh=30, starts=3, client_s=1,
                  peers_search=("sqlite",), peers_restart=()),
    "tiny": dict(_FULL, rounds=1, seconds=0.2, create_runs=100, flush_writes=10, clients=(1, 16), workers=(1,),
                 store={"sqlite": (200, 1200), "postgres": (200,)}, store_peer=200, searches=3, search_s=1, fill_limit_s=30, links=20000, links_more=0, questions=3, calls=(400, 1), events=400, events_one=20, mlmd=(200, 32, 1), models=200, models_peer=200, inspections=2, versions=200, versions_peer=20, history=3000,
                 history_page=1000, charts=(4, 2, 1000), charts_long={"sqlite": (2, 2, 5000), "postgres": (2, 2, 5000)},
                 long={"sqlite": 20000, "postgres": 20000}, long_peer=2000, long_limit_s=30, large_file=3000000, bucket_file=20000000, collected=1000, small_files=60, listed=300, rest=(1, 40), rest_peer=(1, 40), rest_kinds={"sqlite": ("mixed", "constant"), "postgres": ("mixed",)}, abuse_batches=1, delete=20000, fresh=3,
                 starts=1, client_s=0.2),
}
RATE = (("rate", "/s", "more"), ("p50_ms", " ms", "less"), ("p99_ms", " ms p99", "less"), ("cpu", " us CPU", "less"),
        ("load_cores", " cores load", "less"))
POINTS = (("points_per_s", " points/s", "more"), ("cpu_us_point", " us CPU a point", "less"), ("p99_ms", " ms p99", "less"),
          ("load_cores", " cores load", "less"))
ASK = (("p50_ms", " ms", "less"), ("p99_ms", " ms p99", "less"), ("cpu", " us CPU", "less"))


def plural(n, word):
    return f"{n:,} {word}{'s' if n > 1 else ''}"


def best_mlflow(bench, engine):
    """An MLflow with the number of workers that logs metrics fastest here."""
    tried, best = {}, None
    for workers in bench.sizes["workers"]:
        server = bench.launch(servers.Mlflow, engine, workers=workers)
        if not server:
            continue
        server.idle = wide.footprint(server) if machine.wait_quiet(server.pid) >= 0 else None
        if len(bench.sizes["workers"]) == 1:
            return server
        try:
            tried[workers] = (writes.series(server, bench.sizes, "metric", 16)["rate"],
                              writes.series(server, bench.sizes, "batch", 1)["points_per_s"])
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
        bench.remark(f"mlflow on {engine}: {plural(best[1].workers, 'worker')} taken; log-metric with 16 clients and points a second in "
                     "batches of 1000 were " + ", ".join(f"{r:.0f}/s and {p:.0f}/s with {w}" for w, (r, p) in tried.items()) + ".")
        best[1].settings["tried"] = tried
    return best[1] if best else None


def beside_floor(bench, row, floor, everybody, least, work, sizes, *args):
    """Rounds of everybody and of the minimal server under the same load (least). What its best round misses, the machine forbids."""
    for _ in range(sizes["rounds"]):
        bench.rounds(row, everybody, work, sizes, *args, rounds=1)
        found = bench.attempt(row, floor, least, sizes) if floor else None
        row.least += [dict(found, cpu=found["cpu_us"])] if found else []
    if not row.least or "cairn" not in row.rounds:
        return
    row.probe = {k: report.median(row.least, k) for k in ("p50_ms", "rate", "cpu", "system_us")} | {"rounds": row.least}
    parts = [f"a minimal server on this machine: {row.least_text()}"]
    ours, theirs = row.value("cairn", "cpu"), row.probe["cpu"]
    if ours and theirs:
        parts.append(f"cairn: {report.number(ours)} us CPU ({report.number(row.value('cairn', 'system_us'))} in the kernel), "
                     f"{report.number(ours / theirs)} times as much")
    for key, sense, limit in row.limits:
        what, figure = {"p50_ms": "p50", "cpu": "CPU", "rate": "rate"}[key], row.value("cairn", key)
        if figure and report.misses(figure, (key, sense, limit)):
            times = max(figure, row.probe[key]) / min(figure, row.probe[key])
            worse = (figure < row.probe[key]) == (sense == ">=")
            parts.append(f"{what}: cairn is {report.number(times)} times {'worse' if worse else 'better'}, and the minimal "
                         "server's best round " + ("misses the target itself: the machine forbids it" if row.forbids((key, sense, limit))
                                                   else "meets the target"))
    row.note("cairn", "; ".join(parts))


def record_writes(bench, engine, everybody):
    sizes = bench.sizes
    floor = bench.launch(servers.Floor, "sqlite") if bench.wants("W1") or bench.wants("W2") else None
    if bench.wants("W1"):
        row = bench.row("W1", "create runs, 16 clients", engine, RATE, ">= 12,000/s", limits=(("rate", ">=", 12000),))
        beside_floor(bench, row, floor, everybody, lambda f, s: writes.floor(f, s, "create", 16), writes.create, sizes)
    if bench.wants("W2"):
        wanted = {1: (("p50_ms", "<=", 0.5),), 16: (("p50_ms", "<=", 0.5), ("rate", ">=", 30000), ("cpu", "<=", 15)),
                  128: (("p50_ms", "<=", 3), ("cpu", "<=", 15))}
        names = {"p50_ms": "p50 {} {} ms", "rate": "{} {:,}/s", "cpu": "{} {} us CPU"}
        for clients in sizes["clients"]:
            limits = wanted[clients]
            row = bench.row("W2", f"log-metric, {plural(clients, 'client')}", engine, RATE,
                            ", ".join(names[key].format(sense, limit) for key, sense, limit in limits), limits=limits)
            beside_floor(bench, row, floor, everybody, lambda f, s, n=clients: writes.floor(f, s, "metric", n), writes.series, sizes,
                         "metric", clients)
        for clients in (1, 16):
            row = bench.row("W2", f"log-metric, {plural(clients, 'client')}, no TCP_QUICKACK", engine, RATE)
            bench.rounds(row, everybody, writes.series, sizes, "metric", clients, quickack=False, rounds=1)
    if floor:
        bench.close(floor)
    if bench.wants("W3"):
        for clients in (1, 16):
            row = bench.row("W3", f"log-batch of 1000, {plural(clients, 'client')}", engine, POINTS,
                            ">= 1,000,000/s, <= 0.6 us CPU a point",
                            lambda r: r.value("cairn") >= 1e6 and r.value("cairn", "cpu_us_point") <= 0.6)
            bench.rounds(row, everybody, writes.series, sizes, "batch", clients)
    if bench.wants("W2"):
        row = bench.row("W2", "flushes for each acknowledged log-metric, 1 client", engine, (("per_write", "", "less"),))
        bench.rounds(row, everybody, writes.flushes, sizes, rounds=1)


def record_files(bench, engine, everybody):
    """W8."""
    sizes = bench.sizes
    peers = [s for s in everybody if s.name != "fasttrackml"]  # it has no artifact proxy
    if engine == "sqlite" and bench.wants("W8", "S3"):
        bucket.record(bench, next((s.workers for s in peers if s.name == "mlflow"), 0))
    if not bench.wants("W8"):
        return
    figures = (("mb_s", " MB/s", "more"), ("cpu_s_gb", " s CPU a GB", "less"), ("grown_mb", " MB more memory", "less"))
    size = sizes["large_file"]
    probe = bench.launch(servers.Receive, "sqlite")
    rows = [bench.row("W8", f"a file of {size / 1e6:,.0f} MB up", engine, figures,
                      "<= 1.6 s CPU a GB, >= 85 % of a probe, <= 30 MB",
                      lambda r: r.value("cairn", "cpu_s_gb") <= 1.6 and r.value("cairn", "grown_mb") <= 30
                      and r.value("cairn") >= 0.85 * r.probe["mb_s"]),
            bench.row("W8", f"a file of {size / 1e6:,.0f} MB down", engine, figures)]
    allowed = []
    for i in range(sizes["rounds"]):
        if probe:
            allowed.append(bench.attempt(rows[0], probe, files.up, size, f"p{i}", i))
        for server in peers:
            n = size if server.name == "cairn" else min(size, sizes["large_file_peer"])
            if bench.measure(rows[0], server, files.up, n, f"large-{engine}-{i}", i) and n != size:
                rows[0].note(server.name, f"a file of {n / 1e6:,.0f} MB")
            bench.measure(rows[1], server, files.down, n, f"large-{engine}-{i}", i)
    if probe:
        bench.close(probe)
    found = [r for r in allowed if r]
    if found:
        rows[0].probe = {k: report.median(found, k) for k in ("mb_s", "cpu_s_gb")}
        rows[0].note("cairn", f"a program that receives, hashes, writes and syncs the same bytes: {report.number(rows[0].probe['mb_s'])} "
                     f"MB/s, {report.number(rows[0].probe['cpu_s_gb'])} s CPU a GB")
    for row in rows:
        bench.tell(row, peers)
    if engine == "sqlite":  # what packs hold does not depend on the database
        row = bench.row("W8", f"another copy of {size / 1e6:,.0f} MB, and one with 1 % edited, in packs", engine,
                        (("same_mb", " MB for the same", "less"), ("edited", " % for the edited", "less"),
                         ("pack_mb_s", " MB/s packed", "more"), ("cpu_s_gb", " s CPU a GB", "less")), "<= 5 MB, <= 2 %",
                        lambda r: r.value("cairn", "same_mb") <= 5 and r.value("cairn", "edited") <= 2)
        for server in (s for s in peers if s.name == "cairn"):
            bench.measure(row, server, files.again, size, 7)
        bench.tell(row, [s for s in peers if s.name == "cairn"])
        row = bench.row("W8", f"{sizes['collected']:,} objects that nothing needs are collected", engine,
                        (("peak_mb", " MB RSS", "less"), ("objects_s", " objects/s", "more")), "<= 64 MB",
                        lambda r: r.value("cairn") <= 64)
        own = bench.launch(servers.Cairn, engine)
        if own:
            bench.measure(row, own, files.collected, sizes["collected"])
            bench.close(own)
            bench.tell(row, [own])
    limit = files.sync_limit(bench.folder)["per_s"]
    row = bench.row("W8", f"{sizes['small_files']:,} files of 4 KB, 16 clients", engine, RATE,
                    f">= 5,000/s or >= 70 % of {limit:,.0f} syncs/s", lambda r: r.value("cairn") >= min(5000, 0.7 * limit))
    for _ in range(sizes["rounds"]):
        for server in peers:
            bench.measure(row, server, files.small, sizes,
                          sizes["small_files"] if server.name == "cairn" else min(sizes["small_files"], sizes["small_files_peer"]))
    bench.tell(row, peers)
    pages = bench.row("W8", f"a page of the list of {sizes['listed']:,} files", engine,
                      (("page_ms", " ms", "less"), ("max_ms", " ms at most", "less")), "<= 50 ms",
                      lambda r: r.value("cairn", "max_ms") <= 50)
    whole = bench.row("W8", f"the proxy's whole list of {sizes['listed']:,} files", engine,
                      (("list_ms", " ms", "less"), ("grown_mb", " MB more memory", "less")))
    made = {}

    def make(server):
        made[server.name] = files.Many(server, sizes["listed"] if server.name == "cairn" else min(sizes["listed"], sizes["listed_peer"]))

    for server in peers:
        bench.attempt(pages, server, make)
        if server.name in made and made[server.name].n != sizes["listed"]:
            for row in (pages, whole):
                row.note(server.name, f"{made[server.name].n:,} files")
    ready = [s for s in peers if s.name in made]
    bench.rounds(pages, ready, lambda s: made[s.name].pages())
    bench.rounds(whole, ready, lambda s: made[s.name].whole())


def record_search(bench, engine, everybody):
    """W5: one store that grows; the rivals take part at its first size."""
    sizes = bench.sizes
    stores = {}
    limits = {10000: 3, 100000: 5, 1000000: 10}
    fill_row = None
    for n in sizes["store"][engine]:
        first = n == sizes["store"][engine][0]
        for server in everybody if first else everybody[:1]:
            size = n if server.name == "cairn" else min(n, sizes["store_peer"])
            fill_row = bench.row("W5", f"fill the store to {plural(size, 'run')}: create, log-batch, 16 clients", engine, RATE) \
                if server.name == "cairn" else fill_row

            def fill(s, size=size):
                stores.setdefault(s.name, reads.Store(s))
                return stores[s.name].fill(size, sizes["fill_limit_s"]) or {}
            if bench.measure(fill_row, server, fill) is None:
                stores.pop(server.name, None)
            elif server.name != "cairn":
                fill_row.note(server.name, f"{plural(size, 'run')} written into its tables: its API needs too long")
        bench.tell(fill_row, everybody[:1])
        if "cairn" not in stores:
            return
        for question in ("common", "rare", "page"):
            limit = 15 if question == "page" else next((ms for size, ms in limits.items() if n <= size), 10)
            title = {"common": "search, 1 % match", "rare": "search, rare match", "page": "a page of 1000 runs x 103 values"}[question]
            row = bench.row("W5", f"{title}, {plural(n, 'run')}", engine, ASK, f"p50 <= {limit} ms",
                            lambda r, l=limit: r.value("cairn") <= l)
            asked = [s for s in everybody if s.name in stores and (first or s.name == "cairn")]
            bench.rounds(row, asked, lambda s, q=question: stores[s.name].ask(q, sizes))
            for server in asked[1:]:
                if stores[server.name].n < n:
                    row.note(server.name, f"its store has {plural(stores[server.name].n, 'run')} only")


def record_registry(bench, engine, everybody):
    """W9."""
    sizes, stores = bench.sizes, {}
    if not bench.wants("W9"):
        return
    row = bench.row("W9", f"make {plural(sizes['models'], 'registered model')}", engine, RATE)
    for server in everybody:
        n = sizes["models"] if server.name == "cairn" else min(sizes["models"], sizes["models_peer"])

        def fill(s, n=n):
            stores[s.name] = registry.Registry(s)
            return stores[s.name].fill(n, sizes["models_limit_s"])
        if bench.measure(row, server, fill) is None:
            stores.pop(server.name, None)
        elif n < sizes["models"]:
            row.note(server.name, f"{plural(n, 'model')} only: its API needs too long")
    bench.tell(row, everybody)
    asked = [s for s in everybody if s.name in stores]
    for title, pattern, wanted in (("one prefix", "model-0042%", lambda i: 4200 <= i < 4300),
                                   ("anywhere in the name", "%7%", lambda i: "7" in registry.name(i))):
        row = bench.row("W9", f"100 models by LIKE, {title}, {plural(sizes['models'], 'model')}", engine, ASK, "p50 <= 1.6 ms",
                        lambda r: r.value("cairn") <= 1.6)
        bench.rounds(row, asked, lambda s, p=pattern, w=wanted: stores[s.name].search(p, w, sizes))
    row = bench.row("W9", f"get one of {plural(sizes['models'], 'model')}", engine, ASK, "p50 <= 0.2 ms",
                    lambda r: r.value("cairn") <= 0.2)
    bench.rounds(row, asked, lambda s: stores[s.name].get(sizes))
    row = bench.row("W9", "register versions, 64 clients", engine, RATE, ">= 5,000/s on SQLite",
                    lambda r: r.value("cairn") >= 5000 or engine != "sqlite")
    bench.rounds(row, asked, lambda s: stores[s.name].register(sizes, 64))
    if engine == "sqlite":  # no store takes part
        row = bench.row("W9", f"inspect a safetensors file of {sizes['large_model'] / 1e9:g} GB", engine,
                        (("inspect_ms", " ms", "less"), ("grown_mb", " MB more than a command that does nothing", "less"),
                         ("rss_mb", " MB in all", "less")), "<= 20 ms, <= 5 MB more",
                        lambda r: r.value("cairn") <= 20 and r.value("cairn", "grown_mb") <= 5)
        bench.rounds(row, everybody[:1], registry.inspect, sizes)


def record_lineage(bench, engine, everybody):
    """W10, on SQLite: on PostgreSQL the walk is the same memory."""
    sizes = bench.sizes
    if not bench.wants("W10") or engine != "sqlite":
        return

    def row(title, key, target, met, *more):
        return bench.row("W10", title, engine, ((f"{key}_ms", " ms", "less"), (f"{key}_cpu_ms", " ms CPU", "less"), *more), target,
                         met)

    of = f"{plural(sizes['links'], 'link')}"
    rows = [row(f"node set and totals, {of}", "set", "<= 15 ms, >= 60x the recursive query",
                lambda r: r.value("cairn", "set_ms") <= 15 and r.value("cairn", "ratio") >= 60,
                ("ratio", "x the recursive query of SQLite (CPU)", "more"), ("set_walk_cpu_ms", " ms CPU without HTTP", "less")),
            row(f"with the 1,000 nearest described, {of}", "described", "<= 30 ms", lambda r: r.value("cairn", "described_ms") <= 30),
            row(f"first answer after a start, {of}", "first", "<= 100 ms", lambda r: r.value("cairn", "first_ms") <= 100)]
    for _ in range(sizes["rounds"]):
        result = bench.measure(rows[0], everybody[0], graph.ask, sizes, sizes["links"], False)
        for other in rows[1:]:
            if result:
                other.add(everybody[0].name, result)
    for each in rows:
        bench.tell(each, everybody[:1])
    if sizes["links_more"]:
        more = row(f"node set and totals, {plural(sizes['links_more'], 'link')}", "set", "<= 200 ms, <= 1,000 MB",
                   lambda r: r.value("cairn", "set_ms") <= 200 and max(r.value("cairn", "rss_mb"), r.value("cairn", "server_mb")) <= 1000,
                   ("first_ms", " ms first after a start", "less"), ("server_mb", " MB the server", "less"),
                   ("rss_mb", " MB where the logs were read", "less"))
        bench.rounds(more, everybody[:1], graph.ask, sizes, sizes["links_more"], True, rounds=1)


def record_grpc(bench, engine, everybody):
    """On SQLite: no store takes part."""
    if not bench.wants("gRPC") or engine != "sqlite":
        return
    if grpc.missing():
        bench.remark(f"gRPC was left out: {grpc.missing()} is not installed")
        return
    row = bench.row("gRPC", "a unary call, 4 connections of 16 streams", engine,
                    (("ratio", "x the CPU of nghttpd", "less"), ("call_us", " us CPU", "less"), ("rate", "/s", "more")), "<= 2x nghttpd",
                    lambda r: r.value("cairn") <= 2)
    bench.rounds(row, everybody[:1], grpc.calls, *bench.sizes["calls"], rounds=1)


def record_mlmd(bench, engine, everybody):
    """Calls of ML Metadata, each row with its share of transport and how often the library of pip would have to be faster."""
    if not bench.wants("mlmd"):
        return
    python, missing = mlmd.environment()
    if not python:
        bench.remark(f"mlmd was left out: {missing} is not installed")
        return
    artifacts, n, rounds = bench.sizes["mlmd"]
    met = {"<= 200 us": lambda r: r.value("cairn") <= 200, "<= 15 us": lambda r: r.value("cairn") <= 15,
           ">= 50x": lambda r: r.value("cairn", "ratio") >= 50}
    rows = {key: bench.row("mlmd", title.format(artifacts=plural(artifacts, "artifact")), engine,
                           (("us", " us CPU", "less"), ("transport_us", " us of it an empty call", "less"),
                            ("ratio", "x the library in process", "more"), ("front_ratio", "x the library behind grpcio", "more")),
                           target or "", met.get(target)) for key, title, target in mlmd.ROWS}
    first = rows["put 1"]
    result = bench.attempt(first, everybody[0], mlmd.calls, python, artifacts, n, rounds)
    for key, row in rows.items():
        if result:
            row.add(everybody[0].name, result[key])
        bench.tell(row, everybody[:1])


def record_events(bench, engine, everybody):
    if not bench.wants("OpenLineage"):
        return
    row = bench.row("OpenLineage", "events of 2 KB in batches of 100, 4 clients", engine,
                    (("rate", "/s", "more"), ("cpu_us_event", " us CPU an event", "less"), ("one_ms", " ms one alone (p50)", "less"),
                     ("event_bytes", " B on disk", "less")), ">= 20,000/s and <= 1 ms on SQLite",
                    lambda r: engine != "sqlite" or (r.value("cairn") >= 20000 and r.value("cairn", "one_ms") <= 1))
    bench.rounds(row, everybody[:1], openlineage.events, bench.sizes)


def record_history(bench, engine, everybody):
    """W6."""
    sizes, runs, points = bench.sizes, {}, bench.sizes["history"]
    if not bench.wants("W6"):
        return
    rows = [bench.row("W6", f"history of {plural(points, 'point')}, {how}", engine,
                      (("read_s", " s", "less"), ("cpu_s_all", " s CPU", "less")), "<= 0.25 s", lambda r: r.value("cairn") <= 0.25)
            for how in ("one answer", f"pages of {sizes['history_page']:,}")]

    def make(server):
        runs[server.name] = reads.history_store(server, sizes, points)
        server.compact()
        return None

    for server in everybody:
        bench.attempt(rows[0], server, make)
    ready = [s for s in everybody if s.name in runs]
    ours, theirs = [s for s in ready if s.name == "cairn"], [s for s in ready if s.name != "cairn"]
    bench.rounds(rows[0], ours, lambda s: reads.history(s, runs[s.name], points))
    fast = [s for s in theirs if s.name == "fasttrackml"]
    bench.rounds(rows[0], fast, lambda s: reads.history(s, runs[s.name], points), rounds=1)
    bench.rounds(rows[1], ours, lambda s: reads.history(s, runs[s.name], points, sizes["history_page"]))
    bench.rounds(rows[1], [s for s in theirs if s.name == "mlflow"],
                 lambda s: reads.history(s, runs[s.name], points, sizes["history_page"], sizes["history_pages_peer"]), rounds=1)
    for server in theirs:
        rows[0].note(server.name, "its series was written into its tables")
        rows[server.name == "mlflow"].note(server.name, "it ignores pages" if server.name == "fasttrackml" else
                                           "not asked for all in one answer, which takes minutes")


def record_charts(bench, engine, everybody):
    """W7."""
    sizes = bench.sizes
    if not bench.wants("W7"):
        return
    figures = (("set_s", " s", "less"), ("cpu_s_all", " s CPU", "less"))
    for name in ("charts", "charts_long"):
        size = sizes[name] if name == "charts" else sizes[name][engine]
        runs, keys, steps = size
        title = f"{keys} metrics of {runs} runs x {plural(steps, 'step')}, 320 buckets"
        made = {}
        rows = [bench.row("W7", f"{title}, {how}", engine, figures, "<= 0.1 s", lambda r: r.value("cairn") <= 0.1)
                for how in ("chart call", "MLflow's call for each metric")]

        def make(server, size=size, made=made):
            made[server.name] = reads.Charts(server, *size, sizes["fill_limit_s"])
            server.compact()

        for server in everybody if name == "charts" else everybody[:1]:
            if server.name != "fasttrackml":
                bench.attempt(rows[1], server, make)
        ours = [s for s in everybody[:1] if s.name in made]
        if ours and ours[0].has("POST", "/api/cairn/v1/charts"):
            bench.rounds(rows[0], ours, lambda s: made[s.name].native())
        else:
            bench.rows.remove(rows[0])
        bench.rounds(rows[1], ours, lambda s: made[s.name].interval(keys))
        for server in everybody[1:]:
            if server.name in made:
                few = min(keys, sizes["charts_peer_metrics"])
                bench.rounds(rows[1], [server], lambda s, few=few: made[s.name].interval(few), rounds=1)
                rows[1].note(server.name, f"{few} of {keys} metrics asked for, {keys} computed; written into its tables")
                if rows[0] in bench.rows and server.name in rows[1].rounds:
                    rows[0].add(server.name, rows[1].rounds[server.name][0])
            elif name == "charts" and server.name == "fasttrackml":
                rows[1].note(server.name, "has no such call")


def record_long(bench, engine, everybody):
    """W4, on a server of its own, so that memory and bytes are those of the long run."""
    sizes = bench.sizes
    if not bench.wants("W4"):
        return
    full = sizes["long"][engine]
    row = bench.row("W4", f"one run of {plural(full, 'point')}, 50 metrics, all kinds", engine,
                    (("total_s", " s", "less"), ("cpu_us_point", " us CPU a point", "less"), ("peak_mb", " MB peak", "less")),
                    "50 M points <= 60 s, flat memory", lambda r: r.value("cairn") <= 60 * full / 50e6)
    rest = bench.row("W4", "bytes a point of that run at rest, database in all", engine,
                     (("bytes_point", " B", "less"), ("log_mb", " MB log beside it", "less")), "<= 5 B",
                     lambda r: r.value("cairn") <= 5)
    for server in everybody[1:]:
        result = bench.measure(row, server, wide.long_run, min(full, sizes["long_peer"]), full, sizes["long_limit_s"])
        if result:
            row.note(server.name, f"computed from {plural(min(full, sizes['long_peer']), 'point')}")
            rest.add(server.name, result)
    own = bench.launch(servers.Cairn, engine)
    if own:
        result = bench.measure(row, own, wide.long_run, full, full, sizes["long_limit_s"])
        if result:
            rest.add("cairn", result)
            row.note("cairn", f"memory {result['early_mb']:.0f} MB in the first quarter, {result['peak_mb']:.0f} MB at most"
                     + (f"; compacted in {result['compact_s']:.1f} s after it" if result["compacted"] else ""))
        bench.close(own)
    bench.tell(row, everybody)
    bench.tell(rest, everybody)


def record_rest(bench, engine, everybody):
    """W12. Each kind in a store of its own, so that nothing else is counted."""
    if not bench.wants("W12"):
        return
    for kind in bench.sizes["rest_kinds"][engine]:
        row = bench.row("W12", f"bytes a point at rest, {kind}", engine, (("bytes_point", " B", "less"),),
                        "<= 5 B" if kind == "mixed" else "", (lambda r: r.value("cairn") <= 5) if kind == "mixed" else None)
        own = bench.launch(servers.Cairn, engine)
        who = ([own] if own else []) + (everybody[1:] if kind == "mixed" else [])
        bench.rounds(row, who, wide.at_rest, bench.sizes, kind, rounds=1)
        if own:
            bench.close(own)


def record_abuse(bench, engine, everybody):
    """W13."""
    sizes = bench.sizes
    if not bench.wants("W13"):
        return
    row = bench.row("W13", "64 clients log to one run, then the same again", engine, POINTS, "no error, exact counts",
                    lambda r: r.value("cairn") > 0)
    bench.rounds(row, everybody, wide.writers, sizes, rounds=1)
    if wide.can_delete(everybody[0]):
        row = bench.row("W13", f"hard delete of a run of {plural(sizes['delete'], 'point')}", engine,
                        (("delete_s", " s", "less"), ("grown_mb", " MB more memory", "less")), "<= 0.2 s, flat memory",
                        lambda r: r.value("cairn") <= 0.2)
        bench.rounds(row, everybody[:1], wide.hard_delete, sizes, rounds=1)


def record_fresh(bench, engine, everybody):
    """W14."""
    sizes = bench.sizes
    if not bench.wants("W14"):
        return
    figures = (("p50_ms", " ms", "less"), ("max_ms", " ms at most", "less"))
    row = bench.row("W14", "a point is visible in search, history, chart: same server", engine, figures, "at once",
                    lambda r: r.value("cairn", "max_ms") == 0)
    bench.rounds(row, everybody[:1], wide.fresh, sizes, rounds=1)
    if engine == "postgres":
        for title, options in (("the same at another server of the same database", ()),
                               ("the same at one that does not look (--stale-ok)", ("--stale-ok",))):
            row = bench.row("W14", title, engine, figures, "<= 20 ms", lambda r: r.value("cairn") <= 20)
            other = bench.launch(servers.Cairn, engine, store=everybody[0].store, options=options)
            if not other:
                bench.rows.remove(row)  # the reason is among the remarks
                continue
            bench.rounds(row, everybody[:1], wide.fresh, sizes, other, rounds=1)
            bench.close(other)


def record_idle(bench, engine, everybody):
    """W11, before any load: starts, and memory."""
    if not bench.wants("W11"):
        return
    milliseconds = (("start_ms", " ms", "less"),)
    first = bench.row("W11", "first start, which makes the store", engine, milliseconds)
    idle = bench.row("W11", "idle memory", engine, (("rss_mb", " MB RSS", "less"), ("pss_mb", " MB PSS", "less")), "<= 10 MB RSS",
                     lambda r: r.value("cairn") <= 10)
    for server in everybody:
        first.add(server.name, {"start_ms": server.start_ms})
        idle.add(server.name, getattr(server, "idle", None) or wide.footprint(server))
    start = bench.row("W11", "start, empty store", engine, milliseconds, "<= 50 ms", lambda r: r.value("cairn") <= 50)
    bench.rounds(start, everybody[:1], wide.starts, bench.sizes, rounds=bench.sizes["starts"])
    if engine in bench.sizes["peers_restart"]:
        bench.rounds(start, everybody[1:], wide.starts, bench.sizes, rounds=1)
        for server in everybody[1:]:
            machine.wait_quiet(server.pid)
    bench.tell(idle, everybody)


def record_loaded(bench, engine, everybody):
    """W11, with everything that has been stored."""
    if not bench.wants("W11"):
        return
    sizes = bench.sizes
    stored = f"{plural(sizes['store'][engine][-1], 'run')} stored" if bench.wants("W5") else "all these workloads"
    row = bench.row("W11", f"memory, {stored}", engine,
                    (("rss_mb", " MB RSS", "less"), ("pss_mb", " MB PSS", "less"), ("index_mb", " MB index", "less")),
                    "<= 60 MB + index", lambda r: r.value("cairn", "rest_mb") <= 60)
    bench.rounds(row, everybody, wide.footprint, rounds=1)
    row = bench.row("W11", f"start, {stored}, clean stop before", engine, (("start_ms", " ms", "less"),), "<= 50 ms",
                    lambda r: r.value("cairn") <= 50)
    bench.rounds(row, everybody[:1], wide.starts, sizes, rounds=sizes["starts"])
    if engine in sizes["peers_restart"]:
        bench.rounds(row, everybody[1:], wide.starts, sizes, rounds=1)
    row = bench.row("W11", "start after kill -9 under load", engine,
                    (("rest_ms", " ms and the replay", "less"), ("replay_ms", " ms of replay", "less"), ("replay_mb", " MB replayed", "less"),
                     ("worst_mb", " MB at the worst moment", "less")),
                    "<= 50 ms and the replay of at most 32 MB",
                    lambda r: r.value("cairn") <= 50 and max(r.value("cairn", "replay_mb"), r.value("cairn", "worst_mb")) <= 32)
    bench.rounds(row, everybody[:1], wide.start_after_kill, sizes, rounds=1)


def record_client(bench, engine, everybody):
    """The unmodified client of pip. Without MLflow in this run there is none."""
    if not bench.wants("client") or not servers.Mlflow.python:
        return
    row = bench.row("client", "pip mlflow, one process: log_metric", engine, (("rate", "/s", "more"),))
    points = bench.row("client", "pip mlflow, one process: log_batch of 1000", engine, (("points_per_s", " points/s", "more"),))
    for server in everybody:
        result = bench.measure(row, server, wide.pip_client, bench.sizes, servers.Mlflow.python)
        if result:
            points.add(server.name, result)
    bench.tell(row, everybody)
    bench.tell(points, everybody)


def run(bench):
    """Everything, engine by engine."""
    sizes = bench.sizes
    bench.sync("before")
    for engine in bench.args.engine:
        if engine == "postgres" and not servers.Postgres.is_available():
            bench.remark("PostgreSQL 15 is not installed: left out")
            continue
        everybody = [bench.launch(servers.Cairn, engine)]
        if "mlflow" in bench.args.peers:
            everybody.append(best_mlflow(bench, engine))
        if "fasttrackml" in bench.args.peers:
            everybody.append(bench.launch(servers.FastTrackML, engine))
        if everybody[0]:
            everybody = [s for s in everybody if s]
            record_idle(bench, engine, everybody)
            record_writes(bench, engine, everybody)
            record_files(bench, engine, everybody)
            searching = everybody if engine in sizes["peers_search"] else everybody[:1]
            for server in everybody[1:] if searching is not everybody else ():
                bench.close(server)
            reading = searching if engine in sizes["peers_read"] else everybody[:1]
            record_client(bench, engine, reading)
            record_abuse(bench, engine, reading)
            record_fresh(bench, engine, reading)
            record_registry(bench, engine, reading)
            record_lineage(bench, engine, reading)
            record_grpc(bench, engine, reading)
            record_events(bench, engine, reading)
            record_mlmd(bench, engine, reading)
            record_history(bench, engine, reading)
            record_charts(bench, engine, reading)
            if bench.wants("W5"):
                record_search(bench, engine, searching)
            record_loaded(bench, engine, searching)
            record_long(bench, engine, searching)
            record_rest(bench, engine, searching)
        bench.close_all()
        time.sleep(0.5)
    bench.sync("after")
