"""Rows written straight into the databases of the rivals, where their API would take hours.

One run with one metric, parameter and tag is recorded through the API; its rows are the pattern of all others, so every
column that is not named here has the value that the server itself would have written. What was filled is then read back
through the API and compared like everything else."""
import json
import os
import sqlite3
import subprocess
import uuid
from pathlib import Path

from . import loader
from .servers import Failed


def _dump(*args):
    """Lines that the generator prints."""
    process = subprocess.Popen([loader.PROGRAM, *map(str, args)], stdout=subprocess.PIPE, text=True)
    with process.stdout:
        yield from process.stdout
    if process.wait():
        raise Failed(f"the load generator failed: {args}")


def _copy_text(value):
    """A value as PostgreSQL's COPY reads it; the texts here have nothing to escape."""
    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return "t" if value else "f"
    return str(value)


class Filler:
    """Writes runs and points of one server."""

    def __init__(self, server, experiment):
        self.server, self.experiment = server, experiment
        run = server.post("/api/2.0/mlflow/runs/create", {
            "experiment_id": experiment, "start_time": 1, "run_name": "pattern", "tags": [{"key": "team", "value": "t"}]})
        self.run = run["run"]["info"]["run_id"]
        server.post("/api/2.0/mlflow/runs/log-batch", {
            "run_id": self.run, "metrics": [{"key": "pattern", "value": 0.5, "timestamp": 1, "step": 0}],
            "params": [{"key": "pattern", "value": "x"}]})
        self.pattern = {t: self._pattern(t) for t in ("runs", "metrics", "latest_metrics", "params", "tags")}

    def _pattern(self, table):
        if self.server.pg:
            text = self.server.pg.psql(f"SELECT row_to_json(t) FROM {table} t WHERE run_uuid = '{self.run}' LIMIT 1",
                                       self._database())
            return json.loads(text)
        with sqlite3.connect(self.server.sqlite_file()) as db:
            db.row_factory = sqlite3.Row
            row = dict(db.execute(f"SELECT * FROM {table} WHERE run_uuid = ? LIMIT 1", (self.run,)).fetchone())
        db.close()
        return row

    def _database(self):
        return self.server.store.rsplit("/", 1)[1]

    def _write(self, table, changed, rows):
        """Rows of a table: values of the columns in `changed`, the pattern's in the others."""
        pattern = self.pattern[table]
        changed = [c for c in changed if c in pattern]
        rest = [c for c in pattern if c not in changed]
        constant = tuple(pattern[c] for c in rest)
        columns = ",".join(f'"{c}"' for c in changed + rest)
        if self.server.pg:
            tail = "".join("\t" + _copy_text(v) for v in constant) + "\n"
            process = subprocess.Popen([self.server.pg.bin / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", self.server.store, "-c",
                                        f"COPY {table}({columns}) FROM STDIN"], stdin=subprocess.PIPE, text=True)
            with process.stdin:
                for row in rows:
                    process.stdin.write("\t".join(map(str, row)) + tail)
            if process.wait():
                raise Failed(f"{self.server.name}: filling {table} failed")
            return
        db = sqlite3.connect(self.server.sqlite_file(), timeout=60)
        db.execute("PRAGMA cache_size = -200000")
        with db:
            db.executemany(f"INSERT INTO {table}({columns}) VALUES({','.join('?' * (len(changed) + len(constant)))})",
                           (tuple(row) + constant for row in rows))
        db.close()

    def _settle(self):
        """What a database does by itself in the next minutes."""
        if self.server.pg:
            self.server.pg.psql("VACUUM ANALYZE", self._database())
            self.server.pg.psql("CHECKPOINT", self._database())
        os.sync()

    def runs(self, heads):
        """New runs of [(name, start_time)]; their ids."""
        ids = [uuid.uuid4().hex for _ in heads]
        first = (self.pattern["runs"].get("row_num") or 0) + 1
        uri = str(self.pattern["runs"].get("artifact_uri") or "")
        rows = [(i, n, s, uri.replace(self.run, i), first + k) for k, (i, (n, s)) in enumerate(zip(ids, heads))]
        columns = ["run_uuid", "name", "start_time", "artifact_uri", "row_num"]
        have = [k for k, c in enumerate(columns) if c in self.pattern["runs"]]
        self._write("runs", columns, [[row[k] for k in have] for row in rows])
        if "row_num" in self.pattern["runs"]:
            self.pattern["runs"]["row_num"] = first + len(ids)
        return ids

    def _metrics(self, rows, latest):
        """rows and latest: (key, value, timestamp, run, step)."""
        columns = ["key", "value", "timestamp", "run_uuid", "step"]
        if "iter" in self.pattern["metrics"]:  # FastTrackML numbers the points of a series
            self._write("metrics", columns + ["iter"], ((*r, int(r[4]) + 1) for r in rows))
            self._write("latest_metrics", columns + ["last_iter"], ((*r, int(r[4]) + 1) for r in latest))
        else:
            self._write("metrics", columns, rows)
            self._write("latest_metrics", columns, latest)

    def search_store(self, n):
        """The first n runs of the search store; the file with their ids."""
        creates, batches = [], []
        for line in _dump("dump-store", 0, n):
            create, batch = line.split("\t")
            creates.append(json.loads(create))
            batches.append(json.loads(batch))
        ids = self.runs([(c["run_name"], c["start_time"]) for c in creates])
        self._write("tags", ["key", "value", "run_uuid"],
                    ((t["key"], t["value"], i) for i, c in zip(ids, creates)
                     for t in c["tags"] + [{"key": "mlflow.runName", "value": c["run_name"]}]))
        value = "value" if "value" in self.pattern["params"] else "value_str"
        self._write("params", ["key", value, "run_uuid"],
                    ((p["key"], p["value"], i) for i, b in zip(ids, batches) for p in b["params"]))
        points = [(m["key"], m["value"], m["timestamp"], i, m["step"]) for i, b in zip(ids, batches) for m in b["metrics"]]
        self._metrics(points, points)
        self._settle()
        path = Path(self.server.folder) / "store-ids"
        path.write_text("\n".join(ids) + "\n")
        return path

    def series(self, kind, runs, keys, steps):
        """New runs with long series; their ids."""
        ids = self.runs([(f"series-{i}", i + 1) for i in range(runs)])
        latest = []

        def points():
            for line in _dump("dump-series", kind, runs, keys, steps):
                run, key, value, when, step = line.split("\t")
                row = (key, float(value), int(when), ids[int(run)], int(step))
                if row[4] == steps - 1:
                    latest.append(row)
                yield row

        self._metrics(points(), iter(latest) if self.server.pg else (row for row in latest))
        self._settle()
        return ids
