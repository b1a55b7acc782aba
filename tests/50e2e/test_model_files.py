"""cairn model get and diff: the files of a version in a folder, checked and resumed; two versions side by side."""

import hashlib
import json
import os
import tempfile

import pytest
from mlflow.entities import Metric, Param

import command

pytestmark = pytest.mark.cairn_only

CARD = """artifact_path: model
flavors:
  sklearn:
    code: null
signature:
  inputs: '[{"type": "double", "name": "%s"}]'
  outputs: '[{"type": "long",
    "required": true}]'
  params: null
utc_time_created: '2026-01-01'
"""


@pytest.fixture
def cli(server, tmp_path):
    return command.Cli(tmp_path, server.url)


def put(client, run, files):
    with tempfile.TemporaryDirectory() as top:
        for path, data in files.items():
            at = os.path.join(top, path)
            os.makedirs(os.path.dirname(at), exist_ok=True)
            with open(at, "wb") as f:
                f.write(data)
        client.log_artifacts(run, top)


@pytest.fixture
def model(client, exp, uniq):
    """Two versions of a model from two runs; what they share and what not."""
    name = f"files {uniq}"
    client.create_registered_model(name)
    made = {"name": name, "files": []}
    for i in (1, 2):
        run = client.create_run(exp).info
        client.log_batch(run.run_id, [Metric("acc", 0.5 * i, 1, 1), Metric("same", 1.0, 1, 1)],
                         [Param("lr", "0.1"), Param(f"only{i}", "x")])
        files = {"model/MLmodel": (CARD % f"c{i}").encode(), "model/data/w.bin": bytes([i]) * 40000,
                 "model/same.txt": b"same", f"model/deep/er/{i}.txt": b"x", "other/file": b"not of the model"}
        put(client, run.run_id, files)
        client.create_model_version(name, run.artifact_uri + "/model", run.run_id, tags={"gate": str(i)}, description=f"v{i}")
        made["files"].append({p[len("model/"):]: d for p, d in files.items() if p.startswith("model/")})
    client.set_registered_model_alias(name, "prod", "1")
    return made


def in_folder(top):
    out = {}
    for folder, _, names in os.walk(top):
        for n in names:
            at = os.path.join(folder, n)
            with open(at, "rb") as f:
                out[os.path.relpath(at, top)] = f.read()
    return out


def test_get(cli, model, tmp_path):
    name, to = model["name"], tmp_path / "out"
    assert cli.run("model", "get", f"{name}@prod", "--to", str(to), "-o", "table").strip() == str(to)
    assert in_folder(to) == model["files"][0]
    again = cli.json("model", "get", f"{name}/1", "--to", str(to))
    size = sum(len(d) for d in model["files"][0].values())
    assert (again["files"], again["bytes"], again["resumed"], again["version"]) == (4, size, size, 1)
    newest = cli.json("model", "get", name, "--to", str(tmp_path / "new"))
    assert newest["version"] == 2 and newest["resumed"] == 0
    assert in_folder(tmp_path / "new") == model["files"][1]


def test_get_goes_on_and_checks(cli, model, tmp_path):
    name, to = model["name"], tmp_path / "out"
    (to / "data").mkdir(parents=True)
    (to / "data" / "w.bin.part").write_bytes(b"\1" * 10000)  # what an interrupted command left
    got = cli.json("model", "get", f"{name}/1", "--to", str(to))
    assert got["resumed"] == 10000 and in_folder(to) == model["files"][0]
    (to / "same.txt").write_bytes(b"SAME")
    cli.run("model", "get", f"{name}/1", "--to", str(to), rc=5)
    assert "same.txt" in cli.err and "--force" in cli.err
    assert (to / "same.txt").read_bytes() == b"SAME"
    cli.run("model", "get", f"{name}/1", "--to", str(to), "--force")
    assert in_folder(to) == model["files"][0]


def test_get_what_is_not_here(cli, client, model, tmp_path):
    name = model["name"]
    client.create_model_version(name, "s3://elsewhere/model")
    cli.run("model", "get", f"{name}/3", "--to", str(tmp_path / "x"), rc=3)
    assert "s3://elsewhere/model" in cli.err
    cli.run("model", "get", f"{name}/9", rc=3)
    cli.run("model", "get", name + "x", rc=3)
    assert not (tmp_path / "x").exists()


def test_diff(cli, model):
    name = model["name"]
    rows = {(r["what"], r["key"]): (r["change"], r["left"], r["right"])
            for r in cli.json("model", "diff", f"{name}@prod", f"{name}/2")}
    digest = [hashlib.sha256(f["data/w.bin"]).hexdigest() for f in model["files"]]
    assert rows["file", "data/w.bin"] == ("~", *digest)
    assert rows["file", "deep/er/1.txt"][0] == "-" and rows["file", "deep/er/2.txt"][0] == "+"
    assert rows["param", "only1"] == ("-", "x", None) and rows["param", "only2"] == ("+", None, "x")
    assert rows["metric", "acc"] == ("~", "0.5", "1.0")
    assert rows["tag", "gate"] == ("~", "1", "2")
    assert rows["version", "description"] == ("~", "v1", "v2") and rows["version", "@prod"][0] == "-"
    assert rows["version", "run_id"][0] == "~" and rows["version", "source"][0] == "~"
    assert rows["signature", "inputs"][0] == "~" and '"c1"' in rows["signature", "inputs"][1]
    for same in (("file", "same.txt"), ("param", "lr"), ("metric", "same"), ("signature", "outputs")):
        assert same not in rows
    everything = {(r["what"], r["key"]): r for r in cli.json("model", "diff", f"{name}/1", f"{name}/2", "--all")}
    assert everything["signature", "outputs"]["left"] == """'[{"type": "long", "required": true}]'"""
    assert {everything[k]["change"] for k in (("file", "same.txt"), ("param", "lr"), ("metric", "same"))} == {"="}
    assert cli.json("model", "diff", f"{name}/1", f"{name}/1") == []
    shown = cli.run("model", "diff", f"{name}/1", f"{name}/2", "-o", "table")
    assert digest[0][:12] in shown and digest[0][:13] not in shown
