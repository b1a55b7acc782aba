"""`cairn server scrub`: damage is told with the run, the logged model and the model version it touches, is not served, and goes with the
next upload of the same bytes; with a server and without, and over a server that dies meanwhile."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import requests

import cairn
from command import Cli

pytestmark = pytest.mark.cairn_only

PROXY = "/api/2.0/mlflow-artifacts/artifacts/"


@pytest.fixture
def own(tmp_path):
    server = cairn.CairnServer(tmp_path / "data").start()
    yield server
    if server.process and server.process.is_running():
        server.stop()


def scrub(tmp_path, server, *args, rc=0):
    cli = Cli(tmp_path)
    rows = cli.json("server", "scrub", "--rate", "1G", "--data", str(server.data), *args, rc=rc)
    return rows, cli.err


def put(server, path, data):
    assert requests.put(server.url + PROXY + path, data=data, timeout=60).status_code == 200


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def only_object(server):
    files = [p for p in Path(server.data, "blobs", "objects").rglob("*") if p.is_file()]
    assert len(files) == 1
    return files[0]


def new_run(server):
    answer = requests.post(server.url + "/api/2.0/mlflow/runs/create", json={"experiment_id": "0", "run_name": "tall-owl"}, timeout=30)
    return answer.json()["run"]["info"]["run_id"]


def test_whose_it_is(own, tmp_path):
    api = own.url + "/api/2.0/mlflow/"
    big = os.urandom(300000)
    run = new_run(own)
    put(own, f"0/{run}/artifacts/model/weights.bin", big)
    model = requests.post(api + "logged-models", json={"experiment_id": "0", "name": "resnet"}, timeout=30).json()["model"]["info"]
    put(own, f"0/models/{model['model_id']}/artifacts/weights.bin", big)
    for name in ("from-run", "from-model"):
        requests.post(api + "registered-models/create", json={"name": name}, timeout=30).raise_for_status()
    for name, source, more in (("from-run", f"runs:/{run}/model", {"run_id": run}),
                               ("from-model", f"models:/{model['model_id']}", {"model_id": model["model_id"]})):
        requests.post(api + "model-versions/create", json={"name": name, "source": source, **more}, timeout=30).raise_for_status()
    assert scrub(tmp_path, own)[0] == []
    path = only_object(own)
    flip(path)
    rows, err = scrub(tmp_path, own, rc=7)
    told = {(r["owner"], r["id"], r["name"], r["path"]) for r in rows}
    assert told == {("run", run, "tall-owl", "model/weights.bin"),
                    ("logged_model", model["model_id"], "resnet", "weights.bin"),
                    ("model_version", "from-run/1", "from-run", "model/weights.bin"),
                    ("model_version", "from-model/1", "from-model", "weights.bin")}
    assert {r["kind"] for r in rows} == {"object"} and {r["bytes"] for r in rows} == {300000}
    assert "1 objects damaged" in err
    table = Cli(tmp_path).run("server", "scrub", "--data", str(own.data), rc=7)
    assert "tall-owl" in table and "from-run/1" in table
    bad = requests.get(own.url + PROXY + f"0/{run}/artifacts/model/weights.bin", timeout=30)
    assert bad.status_code == 500 and "damaged" in bad.text and "upload the same file again" in bad.text
    # the real way back: the same file is logged once more, by anybody
    put(own, "elsewhere/copy", big)
    for at in (f"0/{run}/artifacts/model/weights.bin", f"0/models/{model['model_id']}/artifacts/weights.bin", "elsewhere/copy"):
        assert requests.get(own.url + PROXY + at, timeout=30).content == big
    assert scrub(tmp_path, own)[0] == []
    figures = requests.get(own.url + "/metrics", timeout=30).text
    assert "cairn_scrub_damaged 0\n" in figures and "cairn_scrub_running 0\n" in figures


def test_files_that_nothing_knows(own, tmp_path):
    put(own, "a/big", os.urandom(100000))
    known = only_object(own)
    name = "ab" * 32
    stray = Path(own.data, "blobs", "objects", "ab", name + "-0")
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"x" * 50)
    rows, err = scrub(tmp_path, own)
    assert [(r["kind"], r["place"], r["bytes"]) for r in rows] == [("file", f"objects/ab/{name}-0", 50)]
    assert scrub(tmp_path, own, "--sweep")[0][0]["problem"].endswith("too young to be swept")
    os.utime(stray, (1, 1))
    assert "1 were swept" in scrub(tmp_path, own, "--sweep")[1]
    Cli(tmp_path).run("server", "gc", "--now", "--data", str(own.data))
    assert not stray.exists() and known.exists()
    assert own.stop() == 0
    assert scrub(tmp_path, own, "--deep") [0] == []     # without a server


def test_over_a_server_that_dies(own, tmp_path):
    """The command begins again by itself, on the store that nobody has open any more."""
    for i in range(3):
        put(own, f"a/{i}", os.urandom(300000))
    cli = Cli(tmp_path)
    command = subprocess.Popen([str(cli.binary), "server", "scrub", "--rate", "300K", "--data", str(own.data), "-o", "json"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=cli.env)
    head = {"Authorization": "Bearer " + (own.data / "server.token").read_text()}
    url = own.url + "/api/cairn/v1/scrub"
    assert requests.get(url, timeout=30).status_code == 401
    while int(requests.get(url, headers=head, timeout=30).json().get("objects", 0)) == 0:
        assert command.poll() is None
    own.kill()
    out, err = command.communicate(timeout=60)
    assert command.returncode == 0, err
    assert json.loads(out) == [] and "3 objects" in err


@pytest.mark.skipif("postgres" not in cairn.engines(), reason="needs PostgreSQL")
def test_on_postgres(tmp_path, postgres):
    """A whole file, then a pack: found, sound again when the byte is, cured by an upload."""
    store = postgres.new_database()
    server = cairn.CairnServer(tmp_path / "data", store=store).start()
    where = ("--store", store)
    big = os.urandom(300000)

    def command(*args):
        Cli(tmp_path).run("server", *args, "--data", str(server.data), *where)

    try:
        put(server, "a/big", big)
        flip(only_object(server))
        assert len(scrub(tmp_path, server, *where, rc=7)[0]) == 1
        assert requests.get(server.url + PROXY + "a/big", timeout=30).status_code == 500
        put(server, "b/big", big)
        assert requests.get(server.url + PROXY + "a/big", timeout=30).content == big
        command("repack", "--wait")
        command("gc", "--now")
        [pack] = [p for p in Path(server.data, "blobs", "packs").rglob("*") if p.is_file()]
        flip(pack)
        assert {r["kind"] for r in scrub(tmp_path, server, *where, rc=7)[0]} == {"pack", "object"}
        flip(pack)
        assert scrub(tmp_path, server, *where)[0] == []
        assert requests.get(server.url + PROXY + "a/big", timeout=30).content == big
        flip(pack)
        scrub(tmp_path, server, *where, rc=7)
        put(server, "c/big", big)
        assert requests.get(server.url + PROXY + "a/big", timeout=30).content == big
        command("gc", "--now")
        assert scrub(tmp_path, server, *where, "--sweep", "--older-than", "0s")[0] == []
    finally:
        assert server.stop() == 0
