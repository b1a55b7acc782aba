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


class Row:
    """One line of the table: a workload on an engine, with the rounds of each server.

    figures: (key of a round, unit, "more" or "less" is better); the first is the one whose ratio is shown."""

    def __init__(self, work, title, engine, figures, target="", met=None):
        self.work, self.title, self.engine = work, title, engine
        self.figures, self.target, self.met = figures, target, met
        self.rounds, self.notes = {}, {}

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
        """True, False, or None without a target or a figure."""
        if not self.met or "cairn" not in self.rounds:
            return None
        try:
            return bool(self.met(self))
        except TypeError:  # a figure is missing
            return None

    def text(self, server):
        parts = []
        for key, unit, _ in self.figures:
            value = self.value(server, key)
            if value is not None:
                parts.append(f"{number(value)}{unit}")
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
               "target_met": self.verdict(), "servers": {}}
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
    yield "Versions: " + ", ".join(f"{k} {v}" for k, v in info["versions"].items()) + "."
    for text in info.get("remarks", []):
        yield text


def markdown(info, rows):
    """The report as Markdown."""
    out = ["# Measurements", ""] + [f"{line}  " for line in machine_lines(info)] + [""]
    for engine in dict.fromkeys(row.engine for row in rows):
        mine = [row for row in rows if row.engine == engine]
        peers = [s for s in COLUMNS[1:] if any(s in r.rounds or s in r.notes for r in mine)]
        out += [f"## {engine}", "", "| | workload | cairn | target | " + "".join(f"{p} | ratio | " for p in peers),
                "|---|---|---|---|" + "---|---|" * len(peers)]
        for row in mine:
            verdict = {True: " (met)", False: " (**missed**)", None: ""}[row.verdict()]
            cells = [row.work, row.title, row.text("cairn"), row.target + verdict]
            for p in peers:
                cells += [row.text(p), row.ratios(p)]
            out.append("| " + " | ".join(cells) + " |")
        notes = [f"{r.work} {r.title}, {s}: {n}" for r in mine for s in COLUMNS for n in r.notes.get(s, [])]
        out += [""] + [f"- {n}" for n in notes] + ([""] if notes else [])
    return "\n".join(out)


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
