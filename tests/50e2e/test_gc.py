"""Bytes that nothing refers to go: `cairn server gc`, with a server and without, after deletions of every kind, and as the cure for a
full disk."""
import os
import subprocess
import tempfile
from pathlib import Path

import cairn
import pytest
import requests
from command import Cli

pytestmark = pytest.mark.cairn_only

PROXY = "/api/2.0/mlflow-artifacts/artifacts/"
MIB = 1 << 20


@pytest.fixture
def own(tmp_path, request):
    """A server of this test alone."""
    server = cairn.CairnServer(tmp_path / "data").start()
    yield server
    if server.process and server.process.is_running():
        server.stop()


def gc(tmp_path, server, *args):
    return Cli(tmp_path).json("server", "gc", "--data", str(server.data), *args)


def put(server, path, data):
    return requests.put(server.url + PROXY + path, data=data, timeout=60)


def bytes_on_disk(data):
    return sum(f.stat().st_size for f in Path(data, "blobs").rglob("*") if f.is_file() and f.parent.name != "blobs")


def test_dry_run_and_now(own, tmp_path):
    big = os.urandom(3 * MIB)
    assert put(own, "a/big", big).status_code == 200
    assert put(own, "a/small", b"s" * 100).status_code == 200
    assert put(own, "b/big", big).status_code == 200
    assert gc(tmp_path, own, "--dry-run") == {"objects": 0, "places": 0, "uploads": 0, "bytes": 0, "walked": 2, "dry_run": True}
    assert requests.delete(own.url + PROXY + "a", timeout=30).status_code == 200
    assert gc(tmp_path, own, "--dry-run")["objects"] == 1
    done = gc(tmp_path, own, "--now")
    assert (done["objects"], done["bytes"], done["dry_run"]) == (1, 100, False)
    assert requests.get(own.url + PROXY + "b/big", timeout=30).content == big
    assert bytes_on_disk(own.data) == len(big)
    assert requests.delete(own.url + PROXY + "b", timeout=30).status_code == 200
    assert gc(tmp_path, own, "--now")["bytes"] == len(big)
    assert bytes_on_disk(own.data) == 0
    figures = requests.get(own.url + "/metrics", timeout=30).text
    assert f"cairn_gc_bytes_total {len(big) + 100}\n" in figures and "cairn_gc_objects_total 2\n" in figures


def test_without_a_server(own, tmp_path):
    assert put(own, "big", os.urandom(MIB)).status_code == 200
    assert requests.delete(own.url + PROXY + "big", timeout=30).status_code == 200
    assert own.stop() == 0
    assert gc(tmp_path, own, "--dry-run")["objects"] == 1
    assert bytes_on_disk(own.data) == MIB
    assert gc(tmp_path, own, "--now")["objects"] == 1
    assert bytes_on_disk(own.data) == 0
    cli = Cli(tmp_path)
    cli.run("server", "gc", "--data", own.data, rc=2)
    assert "--dry-run" in cli.err


def test_a_run_that_is_deleted_for_good_takes_its_bytes_along(own, tmp_path):
    api = own.url + "/api/2.0/mlflow/"
    run = requests.post(api + "runs/create", json={"experiment_id": "0"}, timeout=30).json()["run"]["info"]["run_id"]
    assert put(own, f"0/{run}/artifacts/model.bin", os.urandom(MIB)).status_code == 200
    requests.post(api + "runs/delete", json={"run_id": run}, timeout=30)
    assert gc(tmp_path, own, "--now")["objects"] == 0       # in the trash
    assert bytes_on_disk(own.data) == MIB
    Cli(tmp_path, own.url).run("run", "rm", run, "--hard", "--yes")
    assert gc(tmp_path, own, "--now")["objects"] == 1
    assert bytes_on_disk(own.data) == 0


def test_the_trash_gives_back(own, tmp_path):
    api, cli = own.url + "/api/2.0/mlflow/", Cli(tmp_path, own.url)
    exp = requests.post(api + "experiments/create", json={"name": "bin"}, timeout=30).json()["experiment_id"]
    run = requests.post(api + "runs/create", json={"experiment_id": exp}, timeout=30).json()["run"]["info"]["run_id"]
    data = os.urandom(MIB)
    assert put(own, f"{exp}/{run}/artifacts/m", data).status_code == 200
    cli.run("run", "rm", run)
    gc(tmp_path, own, "--now")
    cli.run("run", "restore", run)
    info = requests.get(api + "runs/get", params={"run_id": run}, timeout=30).json()["run"]["info"]
    assert info["lifecycle_stage"] == "active"
    assert requests.get(own.url + PROXY + f"{exp}/{run}/artifacts/m", timeout=30).content == data
    cli.run("experiment", "rm", "bin")
    assert [e["experiment_id"] for e in cli.json("experiment", "ls", "--deleted")] == [exp]
    gc(tmp_path, own, "--now")
    cli.run("experiment", "restore", "bin")
    assert requests.get(own.url + PROXY + f"{exp}/{run}/artifacts/m", timeout=30).content == data
    cli.run("experiment", "restore", "none", rc=3)
    cli.run("run", "restore", "0" * 32, rc=3)


def test_packs_that_nothing_names_go(own, tmp_path):
    for i in range(4):
        assert put(own, f"p/{i}", os.urandom(300_000)).status_code == 200
    Cli(tmp_path).json("server", "repack", "--wait", "--data", str(own.data))
    gc(tmp_path, own, "--now")
    assert list(Path(own.data, "blobs", "packs").rglob("*/*"))
    assert 1_200_000 <= bytes_on_disk(own.data) < 1_300_000
    assert requests.delete(own.url + PROXY + "p", timeout=30).status_code == 200
    assert gc(tmp_path, own, "--now")["objects"] == 4
    assert bytes_on_disk(own.data) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_the_cure_for_a_full_disk(tmp_path):
    folder = Path(tempfile.mkdtemp(prefix="cairn-disk-", dir="/tmp"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m,mode=755", "tmpfs", str(folder)], check=True)
    try:
        server = cairn.CairnServer(folder / "data").start()
        refused, stored = None, []
        for i in range(200):
            refused = put(server, f"x/{i}", os.urandom(MIB))
            if refused.status_code != 200:
                break
            stored.append(i)
        assert refused.status_code == 503 and refused.headers["Retry-After"], refused.text
        assert "gc --now" in refused.text, refused.text
        with open(folder / "ballast", "wb", buffering=0) as f, pytest.raises(OSError):   # to the last byte
            while True:
                f.write(b"\0" * 4096)
        assert requests.get(server.url + PROXY + f"x/{stored[0]}", timeout=30).status_code == 200
        assert requests.delete(server.url + PROXY + "x", timeout=60).status_code == 200
        assert gc(tmp_path, server, "--now")["objects"] == len(stored)
        assert put(server, "y/after", os.urandom(20 * MIB)).status_code == 200
        assert server.stop() == 0
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()
