"""Folders that the operator listed as PLACE=rw: what is uploaded lands there, what is deleted goes there, and no name leads out."""

import os
import pathlib
import shutil
import subprocess

import mlflow
import pytest
import requests
from mlflow import MlflowClient
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

import cairn

pytestmark = pytest.mark.cairn_only

API = "/api/2.0/mlflow"
FILE = "/api/cairn/v1/artifacts/file"
DESK = ".cairn-uploads"
BIG = os.urandom(1000) * 1500


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    base = tmp_path_factory.mktemp("places")
    for name in ("rw", "rw/inner", "other"):
        (base / name).mkdir()
    (base / "rw").chmod(0o755)
    (base / "other/kept").write_text("not yours")
    return base


@pytest.fixture(scope="module")
def own(start_server, places):
    return start_server(args=["--artifact-places", f"file://{places}/rw=rw,{places}/rw/inner=ro"])


def new_run(own, location, name):
    client = MlflowClient(tracking_uri=own.url)
    return client, client.create_run(client.create_experiment(name, artifact_location=location)).info


@pytest.fixture
def run(own, places, request):
    """A run below the place, and its folder, where nothing is yet."""
    _, info = new_run(own, f"file://{places}/rw/{request.node.name.replace('[', '-').rstrip(']')}", request.node.name)
    return info, pathlib.Path(info.artifact_uri[7:])


def put(own, info, path, data, **more):
    return requests.put(own.url + FILE, params={"run_id": info.run_id, "path": path}, data=data, timeout=60, **more)


def tree(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def names(own, info, path=""):
    answer = requests.get(f"{own.url}{API}/artifacts/list", params={"run_id": info.run_id, "path": path}, timeout=60).json()
    return [f["path"] for f in answer.get("files", [])]


def test_files_of_every_route_land_there(own, run, places):
    info, folder = run
    assert put(own, info, "a/b/small.txt", b"small").json()["size"] == "5"
    answer = put(own, info, "a/big.bin", BIG)
    assert answer.status_code == 200 and answer.json()["size"] == str(len(BIG))
    answer = requests.post(own.url + "/ajax-api/2.0/mlflow/upload-artifact", data=b"x", timeout=60,
                           params={"run_uuid": info.run_id, "path": "page"})
    assert answer.status_code == 200
    proxy = f"{own.url}/api/2.0/mlflow-artifacts/artifacts/{info.experiment_id}/{info.run_id}/artifacts"
    assert requests.put(proxy + "/p/empty", data=b"", timeout=60).status_code == 200
    assert (folder / "a/b/small.txt").read_bytes() == b"small" and (folder / "a/big.bin").read_bytes() == BIG
    assert tree(folder) == ["a", "a/b", "a/b/small.txt", "a/big.bin", "p", "p/empty", "page"]
    assert names(own, info) == ["a", "p", "page"] and names(own, info, "a") == ["a/b", "a/big.bin"]
    assert requests.get(proxy + "/a/big.bin", timeout=60).content == BIG
    # What others are to read has the rights of the folder that it lies in.
    assert (folder / "a/b").stat().st_mode & 0o777 == 0o755 and (folder / "a/b/small.txt").stat().st_mode & 0o777 == 0o644
    assert put(own, info, "a/big.bin", b"other").status_code == 200 and (folder / "a/big.bin").read_bytes() == b"other"
    for where in (proxy + "/a/big.bin", f"{own.url}{FILE}?run_id={info.run_id}&path=a/b&recursive=true"):
        assert requests.delete(where, timeout=60).status_code == 200
    assert tree(folder) == ["a", "p", "p/empty", "page"] and names(own, info, "a") == []
    assert requests.delete(proxy + "/p", timeout=60).status_code == 200 and tree(folder) == ["a", "page"]
    assert requests.delete(own.url + FILE, params={"run_id": info.run_id, "path": "a", "recursive": "true"}, timeout=60).ok
    assert tree(folder) == ["page"] and os.listdir(places / "rw" / DESK) == []


def test_the_client_through_the_proxy(own, run, tmp_path):
    """A client that does not see the folder names the same run through mlflow-artifacts:."""
    info, folder = run
    (tmp_path / "d").mkdir()
    (tmp_path / "d/one").write_bytes(BIG)
    (tmp_path / "two").write_text("2")
    mlflow.set_tracking_uri(own.url)
    repository = get_artifact_repository(f"mlflow-artifacts:/{info.experiment_id}/{info.run_id}/artifacts")
    repository.log_artifacts(str(tmp_path / "d"), "d")
    repository.log_artifact(str(tmp_path / "two"))
    assert tree(folder) == ["d", "d/one", "two"] and (folder / "d/one").read_bytes() == BIG
    client = MlflowClient(tracking_uri=own.url)
    client.log_text(info.run_id, "3", "three")  # this one writes there by itself
    assert names(own, info) == ["d", "three", "two"]
    assert [f.path for f in repository.list_artifacts("d")] == ["d/one"]
    repository.delete_artifacts("d")
    assert tree(folder) == ["three", "two"]


def test_the_command_sends_large_files_there(own, run, tmp_path):
    info, folder = run
    (tmp_path / "large").write_bytes(BIG * 12)  # would go on later, in the server's own store
    done = subprocess.run([str(cairn.find_binary()), "artifact", "put", info.run_id, str(tmp_path / "large"), "--to", "x",
                           "--server", own.url], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    assert (folder / "x/large").read_bytes() == BIG * 12


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/x", "a//b", DESK + "/x", "a/" + DESK, "link/x", "link", "link/../y", "file/x",
                                  "dir", "pipe", "n" * 256, "back\\slash", ".", "inlink/x"])
@pytest.mark.parametrize("data", [b"x", BIG], ids=["small", "big"])
def test_bad_names_keep_nothing(own, run, places, path, data):
    info, folder = run
    folder.mkdir(parents=True)
    (folder / "dir").mkdir()
    (folder / "file").write_text("1")
    os.symlink(places / "other", folder / "link")
    os.symlink("dir", folder / "inlink")
    os.mkfifo(folder / "pipe")
    before = tree(folder)
    answer = put(own, info, path, data)
    assert 400 <= answer.status_code < 500, answer.text
    assert tree(folder) == before and os.listdir(places / "other") == ["kept"] and os.listdir(places / "rw" / DESK) == []


def test_wrong_digest_keeps_nothing(own, run, places):
    info, folder = run
    for data in (b"x", BIG):
        answer = put(own, info, "new/x", data, headers={"Digest": "sha-256=" + "A" * 43 + "="})
        assert answer.status_code == 400 and not folder.exists() and os.listdir(places / "rw" / DESK) == []


def test_links_are_removed_not_followed(own, run, places):
    info, folder = run
    (folder / "d").mkdir(parents=True)
    os.symlink(places / "other", folder / "d/link")
    proxy = f"{own.url}/api/2.0/mlflow-artifacts/artifacts/{info.experiment_id}/{info.run_id}/artifacts"
    assert requests.delete(proxy + "/d/link/kept", timeout=60).status_code == 400
    assert requests.delete(proxy + "/d", timeout=60).status_code == 200
    assert tree(folder) == [] and os.listdir(places / "other") == ["kept"]


def test_a_place_inside_another_keeps_its_rule(own, places):
    _, outer = new_run(own, f"file://{places}/rw", "outer")
    _, inner = new_run(own, f"file://{places}/rw/inner", "inner")
    assert put(own, inner, "x", b"x").status_code == 400
    # A logged location of the outer place that reaches into the inner one.
    location = f"mlflow-artifacts/artifacts/{outer.experiment_id}/{outer.run_id}/artifacts"
    assert requests.put(f"{own.url}/api/2.0/{location}/x", data=b"x", timeout=60).status_code == 200
    assert (places / "rw" / outer.run_id / "artifacts/x").read_bytes() == b"x"
    assert os.listdir(places / "rw/inner") == []


def test_a_place_around_the_own_bytes_ends_the_start(tmp_path):
    for listed in (tmp_path, tmp_path / "data/blobs", tmp_path / "data/x"):
        listed.mkdir(parents=True, exist_ok=True)
        with pytest.raises(cairn.StartError, match="lie in each other"):
            cairn.CairnServer(tmp_path / "data", args=["--artifact-places", f"{listed}=rw"]).start()
    # By relative names, and where the bytes lie elsewhere.
    for more in ([], ["--blobs", tmp_path / "elsewhere"]):
        done = subprocess.run([cairn.find_binary(), "server", "--listen", "127.0.0.1:0", "--data", "data", *more,
                               "--artifact-places", f"{tmp_path}/data/x=rw"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode and "lie in each other" in done.stderr, done.stderr
    assert not (tmp_path / DESK).exists() and not (tmp_path / "data/x" / DESK).exists()


POINTS = ["before_sync", "before_rename", "before_dir_sync"]


@pytest.mark.parametrize("point", POINTS)
def test_killed_there_is_whole_or_not_at_all(tmp_path, point):
    """The program dies between the temporary name and the last step; nobody sees half a file, and the next upload goes through."""
    place = tmp_path / "place"
    place.mkdir()
    more = {"args": ["--artifact-places", f"{place}=rw"], "binary": cairn.find_binary_with_failpoints()}
    server = cairn.CairnServer(tmp_path / "data", env={"CAIRN_FAILPOINT": f"core.outside.put.{point}=kill:2"}, **more).start()
    _, info = new_run(server, f"file://{place}", "killed")
    folder = place / info.run_id / "artifacts"
    assert put(server, info, "d/x", b"old").status_code == 200
    with pytest.raises(requests.ConnectionError):
        put(server, info, "d/x", BIG)
    server.process.proc.wait(60)
    assert (folder / "d/x").read_bytes() == (BIG if point == "before_dir_sync" else b"old")
    again = cairn.CairnServer(tmp_path / "data", env={"CAIRN_FAILPOINT": "core.outside.delete.before_dir_sync=kill"}, **more).start()
    try:
        assert names(again, info, "d") == ["d/x"]
        assert put(again, info, "d/x", BIG).status_code == 200 and (folder / "d/x").read_bytes() == BIG
        with pytest.raises(requests.ConnectionError):
            requests.delete(again.url + FILE, params={"run_id": info.run_id, "path": "d", "recursive": "true"}, timeout=60)
        again.process.proc.wait(60)
        assert tree(folder) == []
    finally:
        again.kill()
    # What a killed server left waits a day.
    left = place / DESK
    for old in left.iterdir():
        os.utime(old, (1, 1))
    last = cairn.CairnServer(tmp_path / "data", env={"CAIRN_FAILPOINT": ""}, **more).start()
    assert last.stop() == 0 and list(left.iterdir()) == []
    shutil.rmtree(place)
