"""tools/bench in its smallest size: the measurements run, and what they read back is what was written."""

import json
import os
import subprocess
import sys

import pytest

import cairn


@pytest.mark.cairn_only
@pytest.mark.timeout(240)
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_every_workload_runs_and_its_answers_are_right(engine, tmp_path):
    if engine not in cairn.engines():
        pytest.skip("engine not selected")
    binary = cairn.find_binary()
    cairn.bench_binaries("bench_load", "bench_receive", "bench_floor", "bench_run", "bench_lineage")
    env = dict(os.environ, CAIRN_BIN=str(binary))
    env.pop("TMPDIR", None)  # PostgreSQL runs under another account, which must get into its folder
    done = subprocess.run([sys.executable, cairn.ROOT / "tools/bench", "--tiny", "--engine", engine, "--json", tmp_path / "figures.json"],
                          env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200)
    assert done.returncode == 0, done.stdout
    rows = json.loads((tmp_path / "figures.json").read_text())["rows"]
    assert {row["work"] for row in rows} == {"W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8", "W9", *(["W10", "gRPC"] if engine == "sqlite" else []), "W11", "W12", "W13", "W14", "mlmd", "OpenLineage"}
    failed = [(row["title"], note) for row in rows for note in row["servers"]["cairn"]["notes"] if note.startswith("failed")]
    assert not failed, failed


def test_the_load_generator_prints_numbers_exactly():
    subprocess.run([*cairn.bench_binaries("bench_load"), "check", "20000"], check=True)
