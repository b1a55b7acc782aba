#!/usr/bin/env python3
"""An S3 service in memory that breaks as it is told: for what real servers do too rarely to be tested.

As strict as AWS where a client may be wrong (every signature and every SHA-256 is checked, parts have their least size), and with
the answers that AWS gives for another region, expired tokens and the token service.

    double = Double().start()
    double.fail("503", times=3)                     # the next three requests
    double.fail("lost", op="complete")              # done, but the answer never comes
    double.stop()

Kinds of failure: 500, 503 (SlowDown), 429; reset (nothing is done, the connection is cut); lost (done, then cut); truncated (half
of the answer); slow (the answer drips); shifted (a range, a byte further on than was asked); nameless (a range that is not said which); stall (no answer for long); hold (not before gate.set()); error200 (200 with an error in its body, nothing done);
expired (ExpiredToken); denied (AccessDenied); full (QuotaExceeded). As a program: s3double.py [--chaos N] prints its address; with N, every N-th request or so fails in one of
the ways that go away when tried again."""

import argparse
import base64
import binascii
import hashlib
import json
import random
import re
import socket
import ssl
import sys
import threading
import time
import urllib.parse
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.sax.saxutils import escape

sys.path.insert(0, str(Path(__file__).resolve().parent))
import s3sign  # noqa: E402

PART_MIN = 5 << 20
CHAOS = ["500", "503", "429", "reset", "lost", "truncated", "slow", "error200"]


def crc32c(data):
    table = crc32c.table
    crc = 0xffffffff
    for b in data:
        crc = table[(crc ^ b) & 0xff] ^ (crc >> 8)
    return crc ^ 0xffffffff


def _table():
    out = []
    for i in range(256):
        for _ in range(8):
            i = (i >> 1) ^ (0x82f63b78 if i & 1 else 0)
        out.append(i)
    return out


crc32c.table = _table()


class Refused(Exception):
    def __init__(self, status, code, message="", **fields):
        super().__init__(code)
        self.status, self.code, self.message, self.fields = status, code, message, fields


class Double:
    name = "double"
    is_stopped = False
    access, secret = "doubleaccess", "doublesecretdoublesecret"
    dir = None

    def __init__(self, region="us-east-1", chaos=0, seed=1, port=0, access=None, secret=None, tls=None):
        self.region, self.scheme = region, "https" if tls else "http"
        self.access, self.secret = access or self.access, secret or self.secret
        self.objects, self.uploads, self.buckets = {}, {}, {"cairn"}
        self.meta = {}              # (bucket, name) -> x-amz-meta-* of an upload in parts
        self.sessions = {}          # access key -> (secret, token, expires)
        self.web_tokens = set()     # what the token service takes, beside what
        self.web_check = None       # says of a token that it is good
        self.session_s = 3600
        self.rules, self.lock = [], threading.Lock()
        self.log = []               # (operation, what happened)
        self.redirect_to = None     # 307 to this endpoint
        self.etag = '"{}"'            # of an MD5
        self.held, self.gate = 0, threading.Event()     # "hold": requests that wait until the gate is open
        self.parts_now, self.parts_most = 0, 0          # at once
        self.chaos, self.random, self.n = chaos, random.Random(seed), 0
        self.server = ThreadingHTTPServer(("127.0.0.1", port), type("H", (Handler,), {"double": self}))
        self.server.daemon_threads = True
        if tls:                     # (certificate, key)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self):
        return self.server.server_address[1]

    @property
    def endpoint(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def env(self):
        import os
        clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        return dict(clean, AWS_ACCESS_KEY_ID=self.access, AWS_SECRET_ACCESS_KEY=self.secret, AWS_CONFIG_FILE="/nonexistent",
                    AWS_SHARED_CREDENTIALS_FILE="/nonexistent")

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        """Open connections are cut at their next request."""
        self.is_stopped = True
        self.server.shutdown()
        self.server.server_close()

    def fail(self, kind, times=1, op=None, method=None, after=0):
        """The requests that match, `times` of them after the first `after`."""
        with self.lock:
            self.rules.append({"kind": kind, "times": times, "op": op, "method": method, "after": after})

    def forget_failures(self):
        with self.lock:
            self.rules = []

    def failure_of(self, op, method):
        with self.lock:
            for rule in self.rules:
                if (rule["op"] and rule["op"] != op) or (rule["method"] and rule["method"] != method) or not rule["times"]:
                    continue
                if rule["after"]:
                    rule["after"] -= 1
                    continue
                rule["times"] -= 1
                return rule["kind"]
            if self.chaos and self.random.random() < 1 / self.chaos:
                return self.random.choice(CHAOS)
        return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    double = None

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, TimeoutError, ssl.SSLError, ValueError):
            pass                    # gone, or cut by us

    def do_any(self):
        d = self.double
        url = urllib.parse.urlsplit(self.path)
        self.query = urllib.parse.parse_qsl(url.query, keep_blank_values=True)
        self.args = dict(self.query)
        self.key = urllib.parse.unquote(url.path)
        parts = self.key.lstrip("/").split("/", 1)
        self.bucket, self.name = parts[0], parts[1] if len(parts) > 1 else ""
        host = self.headers.get("host", "").split(":")[0]
        if host.endswith(".localhost"):     # virtual-host style
            self.bucket, self.name = host[:-len(".localhost")], self.key.lstrip("/")
        self.body = self.rfile.read(int(self.headers.get("content-length") or 0))
        op = self.operation()
        if op != "part":
            return self.do_one(op)
        with d.lock:
            d.parts_now += 1
            d.parts_most = max(d.parts_most, d.parts_now)
        try:
            return self.do_one(op)
        finally:
            with d.lock:
                d.parts_now -= 1

    def do_one(self, op):
        d = self.double
        kind = "reset" if d.is_stopped else d.failure_of(op, self.command)
        d.log.append((op, kind))
        if kind == "reset":
            return self.cut()
        if kind == "hold":
            with d.lock:
                d.held += 1
            d.gate.wait(60)
        if kind == "stall":
            time.sleep(8)
            return self.cut()
        if kind in ("500", "503", "429"):
            code = {"500": "InternalError", "503": "SlowDown", "429": "TooManyRequests"}[kind]
            return self.refuse(Refused(int(kind), code, "as told"))
        if kind == "denied":
            return self.refuse(Refused(403, "AccessDenied", "as told"))
        if kind == "full":
            return self.refuse(Refused(403, "QuotaExceeded", "as told"))
        if kind == "expired":
            return self.refuse(Refused(400, "ExpiredToken", "The provided token has expired."))
        if kind == "error200" and op in ("complete", "copy", "copy_part"):
            return self.answer(200, b"<Error><Code>InternalError</Code><Message>as told</Message></Error>")
        self.shift, self.is_nameless = kind == "shifted", kind == "nameless"
        try:
            status, body, fields = getattr(self, "op_" + op)() if op == "sts" else self.checked(op)
        except Refused as r:
            return self.refuse(r)
        if kind == "lost":
            return self.cut()
        return self.answer(status, body, fields, truncated=kind == "truncated", slow=kind == "slow")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_any

    def operation(self):
        m, q = self.command, self.args
        if m == "POST" and not self.bucket:
            return "sts"
        if m == "GET" and not self.name:
            return "list_uploads" if "uploads" in q else "list"
        if m == "GET" and "uploadId" in q:
            return "list_parts"
        if m == "POST":
            return "create" if "uploads" in q else "complete"
        if m == "PUT" and not self.name:
            return "make_bucket"
        if m == "PUT" and "uploadId" in q:
            return "copy_part" if "x-amz-copy-source" in self.headers else "part"
        if m == "PUT":
            return "copy" if "x-amz-copy-source" in self.headers else "put"
        if m == "DELETE":
            return "abort" if "uploadId" in q else "delete"
        return {"GET": "get", "HEAD": "head"}.get(m, "none")

    # ---- answering ---------------------------------------------------------------------------------------------------

    def cut(self):
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()

    def refuse(self, r):
        d = self.double
        more = "".join(f"<{k}>{escape(v)}</{k}>" for k, v in r.fields.items() if k[0].isupper())
        text = f"<?xml version=\"1.0\"?><Error><Code>{r.code}</Code><Message>{escape(r.message)}</Message>{more}</Error>"
        fields = {k.replace("_", "-"): v for k, v in r.fields.items() if not k[0].isupper()}
        d.log.append(("refused", r.code))
        self.answer(r.status, text.encode(), fields)

    def answer(self, status, body, fields=None, truncated=False, slow=False):
        self.send_response(status)
        for k, v in (fields or {}).items():
            self.send_header(k, v)
        if "content-length" not in (fields or {}) and status != 204:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if truncated and body:
            self.wfile.write(body[:len(body) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif slow and body:
            step = max(1, len(body) // 5)
            for at in range(0, len(body), step):
                self.wfile.write(body[at:at + step])
                self.wfile.flush()
                time.sleep(0.02)
        else:
            self.wfile.write(body)

    # ---- who is it ----------------------------------------------------------------------------------------------------

    def checked(self, op):
        d = self.double
        if self.bucket not in d.buckets and op != "make_bucket":
            raise Refused(404, "NoSuchBucket")
        m = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?SignedHeaders=([^,]+), ?Signature=(\w+)",
                         self.headers.get("authorization", ""))
        if not m:
            raise Refused(403, "AccessDenied", "not signed")
        access, day, region, names, sig = m.groups()
        if d.redirect_to:
            raise Refused(307, "TemporaryRedirect", location=d.redirect_to + self.path)
        if region != d.region:
            # As AWS: the region is in the field, and for some in the body.
            if self.command in ("GET", "PUT"):
                raise Refused(400, "AuthorizationHeaderMalformed", f"the region is wrong; expecting '{d.region}'", Region=d.region)
            raise Refused(301, "PermanentRedirect", "", x_amz_bucket_region=d.region)
        secret = d.secret
        if access != d.access:
            secret, token, expires = d.sessions.get(access, (None, None, 0))
            if not secret:
                raise Refused(403, "InvalidAccessKeyId")
            if self.headers.get("x-amz-security-token") != token:
                raise Refused(403, "InvalidToken")
            if time.time() > expires:
                raise Refused(400, "ExpiredToken", "The provided token has expired.")
        headers = {n: self.headers[n] for n in names.split(";")}
        missing = [n for n in self.headers if (n.lower() == "host" or n.lower().startswith("x-amz-")) and n.lower() not in headers]
        when, payload = self.headers["x-amz-date"], self.headers["x-amz-content-sha256"]
        want = s3sign.signature(secret, self.command, self.key, self.query, headers, payload, when, region)
        if missing or want != sig or day != when[:8]:
            raise Refused(403, "SignatureDoesNotMatch", f"missing {missing}")
        if payload != "UNSIGNED-PAYLOAD" and payload != hashlib.sha256(self.body).hexdigest():
            raise Refused(400, "XAmzContentSHA256Mismatch")
        crc = self.headers.get("x-amz-checksum-crc32c")
        if crc and base64.b64decode(crc) != binascii.unhexlify(f"{crc32c(self.body):08x}"):
            raise Refused(400, "BadDigest")
        if self.headers.get("accept-encoding"):
            raise Refused(400, "InvalidRequest", "no compressed answers are wanted")
        if self.command in ("PUT", "POST") and self.headers.get("content-length") is None:
            raise Refused(411, "MissingContentLength")
        return getattr(self, "op_" + op)()

    # ---- operations ----------------------------------------------------------------------------------------------------

    def op_make_bucket(self):
        self.double.buckets.add(self.bucket)
        return 200, b"", {}

    def store(self, data, meta=None):
        self.double.meta[self.bucket, self.name] = meta or {}
        self.double.objects[self.bucket, self.name] = (data, time.time())

    def op_put(self):
        self.store(self.body)
        return 200, b"", {"etag": f'"{hashlib.md5(self.body).hexdigest()}"'}

    def found(self, bucket=None, name=None):
        try:
            return self.double.objects[bucket or self.bucket, name or self.name]
        except KeyError:
            raise Refused(404, "NoSuchKey") from None

    def op_head(self):
        data, _ = self.found()
        return 200, b"", {"content-length": str(len(data)), "etag": f'"{hashlib.md5(data).hexdigest()}"', **self.double.meta.get((self.bucket, self.name), {})}

    def op_get(self):
        data, _ = self.found()
        etag = self.double.etag.format(hashlib.md5(data).hexdigest())
        if self.headers.get("if-match", etag) != etag:
            raise Refused(412, "PreconditionFailed")
        m = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
        if not m:
            return 200, data, {"etag": etag}
        low, high = int(m[1]) + self.shift, min(int(m[2]), len(data) - 1)
        if low >= len(data):
            raise Refused(416, "InvalidRange")
        named = {} if self.is_nameless else {"content-range": f"bytes {low}-{high}/{len(data)}"}
        return 206, data[low:high + 1], {"etag": etag, **named}

    def op_delete(self):
        self.double.objects.pop((self.bucket, self.name), None)
        return 204, b"", {}

    @staticmethod
    def stamp(t):
        return datetime.fromtimestamp(t, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def op_list(self):
        prefix, most = self.args.get("prefix", ""), min(int(self.args.get("max-keys", 1000)), 7)
        after = self.args.get("continuation-token", "") or self.args.get("start-after", "")
        with self.double.lock:
            names = {n for b, n in self.double.objects if b == self.bucket and n.startswith(prefix)}
        folders = set()
        if "delimiter" in self.args:
            cut = {n: n.find(self.args["delimiter"], len(prefix)) for n in names}
            folders = {n[:cut[n] + 1] for n in names if cut[n] >= 0 and n > after}
            names = folders | {n for n in names if cut[n] < 0}
        names = sorted(n for n in names if n > after)
        page = names[:most]
        items = "".join(f"<Contents><Key>{escape(n)}</Key><LastModified>{self.stamp(self.double.objects[self.bucket, n][1])}"
                        f"</LastModified><ETag>&quot;{hashlib.md5(self.double.objects[self.bucket, n][0]).hexdigest()}&quot;</ETag>"
                        f"<Size>{len(self.double.objects[self.bucket, n][0])}</Size></Contents>" for n in page
                        if n not in folders)
        items += "".join(f"<CommonPrefixes><Prefix>{escape(n)}</Prefix></CommonPrefixes>" for n in page if n in folders)
        more = len(names) > most
        text = (f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{items}" +
                (f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else "") + "</ListBucketResult>")
        return 200, text.encode(), {}

    def op_list_uploads(self):
        prefix = self.args.get("prefix", "")
        marks = (self.args.get("key-marker", ""), self.args.get("upload-id-marker", ""))
        with self.double.lock:
            ups = sorted((u["name"], i, u) for i, u in self.double.uploads.items()
                         if u["bucket"] == self.bucket and u["name"].startswith(prefix) and (u["name"], i) > marks)
        page, more = ups[:3], len(ups) > 3
        items = "".join(f"<Upload><Key>{escape(n)}</Key><UploadId>{i}</UploadId><Initiated>{self.stamp(u['at'])}</Initiated></Upload>"
                        for n, i, u in page)
        text = (f"<ListMultipartUploadsResult><IsTruncated>{str(more).lower()}</IsTruncated>" +
                (f"<NextKeyMarker>{escape(page[-1][0])}</NextKeyMarker><NextUploadIdMarker>{page[-1][1]}</NextUploadIdMarker>"
                 if more else "") + items + "</ListMultipartUploadsResult>")
        return 200, text.encode(), {}

    def op_create(self):
        with self.double.lock:
            self.double.n += 1
            uid = f"u{self.double.n}&<x>"   # ids are not always harmless
            self.double.uploads[uid] = {"bucket": self.bucket, "name": self.name, "parts": {}, "at": time.time(),
                                        "meta": {k.lower(): v for k, v in self.headers.items() if k.lower().startswith("x-amz-meta-")}}
        return 200, (f"<InitiateMultipartUploadResult><Key>{escape(self.name)}</Key><UploadId>{escape(uid)}</UploadId>"
                     "</InitiateMultipartUploadResult>").encode(), {}

    def upload(self):
        up = self.double.uploads.get(self.args.get("uploadId"))
        if not up or (up["bucket"], up["name"]) != (self.bucket, self.name):
            raise Refused(404, "NoSuchUpload")
        return up

    def op_part(self, data=None):
        data = self.body if data is None else data
        number = int(self.args["partNumber"])
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        self.upload()["parts"][number] = (etag, data)
        return 200, b"", {"etag": etag}

    def op_list_parts(self):
        self.upload()
        return 200, b"<ListPartsResult></ListPartsResult>", {}

    def source(self):
        bucket, name = urllib.parse.unquote(self.headers["x-amz-copy-source"]).lstrip("/").split("/", 1)
        return self.found(bucket, name)[0]

    def op_copy(self):
        data = self.source()
        self.store(data)
        return 200, b"<CopyObjectResult><ETag>&quot;x&quot;</ETag></CopyObjectResult>", {}

    def op_copy_part(self):
        m = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["x-amz-copy-source-range"])
        _, _, fields = self.op_part(self.source()[int(m[1]):int(m[2]) + 1])
        return 200, f"<CopyPartResult><ETag>{escape(fields['etag'])}</ETag></CopyPartResult>".encode(), {}

    def op_complete(self):
        up = self.upload()
        told = re.findall(r"<PartNumber>(\d+)</PartNumber><ETag>(.*?)</ETag>", self.body.decode())
        data = []
        for i, (number, etag) in enumerate(told):
            have = up["parts"].get(int(number))
            if not have or have[0] != etag.replace("&quot;", '"'):
                raise Refused(400, "InvalidPart")
            if i + 1 < len(told) and len(have[1]) < PART_MIN:
                raise Refused(400, "EntityTooSmall")
            data.append(have[1])
        if not told or len(told) != len(up["parts"]):
            raise Refused(400, "MalformedXML")
        self.store(b"".join(data), up["meta"])
        del self.double.uploads[self.args["uploadId"]]
        return 200, b"  \n<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>", {}

    def op_abort(self):
        self.upload()
        del self.double.uploads[self.args["uploadId"]]
        return 204, b"", {}

    def op_none(self):
        raise Refused(405, "MethodNotAllowed")

    def op_sts(self):
        d = self.double
        form = dict(urllib.parse.parse_qsl(self.body.decode()))
        if form.get("Action") != "AssumeRoleWithWebIdentity" or not form.get("RoleArn") or not form.get("RoleSessionName"):
            raise Refused(400, "InvalidAction")
        token = form.get("WebIdentityToken")
        if token not in d.web_tokens and not (d.web_check and d.web_check(token)):
            raise Refused(400, "InvalidIdentityToken", "the token is not known here")
        with d.lock:
            d.n += 1
            access, secret, token = f"ASIA{d.n}", f"secret{d.n}", f"session+token/{d.n}=="
            expires = time.time() + d.session_s
            d.sessions[access] = (secret, token, expires)
        until = (datetime.now(timezone.utc) + timedelta(seconds=d.session_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return 200, (f"<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{access}"
                     f"</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{token}</SessionToken><Expiration>{until}"
                     "</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>").encode(), {}


def main():
    parser = argparse.ArgumentParser(description="an S3 service in memory that breaks as it is told")
    parser.add_argument("--chaos", type=int, default=0, metavar="N", help="about every N-th request fails")
    parser.add_argument("--keys", default=None, metavar="JSON", help='{"access": ..., "secret": ...}')
    parser.add_argument("--port", type=int, default=0)
    args = parser.parse_args()
    double = Double(chaos=args.chaos, port=args.port, **json.loads(args.keys or "{}"))
    print(double.endpoint, flush=True)
    double.server.serve_forever()


if __name__ == "__main__":
    main()
