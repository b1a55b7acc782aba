"""W8 on S3: a large file through the server, beside a plain client that sends and gets the same bytes straight to and from the service.

The service is radosgw, started as the tests start it; its CPU is on the same machine and part of no figure."""
import hashlib
import http.client
import sys
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

from . import files, report
from .servers import ROOT, Cairn, Failed, Mlflow

sys.path.insert(0, str(ROOT / "tests" / "lib"))
import s3servers  # noqa: E402
import s3sign  # noqa: E402

PART = 8 << 20
RATE = (("rate", "/s", "more"), ("p99_ms", " ms p99", "less"))
FIGURES = (("mb_s", " MB/s", "more"), ("cpu_s_gb", " s CPU a GB", "less"), ("grown_mb", " MB more memory", "less"))


class CairnOnS3(Cairn):
    """The server with its bytes in a bucket."""

    def __init__(self, folder, engine, s3):
        super().__init__(folder, engine, options=["--blobs", f"s3://{s3servers.BUCKET}/bench", "--s3-endpoint", s3.endpoint])
        self.s3 = s3

    def env(self):
        return self.s3.env()


class MlflowOnS3(Mlflow):
    """MLflow's proxy in front of the same bucket, by boto3; checksums of newer services than this one are left out."""

    def __init__(self, folder, engine, s3, workers):
        super().__init__(folder, engine, workers)
        self.s3 = s3

    def argv(self):
        argv = super().argv()
        return argv[:-1] + [f"s3://{s3servers.BUCKET}/mlflow"]

    def env(self):
        return dict(super().env(), **{k: v for k, v in self.s3.env().items() if k.startswith("AWS_")},
                    MLFLOW_S3_ENDPOINT_URL=self.s3.endpoint, AWS_DEFAULT_REGION="us-east-1",
                    AWS_REQUEST_CHECKSUM_CALCULATION="when_required", AWS_RESPONSE_CHECKSUM_VALIDATION="when_required")


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
    """One GET of all into one buffer, as files.down does it; a second one compares, then the object goes."""
    path = f"/{s3servers.BUCKET}/plain"
    buffer, sha = bytearray(files.PIECE), hashlib.sha256()

    def get(each):
        conn, total = http.client.HTTPConnection(urllib.parse.urlsplit(s3.endpoint).netloc, timeout=600), 0
        headers, target = s3sign.head(s3.endpoint, s3.access, s3.secret, "GET", path)
        conn.request("GET", target, headers=headers)
        answer = conn.getresponse()
        while n := answer.readinto(buffer):
            total += n
            if each:
                each(memoryview(buffer)[:n])
        conn.close()
        if total != size:
            raise Failed(f"radosgw: {total} bytes of {size} came back")

    start, cpu = time.perf_counter(), time.process_time()
    get(None)
    took, cpu = time.perf_counter() - start, time.process_time() - cpu
    get(sha.update)
    if sha.hexdigest() != files.Large(size, seed).digest():
        raise Failed("radosgw: other bytes came back")
    s3.call("DELETE", path)
    return {"mb_s": size / took / 1e6, "cpu_s_gb": cpu / (size / 1e9)}


def plain_small(s3, n):
    """n objects of 4 KB, from 16 threads with a connection each: what the service gives for each file an object."""
    bodies = [b"%08d" % i + bytes(4088) for i in range(n)]

    def part(numbers):
        conn = http.client.HTTPConnection(urllib.parse.urlsplit(s3.endpoint).netloc, timeout=600)
        for i in numbers:
            headers, target = s3sign.head(s3.endpoint, s3.access, s3.secret, "PUT", f"/{s3servers.BUCKET}/small/{i}", body=bodies[i])
            conn.request("PUT", target, body=bodies[i], headers=headers)
            answer = conn.getresponse()
            answer.read()
            if answer.status != 200:
                raise Failed(f"radosgw: {answer.status}")
        conn.close()

    start = time.perf_counter()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(part, [range(i, n, 16) for i in range(16)]))
    return {"rate": n / (time.perf_counter() - start)}


def large(bench, s3, servers):
    """Two rows, in rounds with the plain client."""
    size = bench.sizes["bucket_file"]
    rows = [bench.row("W8", f"on S3, a file of {size / 1e6:,.0f} MB up", "sqlite", FIGURES,
                      ">= 85 % of a plain client, <= 1.6 s CPU a GB, <= 30 MB",
                      lambda r: r.value("cairn") >= 0.85 * r.probe["mb_s"] and r.value("cairn", "cpu_s_gb") <= 1.6 and
                      r.value("cairn", "grown_mb") <= 30),
            bench.row("W8", f"on S3, a file of {size / 1e6:,.0f} MB down", "sqlite", FIGURES, ">= 85 % of a plain client",
                      lambda r: r.value("cairn") >= 0.85 * r.probe["mb_s"])]
    plain = ([], [])
    for i in range(bench.sizes["bucket_rounds"]):
        for row, found, work in zip(rows, plain, (plain_up, plain_down)):
            got = bench.attempt(row, servers[0], lambda _, w=work: w(s3, size, i))
            found += [got] if got else []
        for server in servers:
            n = size if server.name == "cairn" else min(size, bench.sizes["large_file_peer"])
            for row, work in zip(rows, (files.up, files.down)):
                if bench.measure(row, server, work, n, f"bucket-{i}", i) and n != size:
                    row.note(server.name, f"a file of {n / 1e6:,.0f} MB")
    for row, found in zip(rows, plain):
        if found:
            row.probe = {"mb_s": report.median(found, "mb_s")}
            cpu = f", {report.number(report.median(found, 'cpu_s_gb'))} s CPU a GB" if "cpu_s_gb" in found[0] else ""
            row.note("cairn", f"a plain client of the same service: {report.number(row.probe['mb_s'])} MB/s{cpu}")
        bench.tell(row, servers)


def small(bench, s3, servers):
    """Many small files; what a plain client stores one object each for."""
    sizes = bench.sizes
    row = bench.row("W8", f"on S3, {sizes['small_files']:,} files of 4 KB, 16 clients", "sqlite", RATE, ">= a plain client",
                    lambda r: r.value("cairn") >= r.probe["rate"])
    n = min(sizes["small_files"], sizes["small_files_peer"])
    plain = bench.attempt(row, servers[0], lambda _: plain_small(s3, n))
    for server in servers:
        k = sizes["small_files"] if server.name == "cairn" else n
        if bench.measure(row, server, files.small, sizes, k) and k != sizes["small_files"]:
            row.note(server.name, f"{k:,} files")
    row.probe = plain or {"rate": 0}
    row.note("cairn", f"a plain client of the same service, {n:,} objects: {report.number(row.probe['rate'])}/s")
    bench.tell(row, servers)


def record(bench, workers):
    """workers: of MLflow, when it takes part; else 0."""
    if not s3servers.Radosgw.is_available():
        bench.remark("W8 on S3 is left out: radosgw is not installed (tools/setup test)")
        return
    s3 = s3servers.Radosgw().start()
    try:
        servers = [bench.launch(CairnOnS3, "sqlite", s3), bench.launch(MlflowOnS3, "sqlite", s3, workers) if workers else None]
        if servers[0]:
            servers = [s for s in servers if s]
            large(bench, s3, servers)
            small(bench, s3, servers)
        for server in servers:
            if server:
                bench.close(server)
    finally:
        s3.stop()
