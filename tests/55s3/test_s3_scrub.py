"""Bytes in a bucket are read again: damage to whole objects and packs, keys that nothing knows, packing that is killed in the middle,
and two servers on one database and one bucket that upload, delete and collect the same content."""

import os
import random
import threading
import time

import pytest
import requests

import cairn
import s3servers
from command import Cli
from s3ask import PATH, ask

pytestmark = pytest.mark.cairn_only

MIB = 1 << 20


def keys(s3, prefix):
    answer = s3.call("GET", f"/{s3servers.BUCKET}", [("list-type", "2"), ("prefix", prefix)]).decode()
    return sorted(part.split("</Key>")[0] for part in answer.split("<Key>")[1:])


def command(server, tmp_path, s3, *args, rc=0):
    cli = Cli(tmp_path)
    where = ("--data", server.data, "--blobs", server.blobs, "--s3-endpoint", s3.endpoint)
    where += ("--store", server.store) if server.store else ()
    return cli.json("server", *args, *where, env=s3.env(), rc=rc)


def operator(server):
    return {"Authorization": "Bearer " + (server.data / "server.token").read_text()}


def overwrite(s3, key, data):
    s3.call("PUT", f"/{s3servers.BUCKET}/{key}", body=data)


def remove(s3, key):
    s3.call("DELETE", f"/{s3servers.BUCKET}/{key}")


def flipped(data):
    return data[:-1] + bytes([data[-1] ^ 1])


def cured(server, tmp_path, s3, name, data):
    rows = command(server, tmp_path, s3, "scrub", "--rate", "1G", rc=7)
    assert [r["path"] for r in rows if r["kind"] == "object"] == [f"s3/{name}"]
    assert ask(server, "GET", PATH + name)[0] == 500
    assert ask(server, "PUT", PATH + "again", data)[0] == 200
    assert ask(server, "GET", PATH + name)[1] == data
    command(server, tmp_path, s3, "gc", "--now")
    assert command(server, tmp_path, s3, "scrub", "--rate", "1G") == []
    assert ask(server, "DELETE", PATH + "again")[0] == 200


def test_damage(radosgw, on_s3, prefix, tmp_path):
    server = on_s3(radosgw)
    data = os.urandom(200000)
    assert ask(server, "PUT", PATH + "big", data)[0] == 200
    for harm in (lambda key: overwrite(radosgw, key, flipped(data)), lambda key: overwrite(radosgw, key, data[:1000]),
                 lambda key: remove(radosgw, key)):
        [key] = keys(radosgw, f"{prefix}/objects/")
        harm(key)
        cured(server, tmp_path, radosgw, "big", data)
        command(server, tmp_path, radosgw, "gc", "--now")
    command(server, tmp_path, radosgw, "repack", "--wait")
    command(server, tmp_path, radosgw, "gc", "--now")
    assert keys(radosgw, f"{prefix}/objects/") == []
    [key] = keys(radosgw, f"{prefix}/packs/")
    pack = radosgw.call("GET", f"/{s3servers.BUCKET}/{key}")
    overwrite(radosgw, key, pack[:5000] + bytes([pack[5000] ^ 1]) + pack[5001:])
    cured(server, tmp_path, radosgw, "big", data)
    # keys that nothing knows
    stray = f"{prefix}/objects/ab/{'ab' * 32}-0"
    overwrite(radosgw, stray, b"x" * 50)
    rows = command(server, tmp_path, radosgw, "scrub")
    assert [(r["kind"], r["place"], r["bytes"]) for r in rows] == [("file", stray.removeprefix(f"{prefix}/"), 50)]
    command(server, tmp_path, radosgw, "scrub", "--sweep", "--older-than", "0s")
    command(server, tmp_path, radosgw, "gc", "--now")
    assert stray not in keys(radosgw, f"{prefix}/objects/")
    assert ask(server, "GET", PATH + "big")[1] == data


def test_packing_is_killed(radosgw, on_s3, prefix, tmp_path):
    """kill -9 in the middle of packing; the next server packs to the end, and nothing is lost or left. At other points, and on
    PostgreSQL: 30conformance/test_killed_on_s3.c."""
    files = {f"f{i}": os.urandom(150000) for i in range(3)}
    files["twice"] = files["f0"] + files["f1"]
    server = on_s3(radosgw, env={"CAIRN_FAILPOINT": "core.repack.sealed=kill:1"}, binary=cairn.find_binary_with_failpoints())
    for name, data in files.items():
        assert ask(server, "PUT", PATH + name, data)[0] == 200
    try:
        requests.post(server.url + "/api/cairn/v1/repack", json={}, headers=operator(server), timeout=30)
    except requests.ConnectionError:
        pass
    end = time.monotonic() + 60
    while server.process.is_running():
        assert time.monotonic() < end, "the step was never reached"
        time.sleep(0.02)
    server = on_s3(radosgw)
    for name, data in files.items():
        assert ask(server, "GET", PATH + name)[1] == data
    command(server, tmp_path, radosgw, "repack", "--wait")
    command(server, tmp_path, radosgw, "gc", "--now")
    for name, data in files.items():
        assert ask(server, "GET", PATH + name)[1] == data
        assert ask(server, "GET", PATH + name, Range="bytes=1000-140000")[1] == data[1000:140001]
    assert keys(radosgw, f"{prefix}/objects/") == []
    assert len(keys(radosgw, f"{prefix}/packs/")) == 1
    assert command(server, tmp_path, radosgw, "scrub", "--deep") == []


class Churn(threading.Thread):
    """Uploads, reads back and deletes the same few contents under names of its own; remembers what is there."""

    def __init__(self, server, number, contents, rounds):
        super().__init__()
        self.server, self.number, self.contents, self.rounds = server, number, contents, rounds
        self.chance = random.Random(number)
        self.have, self.wrong = {}, []

    def run(self):
        for _ in range(self.rounds):
            name = f"{self.number}/{self.chance.randrange(3)}"
            data = self.chance.choice(self.contents)
            if name in self.have and self.chance.random() < 0.5:
                self.expect(ask(self.server, "DELETE", PATH + name)[0], 200)
                del self.have[name]
            else:
                self.expect(ask(self.server, "PUT", PATH + name, data)[0], 200)
                self.have[name] = data
                self.expect(ask(self.server, "GET", PATH + name)[1] == data, True)

    def expect(self, got, want):
        if got != want:
            self.wrong.append((got, want))


def test_two_servers_collect_and_upload_the_same(radosgw, postgres, prefix, tmp_path):
    """Two servers on one database and one bucket: each uploads, deletes, collects, packs and sweeps the same contents at once. What is
    named is there; after the last collection nothing else is."""
    store = postgres.new_database()
    contents = [random.Random(i).randbytes(40000 + 5000 * i) for i in range(3)]
    servers = [cairn.CairnServer(tmp_path / f"data{i}", store=store, blobs=f"s3://{s3servers.BUCKET}/{prefix}",
                                 args=("--s3-endpoint", radosgw.endpoint), env=radosgw.env()) for i in range(2)]
    try:
        for one in servers:
            one.start()
        threads = [Churn(servers[i % 2], i, contents, 15) for i in range(4)]
        for t in threads:
            t.start()
        busy = True
        while busy:
            busy = any(t.is_alive() for t in threads)
            for one in servers:
                for what, body in (("gc", {}), ("repack", {}), ("scrub", {"sweep": True, "age_ms": 0, "bytes_per_s": 1 << 30})):
                    requests.post(f"{one.url}/api/cairn/v1/{what}", json=body, headers=operator(one), timeout=60).raise_for_status()
        for t in threads:
            t.join()
            assert t.wrong == []
        for t in threads:
            for one in servers:
                for name, data in t.have.items():
                    assert ask(one, "GET", PATH + name)[1] == data, name
        assert command(servers[0], tmp_path, radosgw, "scrub", "--deep", "--sweep", "--older-than", "0s") == []
        for t in threads:
            for name in t.have:
                assert ask(servers[1], "DELETE", PATH + name)[0] == 200
        for one in servers:
            command(one, tmp_path, radosgw, "repack", "--wait")
            command(one, tmp_path, radosgw, "gc", "--now")
        assert keys(radosgw, f"{prefix}/objects/") == [] and keys(radosgw, f"{prefix}/packs/") == []
        assert keys(radosgw, f"{prefix}/staging/") == []
    finally:
        for one in servers:
            if one.process and one.process.is_running():
                assert one.stop() == 0, one.log(100)
