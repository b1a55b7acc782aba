"""Several servers on one PostgreSQL, and clients that go from server to server with each request."""

import random
import signal
import subprocess
import time

import cairn
import recorder

LEASE_S = 1.5


class Wanderer(recorder.Recorder):
    """A recorder that asks one of the servers at random; its files are small, so they lie in the database."""

    def __init__(self, servers, seed, experiment_id="0"):
        super().__init__(None, experiment_id, seed)
        self.servers = servers

    @property
    def port(self):
        return random.choice(self.servers).port

    @port.setter
    def port(self, _):
        pass

    def put_large_file(self, state):
        return self.put_file(state)

    def put_file(self, state):
        return self._put(state, f"f{self.random.randrange(6)}", self.random.randrange(recorder.SMALL))


class Servers:
    def __init__(self, tmp_path, store):
        self.tmp_path, self.store, self.all = tmp_path, store, []

    def add(self, *args, env=None):
        server = cairn.CairnServer(self.tmp_path / f"data{len(self.all)}", store=self.store,
                                   args=["--store-lease", f"{int(LEASE_S * 1000)}ms", *args],
                                   env=dict({"CAIRN_FAILPOINT": ""}, **(env or {})))
        self.all.append(server)
        return server.start()

    def end(self):
        for server in self.all:
            if server.process and server.process.is_running():
                server.process.proc.send_signal(signal.SIGCONT)
                server.kill()


def sql(pg, uri, text):
    return pg.psql(text, database=uri.rsplit("/", 1)[1])


def steady(one, steps, patience_s=30):
    """Steps; a refusal or a lost answer is looked at on the server, then it goes on."""
    end = time.monotonic() + patience_s
    while steps > 0:
        try:
            if one.run_id is None:
                one.start()
            if one.after is not None:
                one.compare()
            one.step()
            steps -= 1
        except (recorder.Lost, recorder.Refused):
            assert time.monotonic() < end, "no server takes writes"
            time.sleep(0.05)


def settled(one, patience_s=30):
    end = time.monotonic() + patience_s
    while True:
        try:
            return one.compare()
        except (recorder.Lost, recorder.Refused):
            assert time.monotonic() < end, "no server answers"
            time.sleep(0.05)


def agree(one, servers):
    for server in servers:
        one.servers = [server]
        settled(one)


def check(servers, store):
    """All servers stopped: `cairn server check` finds nothing."""
    for server in servers.all:
        if server.process.is_running():
            assert server.stop() == 0, server.log()
    server = servers.all[0]
    done = subprocess.run([str(server.binary), "server", "check", "--data", str(server.data), "--store", store],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
