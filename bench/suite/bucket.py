"""W8 on S3: a large file through the server, beside a plain client that sends and gets the same bytes straight to and from the service.

The service is radosgw, started as the tests start it; its CPU is on the same machine and part of neither figure."""
import hashlib
import sys
import time

from . import files, report
from .servers import ROOT, Cairn, Failed

sys.path.insert(0, str(ROOT / "tests" / "lib"))
import s3servers  # noqa: E402
import s3sign  # noqa: E402

PART = 8 << 20
FIGURES = (("mb_s", " MB/s", "more"), ("cpu_s_gb", " s CPU a GB", "less"), ("grown_mb", " MB more memory", "less"))


class CairnOnS3(Cairn):
    """The server with its bytes in a bucket."""

    def __init__(self, folder, engine, s3):
        super().__init__(folder, engine, options=["--blobs", f"s3://{s3servers.BUCKET}/bench", "--s3-endpoint", s3.endpoint])
        self.s3 = s3

    def env(self):
        return self.s3.env()


def plain_up(s3, size, seed):
    """What a simple client does: one upload in parts of 8 MiB, one after the other, each signed with its digest."""
    key, file = f"/{s3servers.BUCKET}/plain", files.Large(size, seed)

    def call(method, query=(), body=b""):
        status, answer, fields = s3sign.request(s3.endpoint, s3.access, s3.secret, method, key, query, body)
        if status >= 300:
            raise Failed(f"radosgw: {status} {answer[:200]}")
        return answer, fields

    start = time.perf_counter()
    upload = call("POST", [("uploads", "")])[0].decode().split("<UploadId>")[1].split("<")[0]
    etags, part = [], bytearray()

    def send():
        fields = call("PUT", [("partNumber", str(len(etags) + 1)), ("uploadId", upload)], bytes(part))[1]
        etags.append({k.lower(): v for k, v in fields.items()}["etag"])
        part.clear()

    for piece in file.pieces():
        part += piece
        if len(part) >= PART:
            send()
    if part:
        send()
    xml = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in enumerate(etags, 1))
    call("POST", [("uploadId", upload)], f"<CompleteMultipartUpload>{xml}</CompleteMultipartUpload>".encode())
    return {"mb_s": size / (time.perf_counter() - start) / 1e6}


def plain_down(s3, size, seed):
    """One GET of all, which also takes the object away afterwards."""
    path = f"/{s3servers.BUCKET}/plain"
    start = time.perf_counter()
    body = s3sign.request(s3.endpoint, s3.access, s3.secret, "GET", path)[1]
    took = time.perf_counter() - start
    if hashlib.sha256(body).hexdigest() != files.Large(size, seed).digest():
        raise Failed("radosgw: other bytes came back")
    s3.call("DELETE", path)
    return {"mb_s": size / took / 1e6}


def record(bench):
    """Two rows, in rounds with the plain client."""
    if not s3servers.Radosgw.is_available():
        bench.remark("W8 on S3 is left out: radosgw is not installed (tools/setup test)")
        return
    size = bench.sizes["bucket_file"]
    rows = [bench.row("W8", f"on S3, a file of {size / 1e6:,.0f} MB up", "sqlite", FIGURES, ">= 85 % of a plain client, <= 30 MB",
                      lambda r: r.value("cairn") >= 0.85 * r.probe["mb_s"] and r.value("cairn", "grown_mb") <= 30),
            bench.row("W8", f"on S3, a file of {size / 1e6:,.0f} MB down", "sqlite", FIGURES, ">= 85 % of a plain client",
                      lambda r: r.value("cairn") >= 0.85 * r.probe["mb_s"])]
    s3 = s3servers.Radosgw().start()
    try:
        server = bench.launch(CairnOnS3, "sqlite", s3)
        plain = ([], [])
        for i in range(bench.sizes["bucket_rounds"] if server else 0):
            for row, found, work in zip(rows, plain, (plain_up, plain_down)):
                got = bench.attempt(row, server, lambda _, w=work: w(s3, size, i))
                found += [got] if got else []
            for row, work in zip(rows, (files.up, files.down)):
                bench.measure(row, server, work, size, f"bucket-{i}", i)
        for row, found in zip(rows, plain):
            if found:
                row.probe = {"mb_s": report.median(found, "mb_s")}
                row.note("cairn", f"a plain client of the same service: {report.number(row.probe['mb_s'])} MB/s")
            bench.tell(row, [server] if server else [])
        if server:
            bench.close(server)
    finally:
        s3.stop()
