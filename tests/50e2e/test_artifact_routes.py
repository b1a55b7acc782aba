"""The routes of cairn's own API for artifacts: lists with pages, bytes, folders as zip and tar, removing."""

import base64
import hashlib
import io
import socket
import tarfile
import zipfile

import numpy as np
import pytest

pytestmark = pytest.mark.cairn_only

API = "/api/cairn/v1/artifacts"
BIG = np.random.default_rng(3).bytes(1 << 20)
FILES = {"a.txt": b"hello", "e/b.bin": b"\0" * 40000, "ü x.txt": "ü".encode(), "empty": b"", "big": BIG,
         "long/" + "l" * 120 + "/" + "m" * 200: b"long", "e-/c": b"c", "e/d/f/g": b"deep"}


@pytest.fixture
def tree(rest, run):
    """A run with the files; yields the query that names it."""
    for path, data in FILES.items():
        answer = rest.call("PUT", API + "/file", params={"run_id": run, "path": "d/" + path}, data=data)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"path": "d/" + path, "is_dir": False, "size": str(len(data)),
                                 "sha256": hashlib.sha256(data).hexdigest()}
    return {"run_id": run}


def test_lists_have_sizes_and_pages(rest, tree):
    def page(**more):
        answer = rest.get(API, params={**tree, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    files = page(path="d")["files"]
    assert [f["path"] for f in files] == ["d/a.txt", "d/big", "d/e", "d/e-", "d/empty", "d/long", "d/ü x.txt"]
    assert [f.get("size") for f in files] == ["5", str(len(BIG)), None, None, "0", None, "2"]
    assert files[1]["sha256"] == hashlib.sha256(BIG).hexdigest()
    assert all(int(f["mtime_ms"]) > 1600000000000 for f in files)
    seen, token = [], None
    while token != "":
        one = page(path="d/", max_results=3, **({"page_token": token} if token else {}))
        seen += one["files"]
        token = one.get("next_page_token", "")
    assert seen == files
    assert page(path="d/a.txt") == {"files": [files[0]], "is_file": True}
    assert page(path="none") == {}
    assert rest.get(API, params={**tree, "max_results": 0}).status_code == 400
    assert rest.get(API).status_code == 200


def test_folders_leave_as_zip_and_tar(rest, tree):
    want = {path: data for path, data in FILES.items()}
    answer = rest.get(API + "/archive", params={**tree, "path": "d"})
    assert answer.headers["Content-Type"] == "application/zip"
    assert 'filename="d.zip"' in answer.headers["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as made:
        assert made.testzip() is None
        assert {i.filename: made.read(i) for i in made.infolist() if not i.is_dir()} == want
        assert {i.filename for i in made.infolist() if i.is_dir()} == {"e/", "e/d/", "e/d/f/", "e-/", "long/",
                                                                      "long/" + "l" * 120 + "/"}
        assert all(i.date_time[0] >= 2024 for i in made.infolist())
    answer = rest.get(API + "/archive", params={**tree, "path": "d", "format": "tar"})
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as made:
        assert {m.name: made.extractfile(m).read() for m in made if m.isfile()} == want
        assert all(m.mtime > 1600000000 for m in made)
    answer = rest.get(API + "/archive", params={**tree, "path": "d/e/b.bin"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as made:
        assert made.namelist() == ["b.bin"]
    answer = rest.get(API + "/archive", params=tree)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as made:
        assert sorted(n for n in made.namelist() if not n.endswith("/")) == sorted("d/" + path for path in want)


def test_folders_of_the_proxy_hold_those_of_runs(rest, exp, run, tree):
    answer = rest.get(API + "/archive", params={"path": str(exp), "format": "tar"})
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as made:
        names = {m.name for m in made if m.isfile()}
    assert names == {f"{run}/artifacts/d/{path}" for path in FILES}


def test_an_index_beyond_its_buffer(rest, run):
    """Long names, so that few entries are enough."""
    names = [f"{i:04}" + "n" * 240 for i in range(400)]
    for name in names:
        assert rest.call("PUT", API + "/file", params={"run_id": run, "path": f"many/{name}"}, data=b"x").ok
    answer = rest.get(API + "/archive", params={"run_id": run, "path": "many"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as made:
        assert made.namelist() == names
        assert made.testzip() is None


def test_ranges_and_digests(rest, tree):
    where = {**tree, "path": "d/big"}
    whole = rest.get(API + "/file", params=where)
    assert whole.content == BIG
    part = rest.get(API + "/file", params=where, headers={"Range": "bytes=1000-1999", "If-Range": whole.headers["ETag"]})
    assert (part.status_code, part.content) == (206, BIG[1000:2000])
    assert part.headers["Repr-Digest"] == whole.headers["Repr-Digest"]
    assert rest.get(API + "/file", params=where, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304


@pytest.mark.parametrize("size", [10, 100000, 1 << 20])
def test_wrong_bytes_are_refused_and_nothing_is_kept(rest, run, size):
    data = b"x" * size
    wrong = "sha-256=:hNiYd/DUBB77a/kaFvAkjy/Vc+avBcGflr7bn4gveII=:"
    answer = rest.call("PUT", API + "/file", params={"run_id": run, "path": "w"}, data=data, headers={"Repr-Digest": wrong})
    assert answer.status_code == 400 and "SHA-256" in answer.json()["error"]["message"]
    assert rest.get(API, params={"run_id": run}).json() == {}


def told(server, head, sent):
    """What the server answers before it closes, when nothing comes behind `sent`."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as conn:
        conn.sendall(f"{head}Host: localhost\r\n".encode() + sent)
        conn.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: conn.recv(65536), b""))


@pytest.mark.parametrize("sent", [b"Content-Length: 10\r\n\r\n01234", b"Content-Length: 100000\r\n\r\n" + b"x" * 50000,
                                  b"Content-Length: 2097152\r\n\r\n" + BIG, b"Content-Length: 10\r\nExpect: 100-continue\r\n\r\n01234",
                                  b"Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n",
                                  b"Transfer-Encoding: chunked\r\n\r\n20000\r\n" + b"x" * 0x20000 + b"\r\n5\r\n0123"],
                         ids=["small", "middle", "large", "expect", "chunked", "large-chunked"])
def test_a_body_shorter_than_it_says(sent, rest, server, run):
    """The client goes away early: nothing is kept, not even the folder."""
    for line in (f"PUT {API}/file?run_id={run}&path=d/short HTTP/1.1\r\n", f"PUT /api/2.0/mlflow-artifacts/artifacts/none/{run}/short HTTP/1.1\r\n"):
        assert told(server, line, sent).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")[:12] in (b"", b"HTTP/1.1 400")
    assert rest.get(API, params={"run_id": run}).json() == {}
    assert rest.get(API, params={"path": f"none/{run}"}).json() == {}


def test_a_body_longer_than_it_says(rest, server, run):
    """What follows is no request: the file has the bytes that were said, and with the digest of all of them nothing is kept."""
    body = b"Content-Length: 5\r\n\r\n01234 6789\r\n\r\n"
    where = f"PUT {API}/file?run_id={run}&path=long HTTP/1.1\r\n"
    digest = b"Repr-Digest: sha-256=:" + base64.b64encode(hashlib.sha256(b"01234 6789").digest()) + b":\r\n"
    assert told(server, where, digest + body).startswith(b"HTTP/1.1 400")
    assert rest.get(API, params={"run_id": run}).json() == {}
    got = told(server, where, body)
    assert got.startswith(b"HTTP/1.1 200") and got.count(b"HTTP/1.1 400") == 1
    assert rest.get(API + "/file", params={"run_id": run, "path": "long"}).content == b"01234"


def test_removing(rest, tree):
    where = {**tree, "path": "d/e"}
    answer = rest.call("DELETE", API + "/file", params=where)
    assert answer.status_code == 400 and "recursive" in answer.json()["error"]["hint"]
    assert rest.call("DELETE", API + "/file", params={**where, "recursive": "true"}).status_code == 200
    assert rest.call("DELETE", API + "/file", params={**where, "recursive": "true"}).status_code == 404
    assert rest.call("DELETE", API + "/file", params={**tree, "path": "d/a.txt"}).status_code == 200
    assert [f["path"] for f in rest.get(API, params={**tree, "path": "d"}).json()["files"]] == [
        "d/big", "d/e-", "d/empty", "d/long", "d/ü x.txt"]


def test_what_is_asked_wrongly(rest, run):
    for query in ({"run_id": run, "model_id": "m-1"}, {"run_id": run, "path": "../x"}, {"path": "a/../b"}):
        assert rest.get(API, params=query).status_code == 400
    assert rest.get(API, params={"run_id": "0" * 32}).status_code == 404
    assert rest.get(API + "/archive", params={"run_id": run, "format": "7z"}).status_code == 400
    assert rest.get(API + "/archive", params={"run_id": run, "path": "none"}).status_code == 404
    assert rest.get(API + "/file", params={"run_id": run}).status_code == 400
