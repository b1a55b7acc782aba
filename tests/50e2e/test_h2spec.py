"""h2spec, the conformance test of HTTP/2, against cairn and against nghttpd, which comes with the library that cairn uses: cairn fails
nothing that nghttpd passes, without TLS and with it."""
import subprocess
import time
import xml.etree.ElementTree as ElementTree

import pytest

import cairn

pytestmark = pytest.mark.cairn_only

# The port speaks HTTP/1.1 too, where these bytes are a malformed request and get a 400.
BOTH_PROTOCOLS = {"3.5/Sends invalid connection preface"}
# A route that answers GET and POST.
PATH = "/api/2.0/mlflow/experiments/search?max_results=1"


@pytest.fixture(scope="module")
def h2spec():
    return cairn.go_tool("h2spec")


@pytest.fixture(scope="module")
def nghttpd(tmp_path_factory, certificate):
    """Starts nghttpd on a port and waits until it answers."""
    program = cairn.find_program("nghttpd", "/usr/sbin/nghttpd")
    if program is None:
        pytest.skip("no nghttpd: tools/setup test installs it")
    root = tmp_path_factory.mktemp("nghttpd")
    (root / "index.html").write_text("hello\n")
    running = []

    def start(tls):
        for _ in range(5):
            port = cairn.free_port()
            args = [str(port), *map(str, (certificate[1], certificate[0]) if tls else ())]
            process = subprocess.Popen([program, "-d", str(root), "-a", "127.0.0.1", *([] if tls else ["--no-tls"]), *args],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            running.append(process)
            until = time.monotonic() + 20
            while process.poll() is None and time.monotonic() < until:
                if cairn.connects("127.0.0.1", port):
                    return port
                time.sleep(0.05)
        raise RuntimeError("nghttpd does not start")

    yield start
    for process in running:
        process.kill()
        process.wait()


def failures(h2spec, port, path, tls, report, wait=2):
    """What failed. Each answer may take `wait` seconds."""
    run = subprocess.run([h2spec, "-h", "127.0.0.1", "-p", str(port), "-P", path, "-o", str(wait), "-j", str(report),
                          *(["-t", "-k"] if tls else []), "generic", "hpack", "http2"], capture_output=True, text=True, timeout=300)
    cases = ElementTree.parse(report).getroot().iter("testcase")
    broken, n = {}, 0
    for case in cases:
        n += 1
        if case.find("failure") is not None or case.find("error") is not None:
            broken[f"{case.get('package').split('/')[-1]}/{case.get('classname')}"] = ElementTree.tostring(case, encoding="unicode")
    assert n > 140, run.stdout
    return broken


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_cairn_passes_what_nghttpd_passes(h2spec, nghttpd, certificate, start_server, monkeypatch, tmp_path, tls):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))  # urllib, which waits for the server
    server = start_server(args=["--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1])] if tls else [])
    ours = failures(h2spec, server.url.rsplit(":", 1)[1], PATH, tls, tmp_path / "cairn.xml")
    theirs = failures(h2spec, nghttpd(tls), "/", tls, tmp_path / "nghttpd.xml")
    allowed = set(theirs) | (set() if tls else BOTH_PROTOCOLS)
    if not set(ours) <= allowed:  # a busy machine may be late; what is wrong is wrong again
        ours = failures(h2spec, server.url.rsplit(":", 1)[1], PATH, tls, tmp_path / "cairn.xml", wait=20)
    assert set(ours) <= allowed, [ours[name] for name in set(ours) - allowed]
