"""Metrics: histories, special values, the bulk routes of the user interface."""

import math

import pytest
from mlflow.entities import Metric


def test_history(client, run):
    points = [(0.5, 1000, 0), (0.25, 2000, 1), (0.125, 3000, 2), (7.0, 500, 9)]
    for value, timestamp, step in points:
        client.log_metric(run, "loss", value, timestamp=timestamp, step=step)
    got = [(m.value, m.timestamp, m.step) for m in client.get_metric_history(run, "loss")]
    assert sorted(got) == sorted(points)
    assert [m[1] for m in got] == sorted(m[1] for m in got)
    assert client.get_run(run).data.metrics["loss"] == 7.0
    assert client.get_metric_history(run, "nothing") == []


def test_long_history_pages(client, run):
    """More points than one page of the client: 26000, in order and without a gap."""
    n = 26000
    for start in range(0, n, 1000):
        client.log_batch(run, metrics=[Metric("m", i * 0.5, i, i) for i in range(start, min(n, start + 1000))])
    got = client.get_metric_history(run, "m")
    assert len(got) == n
    assert all(m.step == i and m.value == i * 0.5 for i, m in enumerate(got))


def test_special_values(client, run):
    for key, value in [("nan", math.nan), ("inf", math.inf), ("ninf", -math.inf), ("tiny", 5e-324), ("third", 1 / 3),
                       ("big", 1.7976931348623157e308), ("int", 2**53 + 2)]:
        client.log_metric(run, key, value)
    data = client.get_run(run).data.metrics
    assert math.isnan(data["nan"])
    assert data["inf"] == 1.7976931348623157e308 and data["ninf"] == -1.7976931348623157e308
    assert data["tiny"] == 5e-324 and data["third"] == 1 / 3 and data["big"] == 1.7976931348623157e308
    assert data["int"] == 2**53 + 2
    assert math.isnan(client.get_metric_history(run, "nan")[0].value)


def test_every_double_comes_back(client, run):
    import random
    import struct
    rnd = random.Random(7)
    values = []
    while len(values) < 500:
        value = struct.unpack("<d", struct.pack("<Q", rnd.getrandbits(64)))[0]
        if math.isfinite(value):
            values.append(value)
    client.log_batch(run, metrics=[Metric("d", v, i, i) for i, v in enumerate(values)])
    got = sorted(client.get_metric_history(run, "d"), key=lambda m: m.step)
    assert [m.value for m in got] == values


def test_repeated_points_are_kept_once(client, run):
    for _ in range(3):
        client.log_metric(run, "m", 1.0, timestamp=10, step=1)
    client.log_batch(run, metrics=[Metric("m", 1.0, 10, 1), Metric("m", 2.0, 10, 1)])
    assert sorted(m.value for m in client.get_metric_history(run, "m")) == [1.0, 2.0]


def test_latest_is_by_step(client, run):
    client.log_metric(run, "m", 1, timestamp=100, step=5)
    client.log_metric(run, "m", 2, timestamp=200, step=3)
    assert client.get_run(run).data.metrics["m"] == 1
    client.log_metric(run, "m", 3, timestamp=50, step=-7)
    assert client.get_run(run).data.metrics["m"] == 1


def test_history_bulk(client, exp, rest):
    runs = [client.create_run(exp).info.run_id for _ in range(3)]
    for n, one in enumerate(runs):
        client.log_batch(one, metrics=[Metric("m", n * 10 + i, 1000 - i, i) for i in range(5)])
    answer = rest.get("/ajax-api/2.0/mlflow/metrics/get-history-bulk", params={"run_id": runs, "metric_key": "m"}).json()
    got = [(m["run_id"], m["timestamp"], m["step"], m["value"]) for m in answer["metrics"]]
    assert got == sorted(got) and len(got) == 15
    assert {m[0] for m in got} == set(runs)
    answer = rest.get("/ajax-api/2.0/mlflow/metrics/get-history-bulk",
                      params={"run_id": runs[0], "metric_key": "m", "max_results": 2}).json()
    assert len(answer["metrics"]) == 2


@pytest.mark.parametrize("prefix", ["/api/2.0", "/ajax-api/2.0"])
def test_history_bulk_interval(client, exp, rest, prefix):
    runs = [client.create_run(exp).info.run_id for _ in range(2)]
    for one in runs:
        client.log_batch(one, metrics=[Metric("m", i * 2, i, i) for i in range(1000)])
    params = {"run_ids": runs, "metric_key": "m", "max_results": 100}
    answer = rest.get(prefix + "/mlflow/metrics/get-history-bulk-interval", params=params).json()["metrics"]
    for one in runs:
        steps = [m["step"] for m in answer if m["run_id"] == one]
        assert steps == sorted(steps) and steps[0] == 0 and steps[-1] == 999
        assert 20 <= len(steps) <= 110
    assert all(m["value"] == m["step"] * 2 and m["key"] == "m" for m in answer)
    params.update(start_step=10, end_step=20)
    answer = rest.get(prefix + "/mlflow/metrics/get-history-bulk-interval", params=params).json()["metrics"]
    assert {m["step"] for m in answer} == set(range(10, 21))


def test_spikes_stay_in_the_history(client, run):
    """A value that is far outside is not lost by any packing."""
    metrics = [Metric("m", 1.0 if i != 777 else 1e30, i, i) for i in range(1000)]
    client.log_batch(run, metrics=metrics)
    got = client.get_metric_history(run, "m")
    assert [m.step for m in got if m.value == 1e30] == [777] and len(got) == 1000
