"""Several servers on one PostgreSQL: what one acknowledged the other shows at once, whoever is killed, paused, cut off or put on
another history meanwhile. Every client here goes from server to server with each request."""

import os
import pwd
import signal
import subprocess
import threading
import time

import pytest
import requests
from mlflow import MlflowClient

import cairn
import recorder
from replicas import LEASE_S, Servers, Wanderer, agree, check, sql, steady

pytestmark = [pytest.mark.cairn_only,
              pytest.mark.skipif("postgres" not in cairn.engines(), reason="several servers need PostgreSQL")]

@pytest.fixture
def uri(postgres):
    return postgres.new_database()


@pytest.fixture
def servers(tmp_path, uri):
    made = Servers(tmp_path, uri)
    yield made
    made.end()


def test_the_real_client_on_two_servers(servers):
    """A run made on one server is logged to, read and searched on the other at once; params are bound everywhere."""
    a, b = servers.add(), servers.add()
    one, two = MlflowClient(tracking_uri=a.url), MlflowClient(tracking_uri=b.url)
    for i in range(20):
        experiment = one.create_experiment(f"x{i}")
        run = one.create_run(experiment).info.run_id
        two.log_metric(run, "m", i, step=1)
        assert one.get_run(run).data.metrics == {"m": i}
        one.log_param(run, "p", "1")
        with pytest.raises(Exception, match="already logged"):
            two.log_param(run, "p", "2")
        two.log_param(run, "p", "1")
        assert [r.info.run_id for r in two.search_runs([experiment], "params.p = '1'")] == [run]
        two.set_tag(run, "t", str(i))
        assert one.search_runs([experiment], f"tags.t = '{i}'")[0].data.params == {"p": "1"}
        with pytest.raises(Exception, match="already exists"):
            two.create_experiment(f"x{i}")
        two.delete_run(run)
        assert one.search_runs([experiment]) == []
        one.restore_run(run)
        assert two.get_run(run).info.lifecycle_stage == "active"


def test_visible_on_the_other_within_20_ms(servers):
    """With looking, at once; with --stale-ok, soon."""
    a, b, lazy = servers.add(), servers.add(), servers.add("--stale-ok")
    run = recorder.call(a.port, "POST", "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
    late = []

    def value(server):
        metrics = recorder.call(server.port, "GET", "runs/get", {"run_id": run})["run"]["data"].get("metrics", [])
        return metrics[0]["value"] if metrics else None

    for i in range(60):
        recorder.call(a.port, "POST", "runs/log-metric", {"run_id": run, "key": "m", "value": i, "timestamp": i, "step": i})
        acknowledged = time.monotonic()
        assert value(b) == i
        while value(lazy) != i:
            assert time.monotonic() - acknowledged < 10
        late.append(time.monotonic() - acknowledged)
    late.sort()
    assert late[len(late) // 2] < 0.05, late    # 15 ms between looks, and a request; the machine may be busy


def test_writers_on_both_beside_a_long_transaction(servers, postgres, uri):
    """0 missed, 0 twice: with refused operations in the groups, and an old transaction open in the database."""
    both = [servers.add("--store-drain-age", "300ms"), servers.add("--store-drain-age", "300ms")]
    old = subprocess.Popen([str(postgres.bin / "psql"), "-XAtq", uri, "-c",
                            "BEGIN; SELECT pg_current_xact_id(); SELECT pg_sleep(60);"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    clients = [Wanderer(both, seed) for seed in range(6)]
    failed = []

    def work(one):
        try:
            steady(one, 60)
            for _ in range(10):     # these fail by themselves, inside groups of others
                status, _ = recorder.request(one.port, "POST", "/api/2.0/mlflow/runs/log-parameter",
                                             {"run_id": "none", "key": "a", "value": "b"})
                assert status == 404
            one.compare()
        except BaseException as e:  # noqa: B902 - said on the test's own thread
            failed.append(e)

    threads = [threading.Thread(target=work, args=(one,)) for one in clients]
    try:
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not failed, failed[0]
        assert old.poll() is None
        for one in clients:
            agree(one, both)
    finally:
        old.kill()
        old.wait()
    check(servers, uri)


@pytest.mark.parametrize("victim", [0, 1])
def test_kill_of_each(servers, uri, victim):
    """kill -9 of the first (who drains) or the second under load: the other one goes on, and has everything."""
    both = [servers.add("--store-drain-age", "300ms"), servers.add("--store-drain-age", "300ms")]
    clients = [Wanderer(list(both), seed) for seed in range(4)]
    threads = [threading.Thread(target=steady, args=(one, 80)) for one in clients]
    for t in threads:
        t.start()
    time.sleep(0.7)
    both[victim].kill()
    for one in clients:
        one.servers.remove(both[victim])
    for t in threads:
        t.join()
    for one in clients:
        agree(one, [both[1 - victim]])
    both[victim].start()
    for one in clients:
        agree(one, both)
        one.servers = both
        steady(one, 5)
        agree(one, both)
    check(servers, uri)


def owner_of(pg, uri):
    return sql(pg, uri, "SELECT owner || ' ' || fence FROM part").split()


def test_a_paused_owner_changes_nothing(servers, postgres, uri):
    """The server that drains stands still beyond its lease; another one takes over, and the first joins again."""
    a, b = servers.add("--store-drain-age", "300ms"), servers.add("--store-drain-age", "300ms")
    one = Wanderer([a, b], 7)
    steady(one, 20)
    owner, fence = owner_of(postgres, uri)
    drain = int(sql(postgres, uri, "SELECT drain FROM part"))
    a.process.proc.send_signal(signal.SIGSTOP)
    one.servers = [b]
    steady(one, 20)
    end = time.monotonic() + 30
    while owner_of(postgres, uri)[0] == owner or int(sql(postgres, uri, "SELECT drain FROM part")) < drain + 3:
        steady(one, 1)
        assert time.monotonic() < end, "nobody took over"
    steady(one, 10)
    agree(one, [b])
    taken = owner_of(postgres, uri)
    assert int(taken[1]) > int(fence)
    a.process.proc.send_signal(signal.SIGCONT)
    agree(one, [a, b])
    assert owner_of(postgres, uri)[0] == taken[0], "the old owner came back as owner"
    one.servers = [a, b]
    steady(one, 20)
    agree(one, [a, b])
    check(servers, uri)


def test_an_owner_that_leaves_hands_over_at_once(servers, postgres, uri):
    a, b = servers.add("--store-drain-age", "100ms"), servers.add("--store-drain-age", "100ms")
    one = Wanderer([b], 3)
    steady(one, 10)
    assert a.stop() == 0
    left = time.monotonic()
    drain = int(sql(postgres, uri, "SELECT drain FROM part"))
    while int(sql(postgres, uri, "SELECT drain FROM part")) <= drain:
        steady(one, 1)
        assert time.monotonic() - left < 5
    assert time.monotonic() - left < LEASE_S, "that was the lease, not the word of goodbye"
    agree(one, [b])
    check(servers, uri)


def test_the_log_stays_small_under_load(servers, postgres, uri):
    """Covered rows go away while both write; a server that stands still keeps them only as long as it is on the list."""
    both = [servers.add("--store-drain-age", "100ms"), servers.add("--store-drain-age", "100ms")]
    clients = [Wanderer(both, seed) for seed in range(4)]
    rows = []
    for _ in range(6):
        threads = [threading.Thread(target=steady, args=(one, 25)) for one in clients]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        time.sleep(3 * LEASE_S / 10 + 0.3)
        steady(clients[0], 1)
        rows.append(int(sql(postgres, uri, "SELECT count(*) FROM batch")))
    total = int(sql(postgres, uri, "SELECT tip FROM part"))
    assert total > 300 and max(rows) < total / 3, (total, rows)
    for one in clients:
        agree(one, both)
    check(servers, uri)


# ---- other histories ----------------------------------------------------------------------------------------------------------------


def test_dump_and_restore_into_a_fresh_cluster(servers, postgres, uri, tmp_path):
    a = servers.add()
    clients = [Wanderer([a], seed) for seed in range(3)]
    for one in clients:
        steady(one, 20)
    a.kill()        # with a log that is not drained
    other = cairn.Postgres().start()
    try:
        fresh = other.new_database()
        dump = subprocess.run([str(postgres.bin / "pg_dump"), uri], capture_output=True, check=True)
        subprocess.run([str(postgres.bin / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", fresh], input=dump.stdout,
                       stdout=subprocess.DEVNULL, check=True)
        servers.store = fresh
        both = [servers.add(), servers.add()]
        for one in clients:
            agree(one, both)
            one.servers = both
            steady(one, 10)
            agree(one, both)
        for server in both:
            assert server.stop() == 0
    finally:
        servers.end()
        other.stop()


def test_a_database_that_goes_back_in_time(servers, postgres, uri):
    """The database under running servers is replaced by an older copy: they forget what is not there, and go on."""
    name = uri.rsplit("/", 1)[1]
    both = [servers.add(), servers.add()]
    one, lost = Wanderer(both, 1), Wanderer(both, 2)
    steady(one, 20)
    dump = subprocess.run([str(postgres.bin / "pg_dump"), uri], capture_output=True, check=True)
    steady(lost, 20)
    postgres.psql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    postgres.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    postgres.psql(f"ALTER DATABASE {name} RENAME TO {name}_old")
    postgres.psql(f"CREATE DATABASE {name}")
    subprocess.run([str(postgres.bin / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", uri], input=dump.stdout,
                   stdout=subprocess.DEVNULL, check=True)
    for server in both:
        end = time.monotonic() + 30
        while True:     # until it answers from the restored database
            status, _ = recorder.request(server.port, "GET", f"/api/2.0/mlflow/runs/get?run_id={lost.run_id}")
            if status == 404:
                break
            assert time.monotonic() < end, (status, server.log())
            time.sleep(0.1)
    agree(one, both)
    one.servers = both
    steady(one, 20)
    agree(one, both)
    check(servers, uri)


class Standby:
    """A standby of another PostgreSQL, made by pg_basebackup; started, stopped and promoted."""

    def __init__(self, primary):
        self.pg = cairn.Postgres()
        if self.pg.user:
            entry = pwd.getpwnam(self.pg.user)
            os.chown(self.pg.dir, entry.pw_uid, entry.pw_gid)
        subprocess.run(self.pg._argv([primary.bin / "pg_basebackup", "-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres",
                                      "-D", self.pg.dir / "db", "-R", "-X", "stream", "-c", "fast"]),
                       check=True, capture_output=True, env=self.pg._env(), cwd=self.pg.dir)

    def start(self):
        self.pg.start()
        return self

    def promote(self):
        self.pg.psql("SELECT pg_promote()")
        end = time.monotonic() + 30
        while self.pg.psql("SELECT pg_is_in_recovery()") != "f":
            assert time.monotonic() < end
            time.sleep(0.05)


def test_promoted_standby_without_the_last_commits(tmp_path):
    """An asynchronous standby takes over and lacks what was acknowledged last: all servers then show what it has, and go on."""
    primary = cairn.Postgres()
    primary.settings = [*primary.settings, "wal_level=replica", "max_wal_senders=4"]
    primary.start()
    standby = None
    servers = None
    try:
        name = primary.new_database().rsplit("/", 1)[1]
        standby = Standby(primary).start()
        port = standby.pg.port
        servers = Servers(tmp_path, f"postgresql://postgres@127.0.0.1:{primary.port},127.0.0.1:{port}/{name}"
                                    "?target_session_attrs=read-write")
        both = [servers.add(), servers.add()]
        one, late = Wanderer(both, 1), Wanderer(both, 2)
        steady(one, 20)
        end = time.monotonic() + 30
        while standby.pg.psql("SELECT pg_last_wal_replay_lsn()") < primary.psql("SELECT pg_current_wal_lsn()"):
            assert time.monotonic() < end
            time.sleep(0.05)
        primary.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
        primary.psql("ALTER SYSTEM SET max_wal_senders = 4")
        # no connection for the standby any more: it misses what follows
        hba = primary.dir / "db" / "pg_hba.conf"
        hba.write_text("local replication all reject\nhost replication all all reject\n" + hba.read_text())
        primary.psql("SELECT pg_reload_conf()")
        primary.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
        time.sleep(0.2)
        steady(late, 20)
        assert standby.pg.psql("SELECT pg_is_in_recovery()") == "t"
        primary.process.stop(signal.SIGQUIT)
        standby.promote()
        for server in both:
            end = time.monotonic() + 60
            while True:
                status, _ = recorder.request(server.port, "GET", f"/api/2.0/mlflow/runs/get?run_id={late.run_id}")
                if status == 404:
                    break
                assert time.monotonic() < end, (status, server.log())
                time.sleep(0.1)
        agree(one, both)
        one.servers = both
        steady(one, 20)
        agree(one, both)
        for server in both:
            assert server.stop() == 0, server.log()
    finally:
        if servers:
            servers.end()
        if standby:
            standby.pg.stop()
        primary.stop()


def test_tokens_of_one_server_count_on_the_other(servers, uri):
    """A token made through one server opens the other, and one that was taken away opens neither."""
    a, b = servers.add("--auth", "token"), servers.add("--auth", "token")

    def token(server, *words):
        argv = [str(server.binary), "server", "token", *words, "--data", str(server.data), "--store", uri]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60)

    def opens(server, text):
        answer = requests.get(server.url + "/api/2.0/mlflow/experiments/get?experiment_id=0", timeout=30,
                              headers={"Authorization": f"Bearer {text}"})
        assert answer.status_code in (200, 401), answer.text
        return answer.status_code == 200

    made = token(a, "add", "one")
    assert made.returncode == 0, made.stderr
    text = next(word for word in (made.stdout + made.stderr).split() if word.startswith("cairn_t_"))
    assert opens(a, text)
    wait_until(lambda: opens(b, text))
    gone = token(b, "rm", "one")
    assert gone.returncode == 0, gone.stderr
    assert not opens(b, text)
    wait_until(lambda: not opens(a, text))


def wait_until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
