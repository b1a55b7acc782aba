"""The program with its bytes in a bucket: the real client on PostgreSQL and radosgw with a restart in the middle, ranges, memory,
what a broken upload leaves, and what the operator sees when the bucket cannot be used."""

import hashlib
import http.client
import json
import os
import socket
import time

import pytest

import cairn
import killedclient
import s3servers
from s3ask import PATH, ask

pytestmark = pytest.mark.cairn_only

MIB = 1 << 20
ROOM_KIB = 32 * 1024  # a part, the buffers of libcurl, and the library itself


def piece(i):
    return hashlib.sha256(b"%d" % i).digest() * (MIB // 32)


def keys(s3, prefix):
    answer = s3.call("GET", f"/{s3servers.BUCKET}", [("list-type", "2"), ("prefix", prefix)]).decode()
    return [part.split("</Key>")[0] for part in answer.split("<Key>")[1:]]


def uploads(s3, prefix):
    answer = s3.call("GET", f"/{s3servers.BUCKET}", [("uploads", ""), ("prefix", prefix)]).decode()
    return answer.count("<Upload>")


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_real_client_with_a_restart(radosgw, on_s3, postgres, prefix, tmp_path, monkeypatch):
    """Artifacts and a model of pip mlflow; the server is killed in the middle of them, and starts once more before they are read."""
    store = postgres.new_database()
    server = on_s3(radosgw, store=store)
    files = tmp_path / "files"
    run_id, model, uri = killedclient.log(server, files, monkeypatch)
    assert server.stop() == 0
    server = on_s3(radosgw, store=store)
    killedclient.compare(server, run_id, files, model, uri, tmp_path / "down")
    names = keys(radosgw, prefix)
    assert f"{prefix}/FORMAT" in names
    digest = hashlib.sha256((files / "deep/er/big.bin").read_bytes()).hexdigest()
    assert [n for n in names if n.startswith(f"{prefix}/objects/{digest[:2]}/{digest}-")]
    wait_for(lambda: not keys(radosgw, prefix + "/staging/") and uploads(radosgw, prefix) == 0)


def test_ranges_head_and_conditions(radosgw, on_s3):
    server = on_s3(radosgw)
    data = os.urandom(9 * MIB + 3)
    assert ask(server, "PUT", PATH + "a.bin", data)[0] == 200
    status, got, answer = ask(server, "GET", PATH + "a.bin")
    assert (status, got == data, answer.getheader("Accept-Ranges")) == (200, True, "bytes")
    etag = answer.getheader("ETag")
    assert etag.strip('"') == hashlib.sha256(data).hexdigest()
    for spec, low, high in (("0-9", 0, 10), (f"{8 * MIB - 5}-{8 * MIB + 5}", 8 * MIB - 5, 8 * MIB + 6), ("-7", len(data) - 7, len(data)),
                            (f"{len(data) - 1}-", len(data) - 1, len(data))):
        status, got, answer = ask(server, "GET", PATH + "a.bin", Range=f"bytes={spec}")
        assert (status, got == data[low:high]) == (206, True), spec
        assert answer.getheader("Content-Range") == f"bytes {low}-{high - 1}/{len(data)}"
    status, got, answer = ask(server, "GET", PATH + "a.bin", Range=f"bytes={len(data)}-")
    assert (status, got, answer.getheader("Content-Range")) == (416, b"", f"bytes */{len(data)}")
    status, got, answer = ask(server, "HEAD", PATH + "a.bin")
    assert (status, got, answer.getheader("Content-Length")) == (200, b"", str(len(data)))
    assert ask(server, "GET", PATH + "missing")[0] == 404


def test_big_files_in_flat_memory(radosgw, on_s3):
    """96 MiB up and down; 12 clients that do not read; the server's memory stays."""
    server = on_s3(radosgw)
    n = 96
    assert ask(server, "PUT", PATH + "first.bin", os.urandom(100000))[0] == 200  # libcurl is there now
    before, peak = server.rss_kib(), 0
    conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    conn.putrequest("PUT", PATH + "big.bin")
    conn.putheader("Content-Length", str(n * MIB))
    conn.endheaders()
    for i in range(n):
        conn.send(piece(i))
        peak = max(peak, server.rss_kib())
    answer = conn.getresponse()
    assert (answer.status, answer.read()) == (200, b"{}")
    conn.request("GET", PATH + "big.bin")
    answer = conn.getresponse()
    for i in range(n):
        assert answer.read(MIB) == piece(i)
        peak = max(peak, server.rss_kib())
    assert answer.read() == b""
    stalled = []
    for _ in range(12):
        one = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.sendall(f"GET {PATH}big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        stalled.append(one)
    for one in stalled:
        assert one.recv(15) == b"HTTP/1.1 200 OK"
    for _ in range(5):
        assert ask(server, "GET", "/health")[:2] == (200, b"OK")
    peak = max(peak, server.rss_kib())
    for one in stalled:
        one.close()
    assert "asan" in str(server.binary) or peak - before < ROOM_KIB, (before, peak)


def test_broken_uploads_leave_nothing(radosgw, on_s3, prefix):
    """Clients that go away after some parts, and a server that is killed: after the next start nothing is staged."""
    server = on_s3(radosgw)

    def half(n):
        one = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        one.sendall(f"PUT {PATH}half.bin HTTP/1.1\r\nHost: localhost\r\nContent-Length: {64 * MIB}\r\n\r\n".encode())
        for i in range(n):
            one.sendall(piece(i))
        return one

    one = half(20)
    wait_for(lambda: uploads(radosgw, prefix) == 1)
    one.close()
    wait_for(lambda: uploads(radosgw, prefix) == 0)
    one = half(20)
    wait_for(lambda: uploads(radosgw, prefix) == 1)
    server.kill()
    one.close()
    assert uploads(radosgw, prefix) == 1
    server = on_s3(radosgw)
    wait_for(lambda: uploads(radosgw, prefix) == 0)
    assert ask(server, "GET", PATH + "half.bin")[0] == 404
    assert [k for k in keys(radosgw, prefix) if not k.endswith("/FORMAT")] == []


def test_missing_bytes_are_found_and_said(radosgw, on_s3, prefix):
    server = on_s3(radosgw)
    assert ask(server, "PUT", PATH + "gone.bin", os.urandom(MIB))[0] == 200
    (key,) = [k for k in keys(radosgw, prefix) if "/objects/" in k]
    radosgw.call("DELETE", f"/{s3servers.BUCKET}/{key}")
    for method in ("GET", "HEAD"):
        assert ask(server, method, PATH + "gone.bin")[0] in (500, 503), method
    assert server.stop() == 0
    import subprocess
    argv = [str(server.binary), "server", "check", "--data", str(server.data), "--blobs", server.blobs, *server.args]
    done = subprocess.run(argv, env=server.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert done.returncode != 0 and key.rsplit("/", 1)[1][:64] in done.stdout, done.stdout


def refused(on_s3, *args, **kwargs):
    with pytest.raises(cairn.StartError) as e:
        on_s3(*args, **kwargs)
    assert s3servers.SECRET not in str(e.value)
    return str(e.value)


def test_what_cannot_be_used_is_refused_with_a_hint(radosgw, on_s3, prefix, tmp_path):
    assert "format" in (radosgw.call("PUT", f"/{s3servers.BUCKET}/{prefix}/other/FORMAT", body=b"cairn-blobs 9\n") and "" or
                        refused(on_s3, radosgw, where=prefix + "/other"))
    text = refused(on_s3, radosgw, env={"AWS_SECRET_ACCESS_KEY": "wrongwrongwrongwrong"})
    assert "SignatureDoesNotMatch" in text or "403" in text, text
    assert "wrongwrong" not in text
    text = refused(on_s3, radosgw, env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""})
    assert "AWS_ACCESS_KEY_ID" in text, text
    server = cairn.CairnServer(tmp_path / "other", blobs="s3://no-such-bucket/x", args=["--s3-endpoint", radosgw.endpoint], env=radosgw.env())
    with pytest.raises(cairn.StartError) as e:
        server.start()
    assert "NoSuchBucket" in str(e.value) and "make the bucket no-such-bucket" in str(e.value)


def test_credentials_of_a_profile(radosgw, on_s3, tmp_path):
    """From files; and when they change, the server reads them again."""
    aws = tmp_path / "credentials"
    aws.write_text(f"[default]\naws_access_key_id = nobody\naws_secret_access_key = nothing\n\n"
                   f"[cairn]\naws_access_key_id = {radosgw.access}\naws_secret_access_key = {radosgw.secret}\n")
    env = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SHARED_CREDENTIALS_FILE": str(aws)}
    server = on_s3(radosgw, args=["--s3-profile", "cairn"], env=env)
    data = os.urandom(MIB)
    assert ask(server, "PUT", PATH + "a.bin", data)[0] == 200
    assert ask(server, "GET", PATH + "a.bin")[1] == data
    assert radosgw.secret not in server.log(1000)


def test_backup_names_what_lies_in_the_bucket(radosgw, on_s3, tmp_path):
    import subprocess
    server = on_s3(radosgw)
    data = os.urandom(MIB)
    assert ask(server, "PUT", PATH + "a.bin", data)[0] == 200
    dest = tmp_path / "backup"
    done = subprocess.run([str(server.binary), "server", "backup", str(dest), "--data", str(server.data)], env=server.env,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    lines = [json.loads(line) for line in (dest / "manifest.jsonl").read_text().splitlines()]
    assert lines[1:] == [{"sha256": hashlib.sha256(data).hexdigest(), "gen": 1, "bytes": MIB}]
