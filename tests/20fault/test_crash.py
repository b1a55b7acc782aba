"""Nothing acknowledged is lost, and a request is stored whole or not at all: the program dies at every failpoint, at
random moments under load, and each failpoint that raises an error raises it; then the store is opened again and compared.

The list of failpoints comes from the sources (tools/failpoints); one that the workload never passes fails the test.
Needs a build with failpoints: any but release."""

import os
import random
import subprocess
import sys
import threading
import time

import pytest

import cairn
import recorder

pytestmark = pytest.mark.cairn_only

STEPS = 60
# Points that this workload cannot pass, each with the test that does.
ELSEWHERE = {
    "seq.checkpoint.passive": "test_seq_crash.c, with a smaller limit on the log",
    "seq.postgres.turn_locked": "test_replicas.py, beside another server",
    "seq.postgres.reaped": "test_replicas.py",
    "seq.postgres.played": "test_replicas.py",
    **dict.fromkeys(["compact.planned", "compact.validate", "compact.validated", "series.merge.chunk", "series.merge.deleted",
                     "series.merge.pack"], "test_seq_crash.c, with smaller chunks"),
    **dict.fromkeys(["core.purge.chunks", "core.purge.named", "core.purge.packs", "core.purge.step",
                     "core.purge.experiment", "core.purge.experiment.part", "core.purge.experiment.done"],
                    "test_seq_crash.c, which removes runs and experiments for good"),
    "core.purge.model": "test_purge.c",
    "core.graph.place.step": "test_places.c, with many artifacts at one place",
    **dict.fromkeys(["blob.delete.one", "core.collect.bytes.before", "core.collect.bytes.after", "core.collect.condemn",
                     "core.collect.deleted", "core.collect.leases", "core.collect.retired", "core.collect.sentence",
                     "core.collect.packs", "core.collect.packs.bytes", "core.collect.packs.gone",
                     "core.collect.packs.unindexed",
                     "core.object.release"], "test_collect.c"),
    **dict.fromkeys(["core.repack.begun", "core.repack.seal", "core.repack.sealed", "core.repack.written", "core.repack.indexed",
                     "core.repack.swapped", "core.repack.stays", "core.repack.unindexed", "core.repack.left", "core.repack.delete",
                     "core.repack.deleted", "core.repack.gone", "core.repack.stale"], "test_repack.c"),
    "core.repack.verified": "test_deltas.c",
    **dict.fromkeys(["graph.base.before_sync", "graph.base.before_rename", "graph.base.before_dir_sync"],
                    "test_core_graph.c, with many links"),
    **dict.fromkeys(["core.resume.cancel", "core.resume.drop", "core.resume.left"], "test_resumable.py, killed there"),
    **dict.fromkeys(["core.outbox.setup", "core.outbox.take", "core.outbox.advance"], "test_emit.py, killed there"),
    **dict.fromkeys(["core.step.record", "core.step.invalidate"], "test_steps.py, killed there"),
    **dict.fromkeys(["core.openlineage.packed", "core.openlineage.derived"], "test_openlineage_receiver.py, killed there"),
    **dict.fromkeys(["core.scrub.heal", "core.scrub.judge", "core.scrub.mark", "core.scrub.swept"], "test_scrub.c"),
}
# Points that are passed once nobody has written for a while.
IDLE = {"seq.checkpoint.truncated", "store.sqlite.checkpoint.before", "store.sqlite.checkpoint.after"}


def all_failpoints():
    out = subprocess.run([sys.executable, cairn.ROOT / "tools/failpoints"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [tuple(line.split()[:2]) for line in out.splitlines()]


POINTS = all_failpoints()
ENGINES = cairn.engines()


@pytest.fixture(params=ENGINES)
def make_server(request, tmp_path):
    """make_server(env) starts a server on the same store each time."""
    store = request.getfixturevalue("postgres").new_database() if request.param == "postgres" else None
    made = []

    def make(env=None):
        server = cairn.CairnServer(tmp_path / "data", store=store, env=dict({"CAIRN_FAILPOINT": ""}, **(env or {})))
        made.append(server)
        return server

    yield make
    for server in made:
        if server.process and server.process.is_running():
            server.kill()


def work(port, seed, steps, on_refused=None):
    """One recorder that works until it is done or the server is gone."""
    experiment = recorder.call(port, "POST", "experiments/create", {"name": f"crash {seed} {time.monotonic_ns()}"})["experiment_id"]
    one = recorder.Recorder(port, experiment, seed)
    one.resumes = True
    one.start()
    return one, go_on(one, steps, on_refused)


def go_on(one, steps, on_refused=None):
    """True if the server is still there."""
    for _ in range(steps):
        try:
            one.step()
        except recorder.Lost:
            return False
        except recorder.Refused:
            if on_refused is None:
                raise
            on_refused(one)
    return True


def reopen_and_compare(make_server, workers):
    server = make_server().start()
    for one in workers:
        one.port = server.port
        one.compare()
        assert go_on(one, 5), "the reopened store takes no writes"
        one.compare()
    assert server.stop() == 0, server.log()
    return server


def wait_for(condition, seconds=30):
    """True once the condition is; False if the time is over."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def check_store(server):
    """`cairn server check` finds nothing."""
    argv = [str(server.binary), "server", "check", "--data", str(server.data)]
    if server.store:
        argv += ["--store", server.store]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def test_every_failpoint_is_passed(make_server, tmp_path):
    """The whole workload and a clean end pass every point; what is not passed is not tested."""
    listing = tmp_path / "passed"
    server = make_server({"CAIRN_FAILPOINT_LIST": str(listing)}).start()
    one, alive = work(server.port, 1, 3 * STEPS)
    assert alive, server.log()
    one.compare()
    wanted = {name for name, _ in POINTS} - set(ELSEWHERE) - other_engine(server.engine)
    wait_for(lambda: (IDLE & wanted) <= set(listing.read_text().split()))
    assert server.stop() == 0, server.log()
    missing = wanted - set(listing.read_text().split())
    assert not missing, f"never passed on {server.engine}: {', '.join(sorted(missing))}"
    check_store(server)


def other_engine(engine):
    """Points in the code of the engine that is not in use."""
    words = {"sqlite": (".postgres.",), "postgres": (".sqlite.", ".checkpoint.")}[engine]
    words += (".s3.",)  # another backend of the bytes: tests/30conformance/test_blob_backends.c
    words += (".outside.",)  # folders of others that are written: tests/50e2e/test_artifact_places_write.py
    return {name for name, _ in POINTS if any(word in name for word in words)}


@pytest.mark.parametrize("passing", [1, 4])
@pytest.mark.parametrize("name", [name for name, _ in POINTS] or [None])
def test_kill_at(make_server, name, passing):
    """kill -9 at the first and at a later passing of the point."""
    if name is None:
        pytest.skip("no failpoints in the sources")
    server = make_server({"CAIRN_FAILPOINT": f"{name}=kill:{passing}"})
    if name in other_engine(server.engine):
        pytest.skip("code of the other engine")
    workers = []
    try:
        server.start()
        one, alive = work(server.port, passing, STEPS)
        workers.append(one)
        if alive and name in IDLE and passing == 1:
            assert wait_for(lambda: not server.process.is_running()), server.log()
        elif alive:
            server.stop()   # a point of the clean end, or one that is passed less often
    except (cairn.StartError, recorder.Lost):
        pass                # died while it started, or before the run was there
    # a connection ends before the process does, and the lock of the store with the process
    assert server.process is None or wait_for(lambda: not server.process.is_running()), server.log()
    check_store(reopen_and_compare(make_server, workers))


@pytest.mark.parametrize("passing", [1, 2, 9])
@pytest.mark.parametrize("name", [name for name, kind in POINTS if kind == "error"] or [None])
def test_error_at(make_server, name, passing):
    """An error there is answered, stores nothing by halves, and leaves a server that goes on."""
    if name is None:
        pytest.skip("no failpoints that raise errors")
    server = make_server({"CAIRN_FAILPOINT": f"{name}=error:{passing}"})
    if name in other_engine(server.engine):
        pytest.skip("code of the other engine")
    try:
        server.start()
    except cairn.StartError:
        check_store(reopen_and_compare(make_server, []))
        return
    try:
        one, alive = work(server.port, 3, STEPS, on_refused=recorder.Recorder.compare)
    except recorder.Refused:
        one, alive = None, True
    assert alive, server.log()
    if one:
        one.compare()
    server.stop()
    check_store(reopen_and_compare(make_server, [one] if one else []))


@pytest.mark.parametrize("seed", range(int(os.environ.get("CAIRN_CRASH_ROUNDS", "3"))))
def test_kill_under_load(make_server, seed):
    """kill -9 at a random moment while eight clients write."""
    chance = random.Random(seed)
    server = make_server().start()
    workers, lock = [], threading.Lock()

    def client(index):
        try:
            experiment = recorder.call(server.port, "POST", "experiments/create", {"name": f"load {index}"})["experiment_id"]
            one = recorder.Recorder(server.port, experiment, seed * 100 + index)
            one.start()
        except recorder.Lost:
            return
        with lock:
            workers.append(one)
        while go_on(one, 1000):
            pass

    threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    wanted = chance.randrange(50, 400)
    end = time.monotonic() + 60
    while sum(one.n for one in list(workers)) < wanted and time.monotonic() < end:
        time.sleep(0.001)
    server.kill()
    for t in threads:
        t.join(60)
    assert workers
    check_store(reopen_and_compare(make_server, workers))
