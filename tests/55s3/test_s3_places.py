"""Artifacts that others keep in a bucket: listed and read below the prefixes that the operator named, recorded everywhere else."""

import uuid
import zipfile
from io import BytesIO

import pytest
import requests

import cairn
import s3double
import s3servers

pytestmark = pytest.mark.cairn_only

API = "/api/2.0/mlflow"
NAMES = ["MLmodel", "d", "d-x", "d.txt", "d0", "e e+é%20&.bin", "f"]     # d and f are folders


class Place:
    """A server with a listed prefix, a run there, and its files."""

    def __init__(self, s3, put, tmp_path):
        self.s3, self.put, self.prefix = s3, put, f"others/{uuid.uuid4().hex}"
        self.server = cairn.CairnServer(tmp_path / "data", env=s3.env(), args=[
            "--s3-endpoint", s3.endpoint, "--artifact-places", f"s3://{s3servers.BUCKET}/{self.prefix}/listed/"]).start()
        self.run, self.root = self.new_run(f"s3://{s3servers.BUCKET}/{self.prefix}/listed/exp")
        self.files = {"MLmodel": b"flavors: {}\n", "d-x": b"1", "d.txt": b"22", "d0": b"333", "e e+é%20&.bin": b"4" * 300000,
                      "d/deep/x.bin": bytes(range(256)) * 40000, "d/y": b"", "f/z": b"z"}
        for name, data in self.files.items():
            put(f"{self.root}/{name}", data)
        put(f"{self.root}/f/", b"")                 # what some tools make for a folder
        put(f"{self.prefix}/secret.txt", b"not for you")
        put(f"{self.prefix}/listed-not/secret.txt", b"not for you")

    def new_run(self, location):
        made = self.post(f"{API}/experiments/create", {"name": uuid.uuid4().hex, "artifact_location": location})
        info = self.post(f"{API}/runs/create", {"experiment_id": made["experiment_id"]})["run"]["info"]
        return info["run_id"], info["artifact_uri"].removeprefix(f"s3://{s3servers.BUCKET}/")

    def post(self, route, body):
        return requests.post(self.server.url + route, json=body, timeout=60).json()

    def get(self, route, headers=None, **params):
        return requests.get(self.server.url + route, params=dict({"run_id": self.run}, **params), headers=headers, timeout=60)


@pytest.fixture(params=["radosgw", "double"])
def place(request, tmp_path):
    if request.param == "radosgw":
        s3 = request.getfixturevalue("radosgw")
        put = lambda name, data: s3.call("PUT", f"/{s3servers.BUCKET}/{name}", body=data)  # noqa: E731
    else:
        s3 = s3double.Double().start()
        put = lambda name, data: s3.objects.__setitem__((s3servers.BUCKET, name), (data, 1700000000.0))  # noqa: E731
    one = Place(s3, put, tmp_path)
    yield one
    assert one.server.stop() == 0
    if request.param == "double":
        s3.stop()


def test_lists_files_and_archives(place):
    answer = place.get(f"{API}/artifacts/list").json()
    assert [f["path"] for f in answer["files"]] == NAMES
    assert [f["path"] for f in answer["files"] if f["is_dir"]] == ["d", "f"]
    assert {f["path"]: f["file_size"] for f in answer["files"] if not f["is_dir"]} == \
        {n: len(d) for n, d in place.files.items() if "/" not in n}
    assert place.get(f"{API}/artifacts/list", path="d").json()["files"] == [
        {"path": "d/deep", "is_dir": True}, {"path": "d/y", "is_dir": False}]
    assert [f["path"] for f in place.get(f"{API}/artifacts/list", path="f").json()["files"]] == ["f/z"]
    assert "files" not in place.get(f"{API}/artifacts/list", path="nothing").json()
    for size in range(1, 5):    # the order of names is not the order of keys
        seen, token = [], ""
        while True:
            page = place.get("/api/cairn/v1/artifacts", max_results=size, **({"page_token": token} if token else {})).json()
            seen += [f["path"] for f in page.get("files", [])]
            token = page.get("next_page_token")
            if not token:
                break
        assert seen == NAMES, size
    for name, data in place.files.items():
        answer = place.get("/get-artifact", path=name)
        assert (answer.status_code, answer.content == data) == (200, True), name
    part = place.get("/get-artifact", path="d/deep/x.bin", headers={"Range": "bytes=9000000-9000009"})
    assert (part.status_code, part.content) == (206, place.files["d/deep/x.bin"][9000000:9000010])
    etag = part.headers["ETag"]
    assert place.get("/get-artifact", path="d/deep/x.bin", headers={"If-None-Match": etag}).status_code == 304
    place.put(f"{place.root}/d/deep/x.bin", b"another")
    assert place.get("/get-artifact", path="d/deep/x.bin", headers={"If-None-Match": etag}).content == b"another"
    with zipfile.ZipFile(BytesIO(place.get("/api/cairn/v1/artifacts/archive").content)) as made:
        assert made.testzip() is None
        assert set(made.namelist()) == {*place.files, "d/", "d/deep/", "f/"}
        assert made.read("d/deep/x.bin") == b"another"


def test_nothing_leads_out_and_nothing_is_written(place):
    for path in ("../../secret.txt", "x/../../secret.txt", "/etc/passwd", "..", "a//b", "none", "d", "d/", "d-x/y"):
        answer = place.get("/get-artifact", path=path)
        assert answer.status_code in (400, 404) and "not for you" not in answer.text, path
    answer = requests.post(place.server.url + "/ajax-api/2.0/mlflow/upload-artifact", params={"run_uuid": place.run, "path": "new"},
                           data=b"x", timeout=60)
    assert answer.status_code == 400 and "only read" in answer.json()["message"]
    answer = requests.delete(place.server.url + "/api/cairn/v1/artifacts/file", params={"run_id": place.run, "path": "d-x"}, timeout=60)
    assert answer.status_code == 400
    assert place.get("/get-artifact", path="d-x").content == b"1"
    for where in (f"s3://{s3servers.BUCKET}/{place.prefix}/listed-not", f"s3://{s3servers.BUCKET}/{place.prefix}",
                  f"s3://other/{place.prefix}/listed", f"s3://{s3servers.BUCKET}/{place.prefix}/listed/../x"):
        run, _ = place.new_run(where) if ".." not in where else (None, None)
        if run:
            answer = place.get(f"{API}/artifacts/list", run_id=run)
            assert answer.status_code == 400 and "--artifact-places" in answer.json()["message"], where


def test_a_service_that_is_away(tmp_path):
    """The server starts and goes on; only what lies there is a 503, soon, and other requests do not wait behind it."""
    s3 = s3double.Double().start()
    place = Place(s3, lambda name, data: s3.objects.__setitem__((s3servers.BUCKET, name), (data, 1700000000.0)), tmp_path)
    assert place.get("/get-artifact", path="d.txt").content == b"22"
    s3.fail("503", times=100000)
    answer = place.get(f"{API}/artifacts/list")
    assert answer.status_code == 503 and answer.headers["Retry-After"], answer.text
    assert place.get("/get-artifact", path="d.txt").status_code == 503
    s3.forget_failures()
    assert place.get("/get-artifact", path="d.txt").content == b"22"
    s3.stop()
    assert place.server.stop() == 0
    place.server.start()
    assert place.get("/get-artifact", path="d.txt").status_code == 503
    assert place.get("/health").status_code == 200
    assert place.server.stop() == 0
