"""Buckets that the operator listed as s3://BUCKET/PREFIX=rw: what is uploaded lands there whole, what is deleted goes there, what breaks off
leaves nothing that anybody sees, and nothing is touched that others have begun there."""

import os
import threading
import time
import uuid

import pytest
import requests

import cairn
import s3double
import s3servers

pytestmark = pytest.mark.cairn_only

API = "/api/2.0/mlflow"
FILE = "/api/cairn/v1/artifacts/file"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
MARKS = ".cairn-uploads/"
BIG = os.urandom(1 << 20) * 15 + b"end"     # three parts
BUCKET = s3servers.BUCKET


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


class Real:
    """What lies in the bucket of a real service."""

    def __init__(self, s3):
        self.s3 = s3

    def names(self, prefix):
        answer = self.s3.call("GET", f"/{BUCKET}", [("list-type", "2"), ("prefix", prefix)]).decode()
        return sorted(part.split("</Key>")[0].removeprefix(prefix) for part in answer.split("<Key>")[1:])

    def read(self, key):
        return self.s3.call("GET", f"/{BUCKET}/{key}")

    def write(self, key, data):
        self.s3.call("PUT", f"/{BUCKET}/{key}", body=data)

    def uploads(self, prefix):
        return self.s3.call("GET", f"/{BUCKET}", [("uploads", ""), ("prefix", prefix)]).decode().count("<Upload>")


class InMemory:
    """The same of the double."""

    def __init__(self, s3):
        self.s3 = s3

    def names(self, prefix):
        return sorted(n.removeprefix(prefix) for _, n in list(self.s3.objects) if n.startswith(prefix))

    def read(self, key):
        return self.s3.objects[BUCKET, key][0]

    def write(self, key, data):
        self.s3.objects[BUCKET, key] = (data, time.time())

    def uploads(self, prefix):
        """Those that hold bytes: one whose beginning was not answered has none, and nobody knows it."""
        return sum(u["name"].startswith(prefix) and bool(u["parts"]) for u in list(self.s3.uploads.values()))


class Place:
    """A server with a place that it writes, one inside of it that it reads, and a run."""

    def __init__(self, s3, there, tmp_path, args=(), store=None, env=None, start=True):
        self.s3, self.there = s3, there
        self.top = f"others/{uuid.uuid4().hex}/rw"
        self.args = ["--s3-endpoint", s3.endpoint, *args,
                     "--artifact-places", f"s3://{BUCKET}/{self.top}=rw,s3://{BUCKET}/{self.top}/inner=ro"]
        self.tmp_path, self.store = tmp_path, store
        if start:
            self.start(env)
            self.run, self.root = self.new_run("exp")

    def start(self, env=None):
        self.server = cairn.CairnServer(self.tmp_path / "data", store=self.store, args=self.args, env=dict(self.s3.env(), **(env or {})),
                                        binary=cairn.find_binary_with_failpoints() if env else None).start()

    def new_run(self, below):
        made = self.post(f"{API}/experiments/create", {"name": uuid.uuid4().hex, "artifact_location": f"s3://{BUCKET}/{self.top}/{below}"})
        info = self.post(f"{API}/runs/create", {"experiment_id": made["experiment_id"]})["run"]["info"]
        self.proxy = f"{PROXY}/{info['experiment_id']}/{info['run_id']}/artifacts"
        return info["run_id"], info["artifact_uri"].removeprefix(f"s3://{BUCKET}/") + "/"

    def post(self, route, body):
        return requests.post(self.server.url + route, json=body, timeout=60).json()

    def put(self, path, data, **headers):
        return requests.put(self.server.url + FILE, params={"run_id": self.run, "path": path}, data=data, headers=headers, timeout=120)

    def get(self, path):
        return requests.get(self.server.url + "/get-artifact", params={"run_id": self.run, "path": path}, timeout=120)

    def delete(self, path, **more):
        return requests.delete(self.server.url + FILE, params=dict({"run_id": self.run, "path": path}, **more), timeout=120)

    def listed(self, path=""):
        answer = requests.get(f"{self.server.url}{API}/artifacts/list", params={"run_id": self.run, "path": path}, timeout=60).json()
        return [f["path"] for f in answer.get("files", [])]

    def names(self):
        """Of the files of the run; and nothing else waits in the place."""
        return self.there.names(self.root)

    def marks(self):
        return self.there.names(f"{self.top}/{MARKS}")

    def is_clean(self):
        return not self.marks() and not self.there.uploads(self.top)


@pytest.fixture
def double():
    one = s3double.Double().start()
    yield one
    one.stop()


@pytest.fixture(params=["radosgw", "double"])
def place(request, tmp_path):
    s3 = request.getfixturevalue(request.param)
    one = Place(s3, Real(s3) if request.param == "radosgw" else InMemory(s3), tmp_path)
    yield one
    assert one.server.stop() == 0
    assert one.is_clean()


@pytest.fixture
def broken(double, tmp_path):
    """On the double, which breaks as it is told."""
    one = Place(double, InMemory(double), tmp_path)
    yield one
    double.forget_failures()
    assert one.server.stop() == 0


def test_files_of_every_route_land_there(place):
    assert place.put("a/b/small +é%.txt", b"small").json()["size"] == "5"
    answer = place.put("a/big.bin", BIG)
    assert answer.status_code == 200 and answer.json()["size"] == str(len(BIG)), answer.text
    assert requests.post(place.server.url + "/ajax-api/2.0/mlflow/upload-artifact", params={"run_uuid": place.run, "path": "page"},
                         data=b"x", timeout=60).status_code == 200
    assert requests.put(f"{place.server.url}{place.proxy}/p/empty", data=b"", timeout=60).status_code == 200
    assert requests.put(f"{place.server.url}{place.proxy}/p/piecewise", data=iter([BIG[:100000]] * 3), timeout=60).status_code == 200
    assert place.names() == ["a/b/small +é%.txt", "a/big.bin", "p/empty", "p/piecewise", "page"]
    assert place.there.read(place.root + "a/big.bin") == BIG and place.there.read(place.root + "p/empty") == b""
    assert place.there.read(place.root + "p/piecewise") == BIG[:100000] * 3
    assert place.listed() == ["a", "p", "page"] and place.listed("a") == ["a/b", "a/big.bin"]
    assert place.get("a/big.bin").content == BIG and place.get("a/b/small +é%.txt").content == b"small"
    assert place.put("a/big.bin", b"other").status_code == 200 and place.get("a/big.bin").content == b"other"
    # The server has no bytes of it.
    assert not [f for _, _, files in os.walk(place.tmp_path / "data" / "blobs") for f in files if f not in ("FORMAT", "lock")]
    # Of a folder goes what lies below it, and nothing beside it.
    for name in ("d/1", "d/e/2", "d-x", "d.txt", "dd/3", *(f"d/many/{i:02}" for i in range(12))):
        assert place.put(name, b"1").status_code == 200
    assert place.delete("d", recursive="true").status_code == 200
    assert [n for n in place.names() if n[0] == "d"] == ["d-x", "d.txt", "dd/3"]
    for where in ("/a/big.bin", "/a/b", "/nothing", "/page"):
        assert requests.delete(f"{place.server.url}{place.proxy}{where}", timeout=60).status_code == 200
    assert place.listed() == ["d-x", "d.txt", "dd", "p"] and place.is_clean()


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_the_client_through_the_proxy(radosgw, tmp_path, engine, request):
    """pip mlflow without keys of the service: files and a model go there through the server, over a restart, and come back."""
    import mlflow
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from sklearn.linear_model import LogisticRegression

    if engine not in cairn.engines():
        pytest.skip("engine not selected")
    store = request.getfixturevalue("postgres").new_database() if engine == "postgres" else None
    place = Place(radosgw, Real(radosgw), tmp_path, store=store)
    files = tmp_path / "files"
    (files / "deep").mkdir(parents=True)
    (files / "deep/big").write_bytes(BIG)
    (files / "small").write_text("2")
    model = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    mlflow.sklearn.save_model(model, files / "model", pip_requirements=["scikit-learn"])  # else it looks for them for long
    mlflow.set_tracking_uri(place.server.url)
    root = "mlflow-artifacts:" + place.proxy.removeprefix(PROXY)
    get_artifact_repository(root).log_artifacts(str(files), "out")
    assert place.there.read(place.root + "out/deep/big") == BIG
    assert place.server.stop() == 0
    place.start()
    mlflow.set_tracking_uri(place.server.url)
    repository = get_artifact_repository(root)
    repository.log_artifact(str(files / "small"))
    assert [f.path for f in repository.list_artifacts("out")] == ["out/deep", "out/model", "out/small"]
    got = repository.download_artifacts("out", str(tmp_path))
    assert {p.relative_to(got): p.read_bytes() for p in type(files)(got).rglob("*") if p.is_file()} == \
        {p.relative_to(files): p.read_bytes() for p in files.rglob("*") if p.is_file()}
    again = mlflow.sklearn.load_model(root + "/out/model")
    assert (again.predict([[0.5], [2.5]]) == model.predict([[0.5], [2.5]])).all()
    repository.delete_artifacts("out")
    assert place.names() == ["small"] and place.is_clean()
    mlflow.set_tracking_uri(None)
    assert place.server.stop() == 0


@pytest.mark.parametrize("data", [b"x", BIG[:100000]], ids=["small", "big"])
def test_bad_names_and_bad_bytes_keep_nothing(broken, data):
    place = broken
    assert place.put("dir/file", b"1").status_code == 200
    for path in ("../x", "a/../../x", "/x", "a//b", MARKS + "x", "a/" + MARKS[:-1], ".", "back\\slash", "dir", "dir/file/x", "n" * 1000,
                 "dir/file/a/b"):
        answer = place.put(path, data)
        assert 400 <= answer.status_code < 500, (path, answer.text)
        assert place.names() == ["dir/file"], path
    assert place.put("new/x", data, Digest="sha-256=" + "A" * 43 + "=").status_code == 400
    assert place.put("dir/file", BIG, Digest="sha-256=" + "A" * 43 + "=").status_code == 400     # its parts are there already
    assert place.names() == ["dir/file"] and place.get("dir/file").content == b"1"
    wait_for(place.is_clean)
    # What a mark says is nobody's business.
    place.there.write(f"{place.top}/{MARKS}x", b"secret")
    place.run, place.root = place.new_run("")
    assert place.get(f"../../{MARKS}x").status_code == 400
    place.there.s3.objects.pop((BUCKET, f"{place.top}/{MARKS}x"))


def test_a_place_inside_another_keeps_its_rule(broken):
    place = broken
    place.run, place.root = place.new_run("inner/exp")
    place.there.write(place.root + "kept", b"1")
    for answer in (place.put("x", b"x"), place.put("x", BIG[:100000]), place.delete("kept")):
        assert answer.status_code == 400 and "only read" in answer.text
    assert place.names() == ["kept"] and place.get("kept").content == b"1"


def test_a_place_around_the_own_bytes_ends_the_start(double, tmp_path):
    for blobs, listed in (("s3://cairn/own", "s3://cairn"), ("s3://cairn/own", "s3://cairn/own/below"), ("s3://cairn/own/", "s3://cairn/own")):
        with pytest.raises(cairn.StartError, match="lie in each other"):
            cairn.CairnServer(tmp_path / "data", blobs=blobs, env=double.env(),
                              args=["--s3-endpoint", double.endpoint, "--artifact-places", f"{listed}=rw"]).start()


def test_what_goes_away_is_tried_again(broken):
    """Every kind of failure at every call of an upload and a deletion."""
    place, double = broken, broken.s3
    for kind in ("500", "503", "429", "reset", "lost", "slow", "truncated", "error200"):
        double.forget_failures()
        for op in ("create", "put", "part", "complete", "list", "delete"):
            double.fail(kind, op=op)
        answer = place.put(f"{kind}/x", BIG)
        assert answer.status_code == 200, (kind, answer.text)
        double.fail(kind, op="put")
        assert place.put(f"{kind}/y", b"small").status_code == 200
        assert place.there.read(f"{place.root}{kind}/x") == BIG and place.there.read(f"{place.root}{kind}/y") == b"small"
        double.fail(kind, op="delete")
        assert place.delete(f"{kind}/x").status_code == 200 and place.names() == [f"{kind}/y"]
        assert place.delete(f"{kind}", recursive="true").status_code == 200
        wait_for(place.is_clean)


def test_what_stays_is_said_and_keeps_nothing(double, tmp_path):
    place = Place(double, InMemory(double), tmp_path, args=["--s3-patience", "2s"])     # what fails for good takes so long
    assert place.put("kept", b"1").status_code == 200
    for kind, op, data, status, words in (
            ("denied", "put", b"x", 403, "AccessDenied"), ("denied", "create", BIG, 403, "AccessDenied"), ("denied", "part", BIG, 403, ""),
            ("denied", "complete", BIG, 403, ""), ("denied", "list", b"x", 403, "put, delete and list"),
            ("full", "put", b"x", 503, "delete what is not needed"), ("full", "part", BIG, 503, "QuotaExceeded"),
            ("503", "part", BIG, 503, "SlowDown"), ("error200", "complete", BIG, 503, ""), ("reset", "put", b"x", 503, "")):
        double.fail(kind, times=100000, op=op)
        answer = place.put("new", data)
        assert answer.status_code == status and words in answer.text, (kind, op, answer.status_code, answer.text)
        assert (status == 503) == ("Retry-After" in answer.headers) and double.secret not in answer.text
        double.forget_failures()
        assert place.names() == ["kept"] and place.listed() == ["kept"], (kind, op)
        wait_for(place.is_clean)
    double.fail("denied", times=1000, op="delete")
    assert place.delete("kept").status_code == 403 and place.names() == ["kept"]
    double.forget_failures()
    double.buckets.clear()
    for answer in (place.put("new", b"x"), place.delete("kept"), place.get("kept")):
        assert answer.status_code == 400 and "make the bucket" in answer.text, answer.text
    double.buckets.add(BUCKET)
    assert place.put("new", BIG).status_code == 200 and place.get("new").content == BIG
    assert requests.get(place.server.url + "/health", timeout=60).status_code == 200
    assert place.server.stop() == 0


def test_a_completion_whose_answer_is_lost(broken):
    """It is judged by what the file says of itself, not by its name and size, which another may have."""
    place, double = broken, broken.s3
    old = BIG[:-3] + b"old"
    assert place.put("x", old).status_code == 200
    double.fail("lost", times=2, op="complete")
    assert place.put("x", BIG).status_code == 200 and place.get("x").content == BIG
    double.fail("hold", op="complete")
    answers = []
    sender = threading.Thread(target=lambda: answers.append(place.put("x", old)))
    sender.start()
    wait_for(lambda: double.held)
    double.uploads.clear()      # as an operator's rule for unfinished uploads would do it
    double.gate.set()
    sender.join(60)
    assert answers[0].status_code == 503 and "send the file again" in answers[0].text
    assert place.get("x").content == BIG
    wait_for(place.is_clean)


POINTS = {"put.before": (b"1", []), "put.after": (b"1", ["x"]), "upload.created": (BIG, []), "mark.put": (BIG, []), "upload.part_sent": (BIG, []),
          "complete.before": (BIG, []), "complete.after": (BIG, ["x"])}


@pytest.mark.parametrize("point", POINTS)
def test_killed_there_is_whole_or_not_at_all(double, tmp_path, point):
    """The program dies; nobody sees half a file, and the next start gives up what was sent, and nothing of others."""
    data, seen = POINTS[point]
    passing = 2 if point == "upload.part_sent" else 1
    place = Place(double, InMemory(double), tmp_path, env={"CAIRN_FAILPOINT": f"blob.s3.{point}=kill:{passing}"})
    theirs = {"bucket": BUCKET, "name": place.root + "x", "parts": {}, "at": 1.0, "meta": {}}
    double.uploads["theirs"] = theirs
    with pytest.raises(requests.ConnectionError):
        place.put("x", data)
    place.server.process.proc.wait(60)
    assert place.names() == seen
    mine = [u for u in double.uploads if u != "theirs"]
    place.start(env={"CAIRN_FAILPOINT": ""})
    assert place.listed() == seen and (not seen or place.get("x").content == data)
    wait_for(lambda: not place.marks())
    # An upload that has no part yet may stay: it holds no byte, and the service's own rules remove it.
    assert list(double.uploads) == (["theirs"] if point != "upload.created" else ["theirs", *mine])
    assert all(not double.uploads[u]["parts"] for u in mine if u in double.uploads)
    assert place.put("x", BIG).status_code == 200 and place.get("x").content == BIG
    assert place.server.stop() == 0


def test_killed_while_a_folder_is_deleted(double, tmp_path):
    """What is gone is gone, and the same request goes on."""
    place = Place(double, InMemory(double), tmp_path, env={"CAIRN_FAILPOINT": "blob.s3.bucket.deleted=kill:3"})
    for name in ("d/1", "d/2", "d/3", "e"):
        assert place.put(name, b"x").status_code == 200
    with pytest.raises(requests.ConnectionError):
        place.delete("d", recursive="true")
    place.server.process.proc.wait(60)
    assert place.names() == ["d/3", "e"]
    place.start(env={"CAIRN_FAILPOINT": ""})
    assert place.delete("d", recursive="true").status_code == 200 and place.names() == ["e"]
    assert place.server.stop() == 0


def test_what_other_servers_left_goes_after_a_day(double, tmp_path):
    place = Place(double, InMemory(double), tmp_path, start=False)
    old, new, odd = "0123456789abcdef.0123456789abcdef.7", "0123456789abcdef.0123456789abcdef.8", "notes.txt"
    for mark, when in ((old, 1.0), (new, time.time()), (odd, 1.0)):
        double.uploads[mark] = {"bucket": BUCKET, "name": f"{place.top}/x", "parts": {}, "at": 1.0, "meta": {}}
        double.objects[BUCKET, f"{place.top}/{MARKS}{mark}"] = (f"{place.top}/x\n{mark}".encode(), when)
    out = "0123456789abcdef.0123456789abcdef.9"      # names what lies outside of the place
    double.uploads[out] = {"bucket": BUCKET, "name": "elsewhere/x", "parts": {}, "at": 1.0, "meta": {}}
    double.objects[BUCKET, f"{place.top}/{MARKS}{out}"] = (f"elsewhere/x\n{out}".encode(), 1.0)
    place.start()
    wait_for(lambda: old not in place.marks())
    assert place.marks() == [new, out, odd] and set(double.uploads) == {new, odd, out}
    assert place.server.stop() == 0


# ---- --s3-direct ------------------------------------------------------------------------------------------------------------------


def multipart(place, what, path, **body):
    name = path.rsplit("/", 1)[-1]
    folder = f"{place.proxy.removeprefix(PROXY)}/{path}".rsplit("/", 1)[0]
    return requests.post(f"{place.server.url}/api/2.0/mlflow-artifacts/mpu/{what}{folder}", json=dict(path=name, **body), timeout=60)


def send_parts(made, *chunks):
    return [{"part_number": c["part_number"], "url": c["url"], "etag": requests.put(c["url"], data=data, timeout=60).headers["ETag"]}
            for c, data in zip(made["credentials"], chunks)]


@pytest.fixture
def direct(radosgw, tmp_path):
    one = Place(radosgw, Real(radosgw), tmp_path, args=["--s3-direct"])
    yield one
    assert one.server.stop() == 0


def test_an_end_that_nobody_knows_is_asked_again(double, tmp_path):
    """Only where the service has said that there is no such upload and no such file is that the answer, which is for good."""
    place = Place(double, InMemory(double), tmp_path, args=["--s3-direct", "--s3-patience", "1s"])
    made = multipart(place, "create", "d/x", num_parts=1).json()
    double.uploads[made["upload_id"].split(".", 1)[1]]["parts"][1] = ('"etag"', b"bytes")
    parts = [{"part_number": 1, "etag": '"etag"', "url": made["credentials"][0]["url"]}]
    double.fail("lost", op="complete")
    double.fail("500", op="head", times=100000)
    for upload_id in (made["upload_id"], made["upload_id"], "0" * 32 + ".nobody"):      # completed, answer lost; again; never begun
        answer = multipart(place, "complete", "d/x", upload_id=upload_id, parts=parts)
        assert answer.status_code == 503 and answer.headers["Retry-After"], answer.text
    double.forget_failures()
    assert multipart(place, "complete", "d/x", upload_id="0" * 32 + ".nobody", parts=parts).status_code == 400
    assert multipart(place, "complete", "d/x", upload_id=made["upload_id"], parts=parts).status_code == 200
    assert place.there.read(place.root + "d/x") == b"bytes" and place.is_clean()
    assert place.server.stop() == 0


def test_parts_and_files_straight_from_the_service(direct):
    place = direct
    made = multipart(place, "create", "d/x", num_parts=2).json()
    parts = send_parts(made, BIG[:6 << 20], BIG[6 << 20:])
    assert place.names() == [] and len(place.marks()) == 1
    for bad in (dict(upload_id=made["upload_id"] + "x"), dict(upload_id="0" * 32 + ".nobody"), dict(upload_id=""), dict(parts=[]),
                dict(parts=[parts[0], dict(parts[1], etag='"' + "0" * 32 + '"')])):
        assert multipart(place, "complete", "d/x", **{**dict(upload_id=made["upload_id"], parts=parts), **bad}).status_code == 400, bad
    assert multipart(place, "complete", "d/other", upload_id=made["upload_id"], parts=parts).status_code == 400     # of another file
    for _ in range(2):      # an answer that was lost
        answer = multipart(place, "complete", "d/x", upload_id=made["upload_id"], parts=parts)
        assert answer.status_code == 200, answer.text
    assert place.names() == ["d/x"] and place.is_clean() and place.get("d/x").content == BIG
    assert multipart(place, "create", "d", num_parts=1).status_code == 400          # a folder
    assert multipart(place, "create", "d/x/y", num_parts=1).status_code == 400      # a file
    assert multipart(place, "create", MARKS + "y", num_parts=1).status_code == 400
    made = multipart(place, "create", "d/y", num_parts=1).json()
    send_parts(made, b"y")
    assert multipart(place, "abort", "d/y", upload_id=made["upload_id"]).status_code == 200
    wait_for(place.is_clean)    # the server's own thread may have taken the work
    assert place.names() == ["d/x"]
    made = multipart(place, "create", "d/y", num_parts=2).json()
    answer = multipart(place, "complete", "d/y", upload_id=made["upload_id"], parts=send_parts(made, b"too small", b"y"))
    assert answer.status_code == 400 and "EntityTooSmall" in answer.text
    assert multipart(place, "abort", "d/y", upload_id=made["upload_id"]).status_code == 200
    wait_for(place.is_clean)
    # One PUT, and GETs, by run and through the proxy.
    link = place.post(f"{API}/artifacts/presigned-upload-url", {"run_id": place.run, "path": "d/one", "expiration": 60})
    assert requests.put(link["presigned_url"], data=b"one", timeout=60).status_code == 200
    assert place.get("d/one").content == b"one"
    link = place.post(f"{API}/artifacts/presigned-download-url", {"run_id": place.run, "path": "d/x"})
    assert int(link["file_size"]) == len(BIG) and requests.get(link["presigned_url"], timeout=60).content == BIG
    link = requests.get(f"{place.server.url}/api/2.0/mlflow-artifacts/presigned{place.proxy.removeprefix(PROXY)}/d/x", timeout=60).json()
    assert requests.get(link["url"], headers={"Range": "bytes=5-9"}, timeout=60).content == BIG[5:10]
    # Where nothing is written no URL is given for it.
    place.run, place.root = place.new_run("inner/exp")
    place.there.write(place.root + "kept", b"1")
    answer = requests.post(f"{place.server.url}{API}/artifacts/presigned-upload-url", json={"run_id": place.run, "path": "x"}, timeout=60)
    assert answer.status_code == 501
    link = place.post(f"{API}/artifacts/presigned-download-url", {"run_id": place.run, "path": "kept"})
    assert requests.get(link["presigned_url"], timeout=60).content == b"1"


def test_the_client_sends_parts_itself(direct, tmp_path, monkeypatch):
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    import mlflow

    for name in ("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE"):
        monkeypatch.setenv(name, str(6 << 20))
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")
    place = direct
    (tmp_path / "big").write_bytes(BIG)
    mlflow.set_tracking_uri(place.server.url)
    repository = get_artifact_repository("mlflow-artifacts:" + place.proxy.removeprefix(PROXY))
    repository.log_artifact(str(tmp_path / "big"), "d")
    assert place.there.read(place.root + "d/big") == BIG and place.is_clean()
    assert not [line for line in place.server.log(100000).splitlines() if "PUT" in line and "d/big" in line]
    mlflow.set_tracking_uri(None)


def test_without_the_option_clients_send_one_put(broken):
    place = broken
    for answer in (multipart(place, "create", "x", num_parts=1), requests.get(
            f"{place.server.url}/api/2.0/mlflow-artifacts/presigned{place.proxy.removeprefix(PROXY)}/x", timeout=60)):
        assert answer.status_code == 501, answer.text
    assert place.is_clean()
