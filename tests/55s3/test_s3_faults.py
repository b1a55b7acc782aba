"""S3 that fails, in every way that a service, a network and an operator can make it: what goes away is not seen by clients, what
stays is a 503 with what to do, and nothing half-done is ever taken for done. The service is tests/lib/s3double.py."""

import http.client
import os
import subprocess
import time

import pytest

import cairn
import s3double
from s3ask import PATH, ask

pytestmark = pytest.mark.cairn_only

MIB = 1 << 20
BIG = os.urandom(17 * MIB + 11)


@pytest.fixture
def double():
    one = s3double.Double().start()
    yield one
    one.stop()


def put_and_get(server, name, data):
    status, text, _ = ask(server, "PUT", PATH + name, data)
    assert status == 200, text
    status, got, _ = ask(server, "GET", PATH + name)
    assert (status, got == data) == (200, True)


def test_what_goes_away_is_not_seen(double, on_s3):
    """Each kind of failure at each operation of an upload in parts and of a download."""
    server = on_s3(double)
    kinds = ["500", "503", "429", "reset", "lost", "slow", "truncated", "error200"]
    for n, kind in enumerate(kinds):
        double.forget_failures()
        for op in ("create", "part", "complete", "copy", "head", "get"):
            double.fail(kind, times=1, op=op)
        double.fail(kind, times=1, op="part", after=1)
        data = BIG[n:]
        put_and_get(server, f"{kind}.bin", data)
        assert ask(server, "GET", PATH + f"{kind}.bin", Range="bytes=8388600-8388700")[1] == data[8388600:8388701]
        double.forget_failures()
        double.fail(kind, op="put")
        put_and_get(server, f"small-{kind}.bin", data[:100000])
    happened = {kind for _, kind in double.log}
    assert set(kinds) <= happened
    end = time.monotonic() + 20
    while [n for _, n in double.objects if "/staging/" in n] and time.monotonic() < end:
        time.sleep(0.05)
    assert not [n for _, n in double.objects if "/staging/" in n]


def test_a_download_that_breaks_again_and_again(double, on_s3):
    """Resumed where it broke; and when it breaks for good, the client sees a broken answer, never a short one."""
    server = on_s3(double, args=["--s3-patience", "2s"])
    assert ask(server, "PUT", PATH + "a.bin", BIG)[0] == 200
    double.fail("truncated", times=4, op="get")
    assert ask(server, "GET", PATH + "a.bin")[1] == BIG
    double.fail("truncated", times=1, op="get")
    double.fail("reset", times=10000, op="get")
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ask(server, "GET", PATH + "a.bin")
    double.forget_failures()
    assert ask(server, "GET", PATH + "a.bin")[1] == BIG


def test_what_stays_is_a_503_and_the_server_goes_on(double, on_s3):
    server = on_s3(double, args=["--s3-patience", "1s"])
    put_and_get(server, "before.bin", BIG)
    for kind, op in (("503", "part"), ("error200", "complete"), ("lost", "copy"), ("500", "create")):
        double.fail(kind, times=10000, op=op)
        status, text, answer = ask(server, "PUT", PATH + "broken.bin", BIG[1:])
        assert status == 503 and answer.getheader("Retry-After"), (kind, op, status, text)
        assert double.secret.encode() not in text
        double.forget_failures()
        assert ask(server, "GET", PATH + "broken.bin")[0] == 404
    double.fail("503", times=10000)
    assert ask(server, "PUT", PATH + "small.bin", BIG[:100000])[0] == 503
    assert ask(server, "GET", PATH + "before.bin")[0] == 503
    # What needs no bytes works meanwhile: small objects lie in the database.
    put_and_get(server, "tiny.txt", b"tiny")
    double.forget_failures()
    put_and_get(server, "after.bin", BIG[2:])
    assert ask(server, "GET", PATH + "before.bin")[1] == BIG


def test_a_service_that_is_away(double, on_s3):
    server = on_s3(double, args=["--s3-patience", "1s"])
    double.stop()
    began = time.monotonic()
    assert ask(server, "PUT", PATH + "a.bin", BIG)[0] == 503
    assert time.monotonic() - began < 20
    assert ask(server, "GET", "/health")[0] == 200
    assert server.stop() == 0
    with pytest.raises(cairn.StartError) as e:
        on_s3(double, args=["--s3-patience", "1s"])
    assert "s3://cairn" in str(e.value), str(e.value)


def test_a_server_that_is_killed_in_mid_upload(double, on_s3):
    """Killed after some parts, and between completion and copy: the next start takes everything away."""
    for op in ("part", "copy"):
        server = on_s3(double)
        double.fail("stall", times=1, op=op, after=1 if op == "part" else 0)
        conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        conn.putrequest("PUT", PATH + "half.bin")
        conn.putheader("Content-Length", str(len(BIG)))
        conn.endheaders()
        conn.send(BIG)
        end = time.monotonic() + 30
        while (op, "stall") not in double.log:
            assert time.monotonic() < end
            time.sleep(0.02)
        server.kill()
        conn.close()
        assert double.uploads or [n for _, n in double.objects if "/staging/" in n]
        server = on_s3(double)
        while double.uploads or [n for _, n in double.objects if "/staging/" in n]:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert ask(server, "GET", PATH + "half.bin")[0] == 404
        put_and_get(server, "half.bin", BIG)
        assert ask(server, "DELETE", PATH + "half.bin")[0] in (200, 204)
        assert server.stop() == 0
        double.log.clear()
        double.objects = {k: v for k, v in double.objects.items() if k[1].endswith("FORMAT")}


def test_another_region(on_s3):
    """The bucket lies elsewhere: the error names the region, the redirect carries it in a field."""
    double = s3double.Double(region="eu-north-7").start()
    server = on_s3(double)
    put_and_get(server, "a.bin", BIG)
    assert "AuthorizationHeaderMalformed" in [what for _, what in double.log]
    assert len([w for _, w in double.log if w == "AuthorizationHeaderMalformed"]) == 1, "the region was not remembered"
    double.region = "eu-south-8"    # moved: HEAD, POST and DELETE are answered with a redirect
    assert ask(server, "HEAD", PATH + "a.bin")[0] == 200
    assert "PermanentRedirect" in [what for _, what in double.log]
    put_and_get(server, "b.bin", BIG[1:])
    assert "eu-south-8" in server.log(1000)
    double.stop()


def test_a_redirect_to_another_host(double, on_s3):
    other = s3double.Double().start()
    server = on_s3(double)
    other.objects = double.objects
    double.redirect_to = other.endpoint
    put_and_get(server, "a.bin", BIG)
    assert ("put", None) not in [x for x in double.log if x[0] == "refused"] and other.log
    other.stop()


def test_virtual_host_style(double, on_s3):
    server = on_s3(double, args=["--s3-endpoint", f"http://localhost:{double.port}", "--s3-addressing", "virtual"])
    put_and_get(server, "a.bin", BIG)
    assert [n for b, n in double.objects if b == "cairn" and "/objects/" in n]


def test_https(on_s3, tmp_path):
    """Bodies are unsigned then, with a checksum; a certificate of nobody is refused."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
                    "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    double = s3double.Double(tls=(cert, key)).start()
    server = on_s3(double, args=["--s3-ca-file", str(cert)])
    put_and_get(server, "a.bin", BIG[:9 * MIB])
    assert server.stop() == 0
    with pytest.raises(cairn.StartError) as e:
        on_s3(double)
    assert "certificate" in str(e.value).lower(), str(e.value)
    double.stop()


def test_web_identity(double, on_s3, tmp_path):
    """A token of an issuer becomes credentials that expire; they are renewed before that, and when they are refused before."""
    token = tmp_path / "token"
    token.write_text("eyJ.first.token\n")
    double.web_tokens = {"eyJ.first.token"}
    env = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
           "AWS_ROLE_ARN": "arn:aws:iam::1:role/cairn"}
    server = on_s3(double, env=env, args=["--log-level", "debug"])
    put_and_get(server, "a.bin", BIG)
    assert [op for op, _ in double.log].count("sts") == 1
    # The service forgets the session: InvalidAccessKeyId; the file holds another token by now.
    token.write_text("eyJ.second.token")
    double.web_tokens = {"eyJ.second.token"}
    double.sessions.clear()
    put_and_get(server, "b.bin", BIG[1:])
    assert [op for op, _ in double.log].count("sts") == 2
    # Expired: ExpiredToken.
    double.sessions = {k: (secret, session, 0) for k, (secret, session, _) in double.sessions.items()}
    put_and_get(server, "c.bin", BIG[2:])
    assert [op for op, _ in double.log].count("sts") == 3
    # Nobody answers for the token any more.
    double.web_tokens = set()
    double.sessions.clear()
    assert ask(server, "PUT", PATH + "d.bin", BIG[3:])[0] == 503
    log = server.log(100000)
    for secret in ("eyJ.", "session+token", "secret1", "secret2", "Signature="):
        assert secret not in log, secret


def test_credentials_that_change_in_their_file(double, on_s3, tmp_path):
    aws = tmp_path / "credentials"
    aws.write_text(f"[default]\naws_access_key_id = {double.access}\naws_secret_access_key = {double.secret}\n")
    server = on_s3(double, env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SHARED_CREDENTIALS_FILE": str(aws)})
    put_and_get(server, "a.bin", BIG)
    double.access, double.secret = "newaccess", "newsecretnewsecret"
    aws.write_text(f"[default]\naws_access_key_id = {double.access}\naws_secret_access_key = {double.secret}\n")
    put_and_get(server, "b.bin", BIG[1:])
    assert double.secret not in server.log(100000)
