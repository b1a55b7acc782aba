"""--s3-direct: the real client sends parts and gets files straight from radosgw, found out by itself from server-info."""

import hashlib
import http.client
import json
import os
import subprocess
import sys
import textwrap
import time
import urllib.request

import pytest

import s3servers

pytestmark = pytest.mark.cairn_only

MIB = 1 << 20
PROXY = "/api/2.0/mlflow-artifacts/"


def ask(server, method, path, body=None):
    conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    conn.request(method, path, body=None if body is None else json.dumps(body), headers={"Content-Type": "application/json"})
    answer = conn.getresponse()
    data = answer.read()
    conn.close()
    return answer.status, json.loads(data) if data[:1] == b"{" else data


def put(url, data):
    with urllib.request.urlopen(urllib.request.Request(url, data=data, method="PUT"), timeout=60) as answer:
        return answer.headers["ETag"]


def get(url, **fields):
    with urllib.request.urlopen(urllib.request.Request(url, headers=fields), timeout=60) as answer:
        return answer.read()


@pytest.fixture
def server(radosgw, on_s3):
    return on_s3(radosgw, args=["--s3-direct"])


def staged(s3, prefix):
    uploads = s3.call("GET", f"/{s3servers.BUCKET}", [("uploads", ""), ("prefix", prefix)]).decode().count("<Upload>")
    keys = s3.call("GET", f"/{s3servers.BUCKET}", [("list-type", "2"), ("prefix", prefix + "/staging/")]).decode().count("<Key>")
    return uploads + keys


def test_the_real_client_uses_it(server, tmp_path):
    """No setting of the client but the size from which files count as large."""
    big, small = os.urandom(23 * MIB + 5), b"hello"
    (tmp_path / "big.bin").write_bytes(big)
    (tmp_path / "small.txt").write_bytes(small)
    script = textwrap.dedent(f"""
        import mlflow, os
        with mlflow.start_run() as run:
            mlflow.log_artifact({str(tmp_path / 'big.bin')!r}, "dir")
            mlflow.log_artifact({str(tmp_path / 'small.txt')!r})
        got = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, dst_path={str(tmp_path / 'down')!r})
    """)
    env = dict(os.environ, MLFLOW_TRACKING_URI=server.url, MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE=str(6 * MIB),
               MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE=str(6 * MIB), MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE=str(5 * MIB))
    (tmp_path / "down").mkdir()
    subprocess.run([sys.executable, "-c", script], env=env, check=True, timeout=100)
    assert (tmp_path / "down" / "dir" / "big.bin").read_bytes() == big
    assert (tmp_path / "down" / "small.txt").read_bytes() == small
    lines = [line for line in server.log(100000).splitlines() if "PUT" in line and "big.bin" in line]
    assert not lines, "the large file went through the proxy"


def test_by_hand(server, radosgw, prefix):
    data = os.urandom(11 * MIB)
    status, info = ask(server, "GET", "/api/3.0/mlflow/server-info")
    assert info["multipart_uploads_enabled"] and info["multipart_downloads_enabled"]
    status, made = ask(server, "POST", PROXY + "mpu/create/some/dir", {"path": "/some/where/x.bin", "num_parts": 2})
    assert status == 200 and [c["part_number"] for c in made["credentials"]] == [1, 2]
    parts = [{"part_number": c["part_number"], "etag": put(c["url"], chunk), "url": c["url"]}
             for c, chunk in zip(made["credentials"], (data[:6 * MIB], data[6 * MIB:]))]
    done = {"path": "/some/where/x.bin", "upload_id": made["upload_id"], "parts": parts}
    assert ask(server, "POST", PROXY + "mpu/complete/some/dir", done)[0] == 200
    status, link = ask(server, "GET", PROXY + "presigned/some/dir/x.bin")
    assert (status, link["file_size"]) == (200, len(data)) and "headers" not in link or link.get("headers") == {}
    assert get(link["url"]) == data
    assert get(link["url"], Range="bytes=100-199") == data[100:200]
    status, listing = ask(server, "GET", PROXY + "artifacts?path=some/dir")
    assert listing["files"] == [{"path": "x.bin", "is_dir": False, "file_size": len(data)}]
    conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    conn.request("GET", PROXY + "artifacts/some/dir/x.bin")
    answer = conn.getresponse()
    assert answer.read() == data and answer.getheader("ETag").strip('"') == hashlib.sha256(data).hexdigest()
    assert staged(radosgw, prefix) == 0
    # Again: it is no longer open.
    assert ask(server, "POST", PROXY + "mpu/complete/some/dir", done)[0] == 400


def test_links_of_runs_are_good_as_long_as_they_are_asked_for(server):
    run = ask(server, "POST", "/api/2.0/mlflow/runs/create", {"experiment_id": "0"})[1]["run"]["info"]["run_id"]
    for name, data in (("row.txt", b"small"), ("object.bin", os.urandom(50000))):
        put(f"{server.url}{PROXY}artifacts/0/{run}/artifacts/{name}", data)
        status, link = ask(server, "POST", "/api/2.0/mlflow/artifacts/presigned-download-url",
                           {"run_id": run, "path": name, "expiration": 77})
        assert (status, link["file_size"]) == (200, len(data)) and "X-Amz-Expires=77&" in link["presigned_url"]
        assert get(link["presigned_url"]) == data


def test_wrong_uses_are_refused_and_keep_nothing(server, radosgw, prefix):
    create, complete, abort = (PROXY + "mpu/" + w + "/d" for w in ("create", "complete", "abort"))
    for body in ({"path": "x", "num_parts": 0}, {"path": "x", "num_parts": 10001}, {"num_parts": 1}, {"path": "a/.."},
                 {"path": "dir/"}, {"path": "\\"}):
        assert ask(server, "POST", create, body)[0] == 400, body
    assert ask(server, "POST", PROXY + "mpu/create/..%2Fx", {"path": "x", "num_parts": 1})[0] == 400
    _, made = ask(server, "POST", create, {"path": "x", "num_parts": 2})
    good = [{"part_number": 1, "etag": put(made["credentials"][0]["url"], b"1" * 6 * MIB), "url": ""},
            {"part_number": 2, "etag": put(made["credentials"][1]["url"], b"2"), "url": ""}]
    for upload_id in ("", "x", "0" * 32 + ".", "0" * 32 + ".nobody", made["upload_id"] + "x", "../../objects/ab.x" + "0" * 20):
        assert ask(server, "POST", complete, {"path": "x", "upload_id": upload_id, "parts": good})[0] == 400, upload_id
    for parts in ([], [good[1], good[0]], [dict(good[0], etag="")], [dict(good[0], part_number=0)]):
        assert ask(server, "POST", complete, {"path": "x", "upload_id": made["upload_id"], "parts": parts})[0] == 400, parts
    assert ask(server, "POST", abort, {"path": "x", "upload_id": made["upload_id"]})[0] == 200
    assert ask(server, "POST", abort, {"path": "x", "upload_id": made["upload_id"]})[0] == 200
    end = time.monotonic() + 60     # the server's own thread may have taken the work
    while staged(radosgw, prefix):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert ask(server, "GET", PROXY + "presigned/d/x")[0] == 404
    # A URL is for one part of one upload, and for one method.
    _, made = ask(server, "POST", create, {"path": "x", "num_parts": 1})
    url = made["credentials"][0]["url"]
    for bad in (url.replace("partNumber=1", "partNumber=2"), url.replace("/staging/", "/objects/")):
        with pytest.raises(urllib.error.HTTPError) as e:
            put(bad, b"x")
        assert e.value.code == 403
    with pytest.raises(urllib.error.HTTPError):
        get(url)
    ask(server, "POST", abort, {"path": "x", "upload_id": made["upload_id"]})


def test_off_without_the_option(radosgw, on_s3):
    server = on_s3(radosgw)
    assert not ask(server, "GET", "/api/3.0/mlflow/server-info")[1]["multipart_uploads_enabled"]
    status, answer = ask(server, "POST", PROXY + "mpu/create/d", {"path": "x", "num_parts": 1})
    assert status == 501 and answer["message"].startswith("Multipart upload is not supported for the current artifact repository")
    assert ask(server, "GET", PROXY + "presigned/d/x")[0] == 501
