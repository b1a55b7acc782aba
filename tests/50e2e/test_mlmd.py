"""ML Metadata: the unmodified pip client against the server, and against the library's own store: the same answers."""

import re
import sqlite3
import textwrap
from pathlib import Path

import pytest
import requests

import cairn
from registry_worker import worker_of
from replicas import Servers

pytestmark = pytest.mark.cairn_only

SETUP = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parent.parent / 'lib')!r})
import mlmd_calls as calls
from mlmd_calls import pb
"""


@pytest.fixture(scope="module")
def worker():
    yield from worker_of("mlmd", SETUP)


@pytest.fixture(scope="module")
def reference(worker):
    return worker.run("result = calls.run('')")


def address(server):
    return server.url.split("://")[1]


@pytest.fixture
def ask(worker, start_server):
    """Runs code with `st`, a store of a fresh server."""
    server = start_server()

    def run(code, **values):
        return worker.run(textwrap.dedent(code), **values)

    run.server = server
    run("st = calls.Store(calls.config_of(address))", address=address(server))
    return run


def agree(want, got):
    """Errors agree in their code and in the words that a client looks for; everything else is equal."""
    if isinstance(want, dict) and "code" in want and isinstance(got, dict):
        head = re.split(r"[:'\"`{0-9]", got.get("text", ""))[0].strip()
        return want["code"] == got.get("code") and head in " ".join(want["text"].split())
    return want == got


def test_the_same_answers_as_the_library(worker, reference, own):
    server = own
    got = worker.run("result = calls.run(address)", address=address(server))
    assert got.keys() == reference.keys() and len(got) == 12
    for case in reference:
        assert len(got[case]) == len(reference[case])
        for i, (want, have) in enumerate(zip(reference[case], got[case])):
            assert agree(want, have), f"{case} {i}\nthe library: {want}\ncairn: {have}"
    assert worker.run("result = calls.run(address, 'only_many')", address=address(server)) == {"only_many_contexts": [True, True, 3, 3, 12]}
    server.stop()
    server.start()
    again = worker.run("""
st = calls.Store(calls.config_of(address))
result = [len(st.s.get_artifacts()), len(st.s.get_artifact_type("Data").properties)]
""", address=address(server))
    assert again[0] > 10 and again[1] == 7


def test_namespaces(ask):
    assert ask("""
        import grpc
        from ml_metadata.proto import metadata_store_service_pb2 as service
        channel = grpc.insecure_channel(address)

        def call(method, ns=None, **fields):
            kinds = [getattr(service, method + end) for end in ("Request", "Response")]
            fn = channel.unary_unary("/ml_metadata.MetadataStoreService/" + method, request_serializer=kinds[0].SerializeToString,
                                     response_deserializer=kinds[1].FromString)
            return fn(kinds[0](**fields), timeout=20, metadata=(("cairn-namespace", ns),) if ns else None)

        put = lambda ns: call("PutArtifactType", ns, artifact_type={"name": "T", "external_id": "e"}).type_id
        ids = [put(None), put("one"), put("two"), put("one")]
        made = [list(call("PutArtifacts", ns, artifacts=[{"type_id": ids[0], "name": "n", "external_id": "e"}] * 1).artifact_ids)
                for ns in (None, "one", "two")]
        more = list(call("PutArtifacts", "one", artifacts=[{"type_id": ids[1]}, {"type_id": ids[1]}]).artifact_ids)
        counts = [len(call("GetArtifacts", ns).artifacts) for ns in (None, "one", "two", "nobody")]
        system = [call("GetExecutionType", ns, type_name="mlmd.Train").execution_type.id for ns in (None, "one", "nobody")]
        result = [ids, made, more, counts, system]
        """, address=address(ask.server)) == [[10, 10, 10, 10], [[1], [1], [1]], [2, 3], [1, 3, 1, 0], [5, 5, 5]]


def test_filters_beyond_the_library(own, worker):
    bad = "3 Invalid `filter_query`: "
    got = worker.run("result = calls.run(address, 'only_filters')", address=address(own))["only_filters"]
    assert got == [["B", "it's"], [], ["A"], [], ["C2", "C3"], ["C1", "C2"], [], [], [], [], ["A", "B", "it's"], bad + "Function not found: LOWER",
                   ["A"], ["A"], [bad] * 7]


def test_corners_that_are_otherwise_on_purpose(own, worker):
    got = worker.run("result = calls.run(address, 'only_corners')", address=address(own))["only_corners"]
    assert got == [-1, True, 6, 3, 3, True, 3, 3, True]


def test_what_the_library_makes_of_a_subgraph(ask):
    """The client fills nodes and types in; an ending filter that is empty is none."""
    assert ask("""
        calls.types(st)
        _, tag = calls.random_graph(st, 1, 4)
        g = st.s.get_lineage_subgraph(pb.LineageSubgraphQueryOptions(starting_artifacts={"filter_query": "name = 'g1-0'"}, max_num_hops=2))
        asked = {"starting_artifacts": {"filter_query": "name = 'g1-0'"}}
        both = [calls.subgraph(st, ending_executions=end, **asked) for end in ({"filter_query": ""}, {})]
        result = [sorted(a.name for a in g.artifacts), sorted(x.name for x in g.executions), {t.name for t in g.artifact_types} >= {"Data"},
                  all(a.uri for a in g.artifacts), len(g.events) >= 4, both[0] == both[1]]
        """) == [[f"g1-{i}" for i in range(4)], [f"g1-{i}" for i in range(4)], True, True, True, True]


def test_what_is_not_served_says_so(ask):
    assert ask("""
        result = [calls.outcome(st.raw, "GetLineageGraph")["code"]]
        """) == [12]


EACH = """
import threading
def puts(addresses, clients, each, stop=None):
    """ + '"""Every client puts events of its own on execution 1: (client, artifact) that were acknowledged."""' + """
    seen, lock = [], threading.Lock()
    def work(i):
        one = calls.metadata_store.MetadataStore(calls.config_of(addresses[i % len(addresses)]))
        for _ in range(each):
            try:
                _, made, _ = one.put_execution(pb.Execution(id=st.execution, type_id=st.train), [(pb.Artifact(type_id=st.data), pb.Event(type=pb.Event.OUTPUT))], [])
            except calls.errors.StatusError:
                return
            with lock:
                seen.append(made[0])
                if stop and len(seen) == stop:
                    enough.set()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(clients)]
    for t in threads: t.start()
    return seen, threads
enough = threading.Event()
calls.types(st)
st.execution = st.s.put_executions([pb.Execution(type_id=st.train)])[0]
"""


def test_clients_on_one_execution(ask):
    """32 clients, one execution: every event that was acknowledged is there, each once."""
    assert ask(EACH + """
seen, threads = puts([address], 32, 4)
for t in threads: t.join(120)
got = [e.artifact_id for e in st.s.get_events_by_execution_ids([st.execution])]
result = [len(seen), sorted(got) == sorted(seen), len(set(got))]
""", address=address(ask.server)) == [128, True, 128]


@pytest.mark.skipif("postgres" not in cairn.engines(), reason="several servers need PostgreSQL")
def test_two_servers_on_one_execution(worker, tmp_path, postgres):
    servers = Servers(tmp_path, postgres.new_database())
    try:
        places = [address(servers.add()) for _ in range(2)]
        worker.run("st = calls.Store(calls.config_of(place))\n" + EACH, place=places[0])
        assert worker.run("""
seen, threads = puts(places, 8, 5)
for t in threads: t.join(120)
stores = [calls.Store(calls.config_of(p)).s for p in places]
got = [[e.artifact_id for e in s.get_events_by_execution_ids([st.execution])] for s in stores]
result = [len(seen), sorted(got[0]) == sorted(seen), got[0] == got[1], len(set(seen))]
""", places=places) == [40, True, True, 40]
    finally:
        servers.end()


NAMED = """
def read(s):
    a = s.get_artifact_by_type_and_name("Data", "a")
    return a and [a.state, a.custom_properties["n"].int_value, a.external_id, a.last_update_time_since_epoch]
"""


def test_a_name_that_is_asked_again(ask):
    """Answers by name are in memory from the second time on, until the node is changed: also while it is."""
    assert ask(NAMED + """
import threading
calls.types(st)
result = [read(st.s)]
(a,) = st.s.put_artifacts([pb.Artifact(type_id=st.data, name="a", state=1, custom_properties={"n": pb.Value(int_value=0)})])
stop, bad = threading.Event(), []
def look():
    s, last = calls.Store(calls.config_of(address)).s, -1
    while not stop.is_set():
        n = read(s)[1]
        bad.extend([n] if n < last else [])
        last = n
threads = [threading.Thread(target=look, daemon=True) for _ in range(3)]
for t in threads: t.start()
for n in range(1, 60):
    st.s.put_artifacts([pb.Artifact(id=a, type_id=st.data, name="a", state=n % 4, external_id=str(n), custom_properties={"n": pb.Value(int_value=n)})])
    got = [read(st.s) for _ in range(2)]
    bad.extend([] if got[0] == got[1] and got[0][:3] == [n % 4, n, str(n)] else [got])
stop.set()
for t in threads: t.join(60)
result.append(bad)
# a context's name can change, and one in another namespace is another one
(c,) = st.s.put_contexts([pb.Context(type_id=st.exp, name="old")])
result += [st.s.get_context_by_type_and_name("Exp", "old").id == c for _ in range(2)]
st.s.put_contexts([pb.Context(id=c, type_id=st.exp, name="new")])
result += [st.s.get_context_by_type_and_name("Exp", "old"), st.s.get_context_by_type_and_name("Exp", "new").id == c]
""", address=address(ask.server)) == [None, [], True, True, None, True]


@pytest.mark.skipif("postgres" not in cairn.engines(), reason="several servers need PostgreSQL")
def test_a_name_on_two_servers(worker, tmp_path, postgres):
    """What another server changed is seen, also by one that was alone before and knew the answer."""
    servers = Servers(tmp_path, postgres.new_database())
    try:
        first = address(servers.add())
        put = """
st.s.put_artifacts([pb.Artifact(id=a, type_id=st.data, name="a", state=n, custom_properties={"n": pb.Value(int_value=n)})])
"""
        worker.run("st = calls.Store(calls.config_of(place))\ncalls.types(st)\n" + NAMED + """
(a,) = st.s.put_artifacts([pb.Artifact(type_id=st.data, name="a")])
result = [read(st.s)[0] for _ in range(3)]
""", place=first)
        second = address(servers.add())
        for n in range(1, 6):
            got = worker.run("""
stores = [calls.Store(calls.config_of(p)) for p in places]
st.s = stores[n % 2].s
""" + put + "result = [read(s.s)[:2] for s in stores]", places=[first, second], n=n)
            assert got == [[n, n], [n, n]]
    finally:
        servers.end()


def test_killed_in_the_middle_of_puts(ask):
    """Nothing that was acknowledged is lost; what was not is there whole or not at all."""
    server = ask.server
    ask(EACH + """
seen, threads = puts([address], 8, 10000, stop=60)
result = enough.wait(120)
""", address=address(server))
    server.kill()
    server.start()
    assert ask("""
for t in threads: t.join(120)
st = calls.Store(calls.config_of(address))
got = [e.artifact_id for e in st.s.get_events_by_execution_ids([1])]
artifacts = {a.id for a in st.s.get_artifacts()}
result = [len(seen) >= 60, set(seen) <= set(got), set(got) == artifacts, len(got) - len(seen) <= 8]
""", address=address(server)) == [True, True, True, True]


def test_pages_of_an_unlimited_list(ask):
    """Without options an answer holds what a client takes; the token leads on, and the client of the library follows it."""
    assert ask("""
        calls.types(st)
        big = "x" * 400000
        ids = [st.s.put_artifacts([pb.Artifact(type_id=st.data, custom_properties={"v": pb.Value(string_value=big)})])[0] for _ in range(21)]
        first = st.raw("GetArtifacts")
        second = st.raw("GetArtifacts", options={"next_page_token": first.next_page_token})
        third = st.raw("GetArtifacts", options={"next_page_token": second.next_page_token})
        seen = [a.id for p in (first, second, third) for a in p.artifacts]
        result = [seen == ids, len(first.artifacts) >= 9, len(second.artifacts) >= 9, third.next_page_token, first.ByteSize() < 4 << 20]
        """) == [True, True, True, "", True]


def test_lineage_walks_through(ask):
    """What came in as events is a link of the one graph."""
    ask("""
        calls.types(st)
        a, b = st.s.put_artifacts([pb.Artifact(type_id=st.data, name="raw"), pb.Artifact(type_id=st.data, name="model")])
        st.s.put_execution(pb.Execution(type_id=st.train, name="fit"), [(None, pb.Event(type=pb.Event.INPUT, artifact_id=a)),
                                                                        (None, pb.Event(type=pb.Event.OUTPUT, artifact_id=b))], [])
        """)
    server = ask.server
    with sqlite3.connect(f"file:{server.data}/cairn.db?mode=ro", uri=True) as db:
        uid = dict(db.execute("SELECT name, uid FROM node WHERE type_id > 100"))
    answer = requests.get(f"{server.url}/api/cairn/v1/lineage", params={"node": f"node:{uid['model']}", "direction": "up"}, timeout=30).json()
    names = {n["name"]: n["distance"] for n in answer["nodes"]}
    assert names == {"model": 0, "fit": 1, "raw": 2}
