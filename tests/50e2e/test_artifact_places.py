"""Artifacts that lie where clients put them: listed and read below the places that the operator named, recorded everywhere else."""

import os
import zipfile
from io import BytesIO

import pytest
import requests
from mlflow import MlflowClient

import cairn

pytestmark = pytest.mark.cairn_only

API = "/api/2.0/mlflow"


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A listed folder with a link out of it, a link inside it and a pipe; and another one that is not listed."""
    base = tmp_path_factory.mktemp("places")
    for name in ("listed", "other"):
        (base / name).mkdir()
    (base / "secret.txt").write_text("not for you")
    return base


@pytest.fixture(scope="module")
def own(start_server, places):
    return start_server(args=["--artifact-places", f"file://{places}/listed"])


def new_run(own, location, name):
    client = MlflowClient(tracking_uri=own.url)
    experiment = client.create_experiment(name, artifact_location=location)
    return client, client.create_run(experiment).info


@pytest.fixture(scope="module")
def run(own, places, tmp_path_factory):
    """A run whose client wrote straight into the folder."""
    client, info = new_run(own, f"file://{places}/listed/a%20b", "listed")
    source = tmp_path_factory.mktemp("source")
    (source / "d").mkdir()
    (source / "page.html").write_text("<script>1</script>")
    (source / "d/x.bin").write_bytes(b"\0" * 100000)
    (source / "d/empty").write_bytes(b"")
    client.log_artifacts(info.run_id, str(source))
    folder = places / "listed/a b" / info.run_id / "artifacts"
    assert (folder / "d/x.bin").exists()
    os.symlink("../../../../secret.txt", folder / "out")
    os.symlink("/etc", folder / "etc")
    os.symlink("d/x.bin", folder / "in")
    os.mkfifo(folder / "pipe")
    (folder / "back\\slash").write_text("x")
    return info


def get(own, route, /, **params):
    return requests.get(own.url + route, params=params, timeout=60)


def test_lists_and_files(own, run):
    answer = get(own, f"{API}/artifacts/list", run_id=run.run_id).json()
    assert answer["root_uri"] == run.artifact_uri
    assert answer["files"] == [{"path": "d", "is_dir": True}, {"path": "in", "is_dir": False, "file_size": 100000},
                               {"path": "page.html", "is_dir": False, "file_size": 18}]
    answer = get(own, f"{API}/artifacts/list", run_id=run.run_id, path="d").json()
    assert answer["files"] == [{"path": "d/empty", "is_dir": False}, {"path": "d/x.bin", "is_dir": False, "file_size": 100000}]
    answer = get(own, "/get-artifact", run_id=run.run_id, path="page.html")
    assert answer.text == "<script>1</script>" and "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Content-Disposition"].startswith("attachment")
    known = requests.get(answer.url, headers={"If-None-Match": answer.headers["ETag"]}, timeout=60)
    assert known.status_code == 304
    part = requests.get(own.url + "/get-artifact", params={"run_id": run.run_id, "path": "in"}, timeout=60,
                        headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, b"\0" * 10)


def test_pages_and_archives(own, run):
    one = get(own, "/api/cairn/v1/artifacts", run_id=run.run_id, max_results=2).json()
    assert [f["path"] for f in one["files"]] == ["d", "in"]
    two = get(own, "/api/cairn/v1/artifacts", run_id=run.run_id, max_results=2, page_token=one["next_page_token"]).json()
    assert [f["path"] for f in two["files"]] == ["page.html"] and "next_page_token" not in two
    with zipfile.ZipFile(BytesIO(get(own, "/api/cairn/v1/artifacts/archive", run_id=run.run_id).content)) as made:
        assert made.testzip() is None and made.namelist() == ["d/", "d/empty", "d/x.bin", "in", "page.html"]


@pytest.mark.parametrize("path", ["out", "etc", "etc/passwd", "pipe", "none", "d", "../secret.txt", "d/../../x", "/etc/passwd",
                                  "back\\slash", "in/x"])
def test_nothing_leads_out(own, run, path):
    answer = get(own, "/get-artifact", run_id=run.run_id, path=path)
    assert answer.status_code in (400, 404) and "not for you" not in answer.text and "root:" not in answer.text
    listed = get(own, f"{API}/artifacts/list", run_id=run.run_id, path=path)
    assert listed.status_code == 400 or path == "d" or "files" not in listed.json()


def test_it_is_only_read(own, run, places):
    answer = requests.post(own.url + "/ajax-api/2.0/mlflow/upload-artifact", params={"run_uuid": run.run_id, "path": "new"},
                           data=b"x", timeout=60)
    assert answer.status_code == 400 and "only read" in answer.json()["message"]
    answer = requests.delete(own.url + "/api/cairn/v1/artifacts/file", params={"run_id": run.run_id, "path": "page.html"}, timeout=60)
    assert answer.status_code == 400
    assert (places / "listed/a b" / run.run_id / "artifacts/page.html").exists()


@pytest.mark.parametrize("where", ["file://{}/other", "file://{}/listed-not", "s3://bucket/x", "file://{}", "FILE:{}/other",
                                   "file://host{}/listed"])
def test_other_places_are_recorded_and_the_answer_says_what_to_do(own, places, where, request):
    made = requests.post(f"{own.url}{API}/experiments/create", timeout=60,
                         json={"name": request.node.name, "artifact_location": where.format(places)})
    made = requests.post(f"{own.url}{API}/runs/create", json={"experiment_id": made.json()["experiment_id"]}, timeout=60)
    run_id = made.json()["run"]["info"]["run_id"]
    for answer in (get(own, f"{API}/artifacts/list", run_id=run_id), get(own, "/get-artifact", run_id=run_id, path="x")):
        assert answer.status_code == 400 and "--artifact-places" in answer.json()["message"]


@pytest.mark.parametrize("place, text", [("relative", "absolute folder"), ("/no/such/folder", "exists"), ("s3://", "absolute folder"),
                                         ("s3://b/x", "bucket"), ("s3://bucket/../x", "absolute folder"),
                                         ("/etc/passwd", "exists")])
def test_what_is_no_place_ends_the_start(tmp_path, place, text):
    with pytest.raises(cairn.StartError, match=text):
        cairn.CairnServer(tmp_path / "data", args=["--artifact-places", place]).start()
