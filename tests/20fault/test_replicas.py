"""A server among others dies at each step of its turn, of joining, of putting one off the list, of a drain: the others have all that
was acknowledged, and go on. Needs a build with failpoints: any but release."""

import signal
import time

import pytest

import cairn
import recorder
from replicas import LEASE_S, Servers, Wanderer, agree, check, steady

pytestmark = [pytest.mark.cairn_only,
              pytest.mark.skipif("postgres" not in cairn.engines(), reason="several servers need PostgreSQL")]

DRAINS = ("seq.drain.begin", "seq.drain.pack", "seq.drain.head", "seq.drain.before_commit", "seq.drain.after_commit",
          "seq.trim.before_commit", "seq.trim.after_commit")
GROUPS = ("seq.postgres.turn_locked", "seq.postgres.played", "seq.group.before_commit", "seq.group.after_commit",
          "seq.group.before_answer")


@pytest.fixture
def uri(postgres):
    return postgres.new_database()


@pytest.fixture
def servers(tmp_path, uri):
    made = Servers(tmp_path, uri)
    yield made
    made.end()


def start_dying(servers, name, nth):
    """A server that will die; None when it did so while it started."""
    try:
        return servers.add("--store-drain-age", "200ms", env={"CAIRN_FAILPOINT": f"{name}=kill:{nth}"})
    except cairn.StartError:
        return None


def write_until_dead(one, other, dying, seconds=30):
    """Writes to both, as long as there are two."""
    one.servers = [other, dying]
    end = time.monotonic() + seconds
    while dying.process.is_running():
        try:
            if one.after is not None:
                one.compare()
            one.step()
        except (recorder.Lost, recorder.Refused):
            time.sleep(0.02)
        assert time.monotonic() < end, "the step was never reached"
    one.servers = [other]


def finish(servers, uri, one, alive):
    """One that joins later, and the dead ones started again, have everything too."""
    agree(one, [alive])
    steady(one, 5)
    agree(one, [alive, servers.add()])
    for server in servers.all:
        if not server.process.is_running():
            server.env["CAIRN_FAILPOINT"] = ""
            server.start()
            agree(one, [server])
    check(servers, uri)


@pytest.mark.parametrize("name", GROUPS)
def test_killed_in_a_turn(servers, uri, name):
    other = servers.add("--store-drain-age", "200ms")
    one = Wanderer([other], 1)
    steady(one, 5)
    dying = start_dying(servers, name, 4)
    assert dying
    write_until_dead(one, other, dying)
    finish(servers, uri, one, other)


@pytest.mark.parametrize("name", DRAINS)
def test_killed_in_a_drain(servers, uri, name):
    """The first server is the one that drains."""
    dying = start_dying(servers, name, 3)
    assert dying
    other = servers.add("--store-drain-age", "200ms")
    one = Wanderer([other], 2)
    steady(one, 3)
    write_until_dead(one, other, dying)
    finish(servers, uri, one, other)


def test_killed_while_it_joins(servers, uri):
    other = servers.add()
    one = Wanderer([other], 3)
    steady(one, 10)
    assert start_dying(servers, "seq.postgres.enlisted", 1) is None
    finish(servers, uri, one, other)


def test_killed_while_it_puts_another_one_off_the_list(servers, uri):
    other = servers.add()
    one = Wanderer([other], 4)
    steady(one, 10)
    dying = start_dying(servers, "seq.postgres.reaped", 1)
    assert dying
    other.process.proc.send_signal(signal.SIGSTOP)
    end = time.monotonic() + 10 * LEASE_S
    while dying.process.is_running():
        assert time.monotonic() < end, "nobody was put off the list"
        time.sleep(0.02)
    other.process.proc.send_signal(signal.SIGCONT)
    finish(servers, uri, one, other)
