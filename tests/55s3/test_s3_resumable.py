"""Uploads that go on where they stopped, with the bytes in a bucket: over a restart by kill -9, and nothing is left behind."""

import hashlib
import http.client

import pytest

import s3servers
from command import Cli

pytestmark = pytest.mark.cairn_only

API = "/api/cairn/v1/"
MIB = 1 << 20


def ask(server, method, path, body=None, **fields):
    conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    try:
        conn.request(method, path, body=body,
                     headers={"Tus-Resumable": "1.0.0", **{k.replace("_", "-"): str(v) for k, v in fields.items()}})
        answer = conn.getresponse()
        answer.data = answer.read()
        return answer
    finally:
        conn.close()


def staged(s3, prefix):
    answer = s3.call("GET", f"/{s3servers.BUCKET}", [("list-type", "2"), ("prefix", prefix + "/staging/")]).decode()
    begun = s3.call("GET", f"/{s3servers.BUCKET}", [("uploads", ""), ("prefix", prefix)]).decode()
    return answer.count("<Key>") + begun.count("<Upload>")


def test_over_a_kill(radosgw, on_s3, prefix, tmp_path):
    data = b"".join(hashlib.sha256(b"%d" % i).digest() * (MIB // 32) for i in range(18))
    server = on_s3(radosgw)
    begun = ask(server, "POST", API + "uploads?path=big.bin", Upload_Length=len(data))
    assert begun.status == 201
    url = API + begun.headers["Location"]
    for at, end in ((0, 3 * MIB + 5), (3 * MIB + 5, 11 * MIB), (11 * MIB, len(data))):
        head = ask(server, "HEAD", url)
        assert (head.status, head.headers["Upload-Offset"]) == (200, str(at))
        answer = ask(server, "PATCH", url, body=data[at:end], Upload_Offset=at, Content_Type="application/offset+octet-stream")
        assert answer.status == 204, answer.data
        server.kill()
        server = on_s3(radosgw)
    assert ask(server, "GET", API + "artifacts/file?path=big.bin").data == data
    given_up = ask(server, "POST", API + "uploads?path=other.bin", Upload_Length=len(data))
    url = API + given_up.headers["Location"]
    answer = ask(server, "PATCH", url, body=data[:9 * MIB], Upload_Offset=0, Content_Type="application/offset+octet-stream")
    assert answer.status == 204, answer.data
    assert staged(radosgw, prefix) > 0
    assert ask(server, "DELETE", url).status == 204
    Cli(tmp_path).run("server", "gc", "--now", "--data", server.data)
    assert staged(radosgw, prefix) == 0
