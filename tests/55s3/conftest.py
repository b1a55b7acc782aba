"""Real S3 servers for the tests of this folder, one of each for the session."""

import uuid

import pytest

import cairn
import s3servers


class Servers:
    def __init__(self):
        self.running = {}

    def get(self, kind):
        if kind.name not in self.running:
            self.running[kind.name] = kind().start()
        return self.running[kind.name]


@pytest.fixture(scope="session")
def s3_servers():
    all_of_them = Servers()
    yield all_of_them
    for one in all_of_them.running.values():
        one.stop()


@pytest.fixture(scope="session")
def radosgw(s3_servers):
    if not s3servers.Radosgw.is_available():
        pytest.fail("radosgw is not installed: tools/setup test installs it")
    return s3_servers.get(s3servers.Radosgw)


@pytest.fixture
def prefix():
    return f"e2e/{uuid.uuid4().hex}"


@pytest.fixture
def on_s3(tmp_path, prefix):
    """on_s3(s3, store, args, env) starts a server whose bytes lie in the bucket of s3; the same folder each time."""
    started = []

    def start(s3, store=None, args=(), env=None, where=prefix, binary=None):
        server = cairn.CairnServer(tmp_path / "data", store=store, binary=binary, blobs=f"s3://{s3servers.BUCKET}/{where}",
                                   args=[*(() if "--s3-endpoint" in args else ("--s3-endpoint", s3.endpoint)), *args], env=dict(s3.env(), **(env or {})))
        started.append(server)
        return server.start()

    yield start
    for one in started:
        if one.process and one.process.is_running():
            assert one.stop() == 0, one.log(100)
