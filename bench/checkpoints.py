#!/usr/bin/env python3
"""bench/checkpoints.py - new bytes of real consecutive checkpoints after they were moved into packs.

    CAIRN_BIN=build/release/cairn $(tools/pyenv mlflow-new)/bin/python bench/checkpoints.py

A net of scikit-learn learns the digits; a checkpoint is its weights and Adam's two moments as float32, one tensor after the other.
"fully trained": two consecutive epochs. "frozen base": the first layers stay, a head on their outputs goes on for an epoch. Printed is
what the second checkpoint adds."""
import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/lib"))
import cairn  # noqa: E402


def raw(arrays):
    return b"".join(np.ascontiguousarray(a, dtype="float32").tobytes() for a in arrays)


def state(model):
    adam = model._optimizer
    return raw(model.coefs_ + model.intercepts_ + adam.ms + adam.vs)


def figure(server, name):
    with urllib.request.urlopen(server.url + "/metrics") as answer:
        return int(float(re.search(rf"^{name} (\S+)", answer.read().decode(), re.M).group(1)))


def put(server, run, path, data):
    request = urllib.request.Request(f"{server.url}/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/{path}", data, method="PUT")
    with urllib.request.urlopen(request) as answer:
        answer.read()
    subprocess.run([server.binary, "server", "repack", "--wait", "--data", server.data], check=True, capture_output=True)


def measure(server, run, title, first, second, head):
    put(server, run, f"{title.replace(' ', '-')}/checkpoint-1/state.bin", first)
    before = figure(server, "cairn_repack_pack_bytes_total")
    put(server, run, f"{title.replace(' ', '-')}/checkpoint-2/state.bin", second)
    new = figure(server, "cairn_repack_pack_bytes_total") - before
    changed = float(np.mean(np.frombuffer(first, "u4") != np.frombuffer(second, "u4")))
    print(f"{title}: {len(second):,} bytes, head {head:,}, {changed:.2%} of the values changed: {new:,} new bytes ({new / len(second):.2%})"
          + (f", head + {(new - head) / len(second):.2%}" if head else ""))


def main():
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    with tempfile.TemporaryDirectory() as folder:
        server = cairn.CairnServer(Path(folder) / "data", args=["--no-repack"]).start()
        try:
            request = urllib.request.Request(server.url + "/api/2.0/mlflow/runs/create", b'{"experiment_id": "0"}',
                                             {"Content-Type": "application/json"})
            with urllib.request.urlopen(request) as answer:
                run = json.load(answer)["run"]["info"]["run_id"]
            model = MLPClassifier((2048, 2048), random_state=0)
            model.partial_fit(x, y, classes=range(10))
            first = state(model)
            model.partial_fit(x, y)
            measure(server, run, "fully trained", first, state(model), 0)
            base = raw(model.coefs_[:2] + model.intercepts_[:2])
            hidden = x
            for weights, bias in zip(model.coefs_[:2], model.intercepts_[:2]):
                hidden = np.maximum(0, hidden @ weights + bias)
            head = MLPClassifier((32,), random_state=1)
            head.partial_fit(hidden, y, classes=range(10))
            first = state(head)
            head.partial_fit(hidden, y)
            measure(server, run, "frozen base", base + first, base + state(head), len(first))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
