#!/usr/bin/env python3
"""bench/checkpoints.py - new bytes on disk of real consecutive checkpoints after they were moved into packs.

    CAIRN_BIN=build/release/cairn $(tools/pyenv mlflow-new)/bin/python bench/checkpoints.py

A net of scikit-learn learns the digits; a checkpoint is its weights and Adam's two moments, one tensor after the other, as float32 or
bfloat16. "fully trained": consecutive epochs, every weight moves. "frozen base": the first layers stay, a head on their outputs goes on for
an epoch. Printed is what the second checkpoint adds behind the first, what it takes in a store that has no other ("alone": compressed, equal
chunks once, as without differences), and what is saved. "series": checkpoints of consecutive epochs together."""
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

WIDTH = 1024
SERIES = 8


def raw(arrays, half=False):
    """float32, or the upper half of it, rounded."""
    bits = np.concatenate([np.ascontiguousarray(a, dtype="float32").ravel() for a in arrays]).view("u4")
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("u2").tobytes() if half else bits.tobytes()


def weights(model, half=False):
    return raw(model.coefs_ + model.intercepts_, half)


def state(model):
    adam = model._optimizer
    return raw(model.coefs_ + model.intercepts_ + adam.ms + adam.vs)


class Store:
    """A server with a run, and how much its packs grow."""

    def __init__(self, folder):
        self.server = cairn.CairnServer(Path(folder) / "data", args=["--no-repack"]).start()
        request = urllib.request.Request(self.server.url + "/api/2.0/mlflow/runs/create", b'{"experiment_id": "0"}', {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            self.run = json.load(answer)["run"]["info"]["run_id"]

    def figure(self):
        with urllib.request.urlopen(self.server.url + "/metrics") as answer:
            return int(float(re.search(r"^cairn_repack_pack_bytes_total (\S+)", answer.read().decode(), re.M).group(1)))

    def put(self, path, data):
        """Bytes of the packs that this file needs and that were not there."""
        before = self.figure()
        url = f"{self.server.url}/api/2.0/mlflow-artifacts/artifacts/0/{self.run}/artifacts/{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data, method="PUT")) as answer:
            answer.read()
        subprocess.run([self.server.binary, "server", "repack", "--wait", "--data", self.server.data], check=True, capture_output=True)
        with urllib.request.urlopen(url) as answer:
            assert answer.read() == data
        return self.figure() - before


def series(title, checkpoints, head=0):
    """Checkpoints one after the other in one store, and each in a store of its own."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        try:
            new = [store.put(f"checkpoint-{i}/state.bin", data) for i, data in enumerate(checkpoints)]
        finally:
            store.server.stop()
    alone = new[:1]
    for data in checkpoints[1:]:
        with tempfile.TemporaryDirectory() as folder:
            store = Store(folder)
            try:
                alone.append(store.put("state.bin", data))
            finally:
                store.server.stop()
    first, last = checkpoints[-2:]
    changed = float(np.mean(np.frombuffer(first, "u2") != np.frombuffer(last, "u2")))
    total = sum(map(len, checkpoints[1:]))
    print(f"{title}: {len(last):,} bytes, {changed:.1%} of the half words changed: {sum(new[1:]):,} new bytes ({sum(new[1:]) / total:.1%}), alone "
          f"{sum(alone[1:]):,} ({sum(alone[1:]) / total:.1%}): {1 - sum(new[1:]) / sum(alone[1:]):.1%} saved"
          + (f"; head {head:,}: head + {(new[1] - head) / len(last):.2%}" if head else ""), flush=True)


def main():
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    model = MLPClassifier((WIDTH, WIDTH), random_state=0)
    kept = {}
    for epoch in range(1, 6 + SERIES):
        model.partial_fit(x, y, classes=range(10))
        kept[epoch] = state(model), weights(model), weights(model, half=True)
        if epoch == 2:
            frozen = [a.copy() for a in model.coefs_[:2] + model.intercepts_[:2]]
    for epoch in (1, 6):
        for i, what in enumerate(("weights and Adam, float32", "weights, float32", "weights, bfloat16")):
            series(f"fully trained, {what}, epoch {epoch} to {epoch + 1}", [kept[epoch][i], kept[epoch + 1][i]])
    series(f"series of {SERIES}, weights, bfloat16", [kept[6 + i][2] for i in range(SERIES)])
    base, hidden = raw(frozen), x
    for coefs, bias in zip(frozen[:2], frozen[2:]):
        hidden = np.maximum(0, hidden @ coefs + bias)
    head = MLPClassifier((32,), random_state=1)
    head.partial_fit(hidden, y, classes=range(10))
    first = state(head)
    head.partial_fit(hidden, y)
    series("frozen base", [base + first, base + state(head)], len(first))


if __name__ == "__main__":
    main()
