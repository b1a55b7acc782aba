"""Clients of the tus protocol as their packages install them: tuspy and tus-js-client. The server is killed in the middle of a file, and
the same command goes on where it stopped. By hand: test_resumable.py."""

import hashlib
import subprocess

import cairn
import pytest
import requests
from cutter import Cutter

pytestmark = pytest.mark.cairn_only

SIZE = (6 << 20) + 12_345


@pytest.fixture(params=["tuspy", "tus-js-client"])
def command(request):
    if request.param == "tuspy":
        python = cairn.find_python("tus")
        if python is None:
            pytest.skip("no environment tus: tools/pyenv tus")
        return [str(python), str(cairn.ROOT / "tests/lib/tus_client.py")]
    env = subprocess.run([cairn.ROOT / "tools/nodeenv", "tus-js-client"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if env.returncode == 3:
        pytest.skip("node and npm are not installed")
    assert env.returncode == 0, env.stderr
    return ["node", str(cairn.ROOT / "tests/lib/tus_client.mjs"), env.stdout.strip() + "/node_modules"]


def test_killed_in_the_middle(command, tmp_path):
    data = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(SIZE // 32 + 1))[:SIZE]
    (tmp_path / "weights.bin").write_bytes(data)
    server = cairn.CairnServer(tmp_path / "data").start()
    proxy = Cutter(server.port, 7 << 19, before_cut=server.kill)

    def send():
        argv = [*command, f"http://127.0.0.1:{proxy.port}/api/cairn/v1/uploads", str(tmp_path / "weights.bin"), "run/ü weights.bin",
                str(tmp_path)]
        return subprocess.run(argv, capture_output=True, text=True, timeout=300)

    first = send()
    assert (first.returncode, proxy.cuts) == (3, 1), first.stderr
    server.start()
    proxy.to, proxy.sent = server.port, 0
    second = send()
    assert second.returncode == 0, second.stderr
    had = int(second.stdout.split()[0])
    assert had == 3 << 20                           # all requests that were answered, and of the one that was not nothing
    assert proxy.sent < SIZE - had + 32 * 1024      # heads
    got = requests.get(server.url + "/api/cairn/v1/artifacts/file", params={"path": "run/ü weights.bin"}, timeout=60)
    assert got.status_code == 200 and hashlib.sha256(got.content).digest() == hashlib.sha256(data).digest()
    # The upload is over; who asks again learns that it is whole.
    head = requests.head(f"{server.url}/api/cairn/v1/uploads/{second.stdout.split()[1].rsplit('/', 1)[1]}", timeout=60,
                         headers={"Tus-Resumable": "1.0.0"})
    assert (head.status_code, head.headers["Upload-Offset"]) == (200, str(SIZE))
    assert server.stop() == 0
