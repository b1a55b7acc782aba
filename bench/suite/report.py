"""Results as JSON and as Markdown tables with ratios."""
import json
import statistics

COLUMNS = ("cairn", "mlflow", "fasttrackml")


def median(rounds, key):
    values = [r[key] for r in rounds if r.get(key) is not None]
    return statistics.median(values) if values else None


def spread(rounds, key):
    """(smallest, largest) of the rounds."""
    values = [r[key] for r in rounds if r.get(key) is not None]
    return (min(values), max(values)) if values else None


def number(x):
    """A figure with three significant digits, and thousands apart."""
    if x is None:
        return "-"
    if abs(x) >= 100:
        return f"{x:,.0f}"
    return f"{x:.3g}"


def misses(figure, limit):
    _, sense, wanted = limit
    return figure < wanted if sense == ">=" else figure > wanted


class Row:
    """One line of the table: a workload on an engine, with the rounds of each server.

    figures: (key of a round, unit, "more" or "less" is better); the first is the one whose ratio is shown.
    met: whether the target is met, of the row; or limits: (key, ">=" or "<=", figure), all of which are to be met."""

    def __init__(self, work, title, engine, figures, target="", met=None, limits=()):
        self.work, self.title, self.engine = work, title, engine
        self.figures, self.target, self.met, self.limits = figures, target, met, limits
        self.rounds, self.notes = {}, {}
        self.probe = None  # what the machine allows, measured beside it
        self.least = []  # the rounds of the minimal server, between those of the others

    def add(self, server, result):
        self.rounds.setdefault(server, []).append(result)

    def note(self, server, text):
        if text not in self.notes.setdefault(server, []):
            self.notes[server].append(text)

    def value(self, server, key=None):
        return median(self.rounds.get(server, []), key or self.figures[0][0])

    def ratio(self, server, figure=0):
        key, _, better = self.figures[figure]
        ours, theirs = self.value("cairn", key), self.value(server, key)
        if not ours or not theirs:
            return None
        return ours / theirs if better == "more" else theirs / ours

    def verdict(self):
        """True, False, "machine" when the machine forbids all that is missed, or None without a target or a figure."""
        if "cairn" not in self.rounds:
            return None
        try:
            if self.limits:
                missed = [limit for limit in self.limits if misses(self.value("cairn", limit[0]), limit)]
                return not missed or ("machine" if all(self.forbids(limit) for limit in missed) else False)
            return bool(self.met(self)) if self.met else None
        except TypeError:  # a figure is missing
            return None

    def forbids(self, limit):
        """The best round of the minimal server misses it too."""
        figures = [r[limit[0]] for r in self.least if r.get(limit[0])]
        return bool(figures) and misses((max if limit[1] == ">=" else min)(figures), limit)

    def least_text(self):
        """What the minimal server did, and what the kernel used of it."""
        if not self.least:
            return "-"
        p50, rate, cpu, system = (number(median(self.least, k)) for k in ("p50_ms", "rate", "cpu_us", "system_us"))
        return f"{rate}/s, {p50} ms, {cpu} us CPU ({system} kernel)"

    def text(self, server):
        """Medians; of the first figure the smallest and largest as well."""
        parts = []
        for i, (key, unit, _) in enumerate(self.figures):
            value = self.value(server, key)
            if value is not None:
                low, high = spread(self.rounds[server], key)
                around = f" ({number(low)} ... {number(high)})" if i == 0 and number(low) != number(high) else ""
                parts.append(f"{number(value)}{unit}{around}")
        if parts:
            return ", ".join(parts)
        return "failed" if any(n.startswith("failed") for n in self.notes.get(server, [])) else "-"

    def ratios(self, server):
        parts = []
        for i, (_, unit, _) in enumerate(self.figures):
            r = self.ratio(server, i)
            if r is not None and (i == 0 or "CPU" in unit):
                parts.append(f"{number(r)}x{' CPU' if 'CPU' in unit else ''}")
        return ", ".join(parts) or "-"

    def as_json(self):
        out = {"work": self.work, "title": self.title, "engine": self.engine, "target": self.target,
               "target_met": self.verdict(), "probe": self.probe, "servers": {}}
        for server in COLUMNS:
            if server not in self.rounds and server not in self.notes:
                continue
            rounds = self.rounds.get(server, [])
            out["servers"][server] = {
                "median": {key: self.value(server, key) for key, _, _ in self.figures},
                "spread": {key: spread(rounds, key) for key, _, _ in self.figures},
                "rounds": rounds, "notes": self.notes.get(server, [])}
            if server != "cairn":
                out["servers"][server]["ratio"] = {k: self.ratio(server, i) for i, (k, _, _) in enumerate(self.figures)}
        return out


def machine_lines(info):
    m, sync = info["machine"], info.get("sync", [])
    yield (f"{info['started']}; {m['cpus']} x {m['cpu']}, {m['memory_gb']} GB, {m['system']}, kernel {m['kernel']}; load before "
           f"{m['load_before'][0]}.")
    if sync:
        yield "fdatasync of a preallocated 4 KiB block: " + "; ".join(
            f"{s['when']} {number(s['per_s'])}/s, p50 {number(s['p50_us'])} us, p99 {number(s['p99_us'])} us" for s in sync) + "."
    for who, settings in info["settings"].items():
        if settings:
            yield f"Settings of {who}: " + ", ".join(f"{k} {v}" for k, v in settings.items() if k != "tried") + "."
    yield "Versions: " + ", ".join(f"{k} {v}" for k, v in info["versions"].items()) + "."
    for text in info.get("remarks", []):
        yield text


def markdown(info, rows):
    """The report as Markdown."""
    out = ["# Measurements", ""] + [f"{line}  " for line in machine_lines(info)] + [""]
    for engine in dict.fromkeys(row.engine for row in rows):
        mine = [row for row in rows if row.engine == engine]
        peers = [s for s in COLUMNS[1:] if any(s in r.rounds or s in r.notes for r in mine)]
        least = any(row.least for row in mine)
        out += [f"## {engine}", "", "| | workload | cairn | target | " + "minimal server | " * least + "".join(f"{p} | ratio | " for p in peers),
                "|---|---|---|---|" + "---|" * least + "---|---|" * len(peers)]
        for row in mine:
            verdict = {True: " (met)", False: " (**missed**)", "machine": " (machine)", None: ""}[row.verdict()]
            cells = [row.work, row.title, row.text("cairn"), row.target + verdict] + [row.least_text()] * least
            for p in peers:
                cells += [row.text(p), row.ratios(p)]
            out.append("| " + " | ".join(cells) + " |")
        notes = [f"{r.work} {r.title}, {s}: {n}" for r in mine for s in COLUMNS for n in r.notes.get(s, [])]
        out += [""] + [f"- {n}" for n in notes] + ([""] if notes else [])
    return "\n".join(out)


# What the README shows: workload, a part of the title, the name it has there.
SUMMARY = [
    ("W1", "create runs", "create runs, 16 clients"),
    ("W2", "log-metric, 1 client", "log one metric, 1 client"),
    ("W2", "log-metric, 16 clients", "log one metric, 16 clients"),
    ("W2", "flushes", "flushes of the disk for each acknowledged metric"),
    ("W3", "log-batch of 1000, 16 clients", "log 1000 metrics at once, 16 clients"),
    ("W4", "bytes a point", "bytes a metric point on disk"),
    ("W5", "search, 1 % match", "search among runs, 100 results"),
    ("W5", "a page of 1000 runs", "a page of 1000 runs, all values"),
    ("W6", "pages of", "read a whole metric, in pages"),
    ("W7", "10 metrics of 100 runs", "charts of ten metrics of 100 runs"),
    ("W11", "first start", "first start"),
    ("W11", "idle memory", "memory, idle"),
]


def summary_line(row, name):
    unit = row.figures[0][1]
    cells = [f"{number(row.value('cairn'))}{unit}"]
    for peer in COLUMNS[1:]:
        value, ratio = row.value(peer), row.ratio(peer)
        smaller = " *" if any("computed" in n or "only" in n for n in row.notes.get(peer, [])) else ""
        cells += ["-" if value is None else f"{number(value)}{unit}{smaller}", "-" if ratio is None else f"{number(ratio)}x"]
    size = f", {row.title.rsplit(', ', 1)[1]}" if row.work == "W5" else ""
    return "| " + " | ".join([name + size] + cells) + " |"


def summary(info, rows, source):
    """A few lines for the README: SQLite, the first figure of a workload, ratios to both rivals."""
    m = info["machine"]
    out = [f"Measured {info['started'][:10]} on {m['cpus']} cores ({m['cpu']}, {m['memory_gb']} GB, {m['system']}), SQLite, the load "
           "generator on the same cores; " + ", ".join(f"{k} {v}" for k, v in info["versions"].items() if k in COLUMNS)
           + ("" if info["mode"] == "full" else f"; smaller sizes (`--{info['mode']}`)")
           + f". All figures, PostgreSQL and the rules: `{source}`, `docs/benchmarks.md`.", "",
           "| | cairn | MLflow | | FastTrackML | |", "|---|---|---|---|---|---|"]
    for work, part, name in SUMMARY:
        found = [r for r in rows if r.work == work and part in r.title and r.engine == "sqlite" and "cairn" in r.rounds]
        for row in found if work == "W5" else found[:1]:
            out.append(summary_line(row, name))
    return "\n".join(out + ["", "\\* computed from a smaller size, or at a smaller one; FastTrackML answers before the data is on disk."])


def put_into(path, text, mark="measured"):
    """Replace what stands between <!-- mark --> and <!-- /mark --> in a file."""
    old = path.read_text()
    begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    if begin not in old or end not in old:
        raise SystemExit(f"bench: {path} has no {begin.strip()}")
    head, rest = old.split(begin, 1)
    path.write_text(head + begin + text + "\n" + rest[rest.index(end):])


def write(info, rows, json_path=None, markdown_path=None):
    text = markdown(info, rows)
    if json_path:
        with open(json_path, "w") as f:
            json.dump(dict(info, rows=[r.as_json() for r in rows]), f, indent=1)
            f.write("\n")
    if markdown_path:
        with open(markdown_path, "w") as f:
            f.write(text + "\n")
    return text
