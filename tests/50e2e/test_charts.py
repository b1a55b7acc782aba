"""Charts: points logged by the real client, read as JSON and as arrays; hostile questions."""

import json
import math
import struct

import pytest
from mlflow.entities import Metric

from command import Cli

pytestmark = pytest.mark.cairn_only

PATH = "/api/cairn/v1/charts"
BINARY = "application/vnd.cairn.chart"
DOUBLES = ["x0", "first", "x_low", "low", "x_high", "high", "x1", "last", "mean"]
COLUMNS = DOUBLES + ["n", "odd"]
AXES = {1: "step", 2: "time", 3: "relative", 4: "metric"}


def arrays(data):
    """The binary form, read as docs/api/charts.md describes it: every column lies where a typed array may begin."""
    magic, version, runs, metrics, mask, axis, zero = struct.unpack_from("<8sIIIIII", data)
    assert (magic, version, zero) == (b"cairncht", 1, 0)
    at, out = 32, []
    for _ in range(runs * metrics):
        run, metric, n, flags, points, unjoined, origin = struct.unpack_from("<IIIIddd", data, at)
        at += 40
        series = {"run": run, "metric": metric, "missing": bool(flags & 1), "snapped": bool(flags & 2),
                  "points": points, "unjoined": unjoined, "origin_ms": origin}
        for bit, name in enumerate(COLUMNS):
            if not mask >> bit & 1:
                continue
            size, code = (8, "d") if name in DOUBLES else (4, "i")
            assert at % size == 0
            series[name] = list(struct.unpack_from(f"<{n}{code}", data, at))
            at += (n * size + 7) // 8 * 8
        assert at % 8 == 0
        out.append(series)
    assert at == len(data)
    return AXES[axis], out


def number(v):
    return math.nan if v is None else float(v)


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


def ask(rest, body, **kwargs):
    answer = rest.post(PATH, json=body, **kwargs)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ask_both(rest, body):
    """JSON, after the arrays were found to say the same."""
    told = ask(rest, body)
    answer = rest.post(PATH, json=body, headers={"Accept": BINARY})
    assert answer.status_code == 200 and answer.headers["content-type"] == BINARY
    axis, series = arrays(answer.content)
    assert axis == ("metric" if "x_metric" in body else body.get("x", "step"))
    assert len(series) == len(told["series"]) == len(body["run_ids"]) * len(body["metrics"])
    for i, (a, b) in enumerate(zip(told["series"], series)):
        assert (b["run"], b["metric"]) == divmod(i, len(body["metrics"]))
        assert a["run_id"] == body["run_ids"][b["run"]] and a["metric"] == body["metrics"][b["metric"]]
        assert (a["points"], a["snapped"], a["run_id"] in told["missing_runs"]) == (b["points"], b["snapped"], b["missing"])
        for name in COLUMNS:
            assert (name in a) == (name in b), name
            if name in a:
                assert len(a[name]) == len(b[name])
                assert all(same(number(x), y) for x, y in zip(a[name], b[name])), name
    return told


def picks(series):
    """The points a curve is drawn through: first, low, high and last of each bucket, in order of x."""
    out = []
    for i in range(len(series["x0"])):
        four = {(series[x][i], series[y][i]) for x, y in
                [("x0", "first"), ("x_low", "low"), ("x_high", "high"), ("x1", "last")] if series[x][i] is not None}
        out += sorted(four, key=lambda p: p[0])
    return out


@pytest.fixture
def curve(client, run):
    """1000 points of two metrics with one spike, logged by the client."""
    for start in range(0, 1000, 500):
        client.log_batch(run, metrics=[m for i in range(start, start + 500) for m in
                                       (Metric("loss", 99.0 if i == 777 else 1 / (i + 1), 5000 + i * 10, i),
                                        Metric("epoch", i // 100, 5000 + i * 10, i))])
    return run


def test_buckets(rest, curve):
    answer = ask_both(rest, {"run_ids": [curve], "metrics": ["loss"], "buckets": 10})
    assert answer["missing_runs"] == []
    s = answer["series"][0]
    assert s["points"] == 1000 and s["n"] == [100] * 10 and s["odd"] == [0] * 10
    assert s["x0"] == [i * 100 for i in range(10)] and s["x1"] == [i * 100 + 99 for i in range(10)]
    assert s["first"] == [1 / (i * 100 + 1) for i in range(10)]
    assert s["high"][7] == 99.0 and s["x_high"][7] == 777
    assert s["low"][3] == 1 / 400 and s["x_low"][3] == 399
    assert s["mean"][0] == pytest.approx(sum(1 / (i + 1) for i in range(100)) / 100, rel=1e-12)
    drawn = picks(s)
    assert (777, 99.0) in drawn and drawn[0] == (0, 1.0) and drawn[-1] == (999, 1 / 1000)
    assert [p[0] for p in drawn] == sorted(p[0] for p in drawn)


def test_axes_and_ranges(rest, client, curve):
    start = client.get_run(curve).info.start_time
    base = {"run_ids": [curve], "metrics": ["loss", "epoch"], "buckets": 4}
    by_time = ask_both(rest, dict(base, x="time", **{"from": 5000, "to": 5399}))["series"][0]
    assert by_time["points"] == 40 and by_time["x0"] == [5000, 5100, 5200, 5300]
    relative = ask_both(rest, dict(base, x="relative"))["series"][1]
    assert relative["origin_ms"] == start and relative["x0"][0] == 5000 - start
    by_epoch = ask_both(rest, dict(base, x_metric="epoch", buckets=10))["series"][0]
    assert by_epoch["x0"] == list(range(10)) and by_epoch["n"] == [100] * 10 and by_epoch["unjoined"] == 0
    part = ask_both(rest, dict(base, x_metric="epoch", from_value=2, to_value=3.5))["series"][0]
    assert part["points"] == 200 and part["x0"] == [2, 3]
    narrow = ask_both(rest, dict(base, buckets=320, **{"from": 770, "to": 780}))["series"][0]
    assert narrow["x0"] == narrow["x1"] == list(range(770, 781)) and narrow["high"][7] == 99.0
    assert ask_both(rest, dict(base, **{"from": 5000}))["series"][0]["points"] == 0


def test_values_that_are_no_numbers(rest, client, run):
    values = [math.nan, 1.0, math.inf, -2.0, -math.inf, math.nan]
    for i, v in enumerate(values):
        client.log_metric(run, "m", v, timestamp=i, step=i)
    s = ask_both(rest, {"run_ids": [run], "metrics": ["m"], "buckets": 1})["series"][0]
    assert (s["n"], s["odd"], s["low"], s["high"], s["mean"]) == ([6], [4], [-2.0], [1.0], [-0.5])
    assert s["first"] == ["NaN"] and s["last"] == ["NaN"]
    s = ask_both(rest, {"run_ids": [run], "metrics": ["m"]})["series"][0]
    assert s["low"] == [None, 1.0, None, -2.0, None, None] and s["mean"] == s["low"]
    assert s["first"] == ["NaN", 1.0, "Infinity", -2.0, "-Infinity", "NaN"]


def test_steps_beyond_doubles(rest, client, run):
    """JSON has every integer; the arrays have the nearest double."""
    steps = [-(2**63), 0, 2**53 + 1, 2**63 - 1]
    client.log_batch(run, metrics=[Metric("m", 1.0, 0, s) for s in steps])
    s = ask(rest, {"run_ids": [run], "metrics": ["m"], "buckets": 8192})["series"][0]
    assert sum(s["n"]) == 4 and s["x0"][0] == -(2**63) and s["x1"][-1] == 2**63 - 1
    s = ask(rest, {"run_ids": [run], "metrics": ["m"], "from": 2**53 + 1, "to": str(2**53 + 1)})["series"][0]
    assert s["x0"] == [2**53 + 1]
    ask_both(rest, {"run_ids": [run], "metrics": ["m"]})


def test_many_runs_and_columns(rest, client, exp, curve):
    other = client.create_run(exp).info.run_id
    client.log_metric(other, "loss", 3.0, timestamp=7, step=5)
    body = {"run_ids": [curve, "nobody", other, curve], "metrics": ["none", "loss"], "columns": ["low", "x0", "odd"]}
    answer = ask_both(rest, body)
    assert answer["missing_runs"] == ["nobody"]
    assert [s["points"] for s in answer["series"]] == [0, 1000, 0, 0, 0, 1, 0, 1000]
    assert set(answer["series"][1]) == {"run_id", "metric", "points", "snapped", "x0", "low", "odd"}
    assert answer["series"][5]["x0"] == [5]


def test_long_answers_come_in_pieces(rest, client, exp):
    """More than the server keeps of an answer at once; without a length, complete all the same."""
    runs = [client.create_run(exp).info.run_id for _ in range(12)]
    for k, one in enumerate(runs):
        for start in range(0, 2000, 1000):
            client.log_batch(one, metrics=[Metric("m", i + k / 7, i, i) for i in range(start, start + 1000)])
    body = {"run_ids": runs, "metrics": ["m"] * 3, "buckets": 2000}
    answer = rest.post(PATH, json=body, headers={"Accept": BINARY})
    assert "content-length" not in answer.headers and len(answer.content) > 4 << 20
    told = ask_both(rest, body)
    for i, s in enumerate(told["series"]):
        assert s["points"] == 2000 and s["first"][1999] == 1999 + (i // 3) / 7


GOOD = {"run_ids": ["a"], "metrics": ["m"]}


@pytest.mark.parametrize("body, field", [
    ({}, "run_ids"),
    ({"run_ids": ["a"]}, "metrics"),
    ({"run_ids": [], "metrics": ["m"]}, "run_ids"),
    (dict(GOOD, metrics=[]), "metrics"),
    (dict(GOOD, run_ids="a"), "run_ids"),
    (dict(GOOD, run_ids=[1]), "run_ids[0]"),
    (dict(GOOD, metrics=["m" * 251]), "metrics[0]"),
    (dict(GOOD, run_ids=["a"] * 1001), "run_ids"),
    (dict(GOOD, metrics=["m"] * 201), "metrics"),
    (dict(GOOD, run_ids=["a"] * 200, metrics=["m"] * 51), "metrics"),
    (dict(GOOD, buckets=0), "buckets"),
    (dict(GOOD, buckets=8193), "buckets"),
    (dict(GOOD, buckets=1e99), "buckets"),
    (dict(GOOD, run_ids=["a"] * 1000, buckets=4001), "buckets"),
    (dict(GOOD, x="metric"), "x"),
    (dict(GOOD, x="step", x_metric="m"), "x_metric"),
    (dict(GOOD, x_metric=""), "x_metric"),
    (dict(GOOD, **{"from": 5, "to": 4}), "to"),
    (dict(GOOD, **{"from": 0.5}), "from"),
    (dict(GOOD, **{"to": 2**63}), "to"),
    (dict(GOOD, from_value=1), "from_value"),
    (dict(GOOD, x_metric="m", to=1), "to"),
    (dict(GOOD, x_metric="m", from_value=2, to_value=1), "to_value"),
    (dict(GOOD, columns=["median"]), "columns"),
    (dict(GOOD, columns=["n"] * 12), "columns"),
    (dict(GOOD, what=1), "what"),
])
def test_refused(rest, body, field):
    answer = rest.post(PATH, json=body)
    assert answer.status_code in (400, 413), answer.text
    assert answer.json()["error"]["field"] == field, answer.text


def test_not_json(rest):
    for data in [b"", b"{", b"[]", b"null", b'{"run_ids": ["a"], "run_ids": ["b"]}x', b"\xff\xfe"]:
        answer = rest.call("POST", PATH, data=data, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, (data, answer.text)
        json.loads(answer.text)
    assert rest.call("POST", PATH, data=b"{}", headers={"Content-Type": "text/plain"}).status_code == 400
    assert rest.get(PATH).status_code == 405


def test_a_long_history_in_one_answer(rest, client, run):
    """Made page by page while it leaves: nothing is lost between the pages, and the last row is followed by the end."""
    n, path = 130000, "/api/2.0/mlflow/metrics/get-history"
    for start in range(0, n, 1000):
        metrics = [{"key": "m \u00e9", "value": i / 8, "timestamp": i // 3, "step": i} for i in range(start, start + 1000)]
        assert rest.post("/api/2.0/mlflow/runs/log-batch", json={"run_id": run, "metrics": metrics}).status_code == 200
    answer = rest.get(path, params={"run_id": run, "metric_key": "m \u00e9"})
    assert "content-length" not in answer.headers
    rows = answer.json()["metrics"]
    assert set(answer.json()) == {"metrics"} and len(rows) == n
    assert all(row == {"key": "m \u00e9", "value": i / 8, "timestamp": i // 3, "step": i} for i, row in enumerate(rows))
    page = rest.get(path, params={"run_id": run, "metric_key": "m \u00e9", "max_results": 110000}).json()
    assert page["metrics"] == rows[:110000]
    params = {"run_id": run, "metric_key": "m \u00e9", "max_results": 110000, "page_token": page["next_page_token"]}
    assert rest.get(path, params=params).json() == {"metrics": rows[110000:]}


# ---- the command ----

CURVE = "\u2800", "\u28ff"


class TestCommand:
    @pytest.fixture
    def cli(self, server, tmp_path):
        return Cli(tmp_path, server.url)

    @pytest.fixture
    def two(self, client, exp, curve, uniq):
        """A second run with a gap of NaN, both with names."""
        client.update_run(curve, name=f"first-{uniq}")
        other = client.create_run(exp, run_name=f"second-{uniq}").info.run_id
        client.log_batch(other, metrics=[Metric("loss", math.nan if 400 <= i < 500 else i / 10, i, i) for i in range(0, 1000, 2)])
        return f"first-{uniq}", f"second-{uniq}"

    def test_a_picture(self, cli, two):
        out = cli.run("run", "chart", two[0], "loss")
        lines = out.splitlines()
        assert lines[0] == "loss by step" and max(map(len, lines)) <= 80
        assert len(lines) == 1 + 15 + 2 + 1
        assert any(CURVE[0] < c <= CURVE[1] for c in out) and "\x1b" not in out
        assert lines[-1].split(None, 1)[1] == f"{two[0]}  last 0.001 at step 999  min 0.001  max 99  1000 points"
        spike = [line for line in lines[1:16] if any(CURVE[0] < c <= CURVE[1] for c in line[40:65])]
        assert len(spike) >= 14, "the spike at 777 reaches from the bottom to the top"

    def test_several_runs(self, cli, two):
        out = cli.run("run", "chart", two[0], "loss", "none", "--with", two[1], "--x", "relative", "--width", 60)
        assert "  a " + two[0] in out and "  b " + two[1] in out and "no points" in out
        assert "50 NaN or infinite" in out and "\u00d7" in out
        assert max(map(len, out.split("  a ")[0].splitlines())) <= 60
        colors = cli.run("run", "chart", two[0], "loss", "--with", two[1], "--color", "always")
        assert "\x1b[36m" in colors and "\x1b[33m" in colors
        assert "\x1b[36m" in cli.on_terminal("run", "chart", two[0], "loss", "--with", two[1])

    def test_other_axes_and_characters(self, cli, two):
        assert "by epoch" in cli.run("run", "chart", two[0], "loss", "--x", "epoch", "--from", 2, "--to", "5.5")
        assert "(UTC)" in cli.run("run", "chart", two[0], "loss", "--x", "time", "--height", 5)
        out = cli.run("run", "chart", two[0], env={"LC_ALL": "C"})
        assert out.isascii() and "loss by step" in out and "epoch by step" in out

    def test_numbers(self, cli, two, rest):
        told = cli.json("run", "chart", two[0], "loss", "epoch", "--buckets", 7)
        assert [s["metric"] for s in told["series"]] == ["loss", "epoch"] and len(told["series"][0]["n"]) == 7
        lines = cli.run("run", "chart", two[0], "loss", "epoch", "--buckets", 7, "-o", "jsonl").splitlines()
        assert [json.loads(line) for line in lines] == told["series"]

    def test_errors(self, cli, two, client, exp):
        cli.run("run", "chart", two[0], "nothing", rc=3)
        assert "no points of nothing" in cli.err and "cairn run show" in cli.err
        cli.run("run", "chart", two[0], "loss", "--from", 5000, rc=3)
        assert "in that range" in cli.err
        cli.run("run", "chart", client.create_run(exp).info.run_id, rc=3)
        assert "has no metrics" in cli.err
        cli.run("run", "chart", "nobody-of-that-name", "loss", rc=3)
        cli.run("run", "chart", two[0], "loss", "--from", "0.5", rc=2)
        cli.run("run", "chart", two[0], "loss", "-o", "csv", rc=2)
        cli.run("run", "chart", rc=2)
