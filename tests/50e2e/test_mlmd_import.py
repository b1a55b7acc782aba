"""cairn import mlmd: from the library's own SQLite file, and from the library's own store behind grpcio; then the same answers."""

import shutil
import sqlite3
from pathlib import Path

import cairn
import command
import pytest
from registry_worker import worker_of

pytestmark = pytest.mark.cairn_only

SETUP = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parent.parent / 'lib')!r})
import mlmd_front as front
"""
TABLES = ["artifact types", "execution types", "context types", "artifacts", "executions", "contexts", "parents", "attributions",
          "associations", "events", "runs"]


@pytest.fixture(scope="module")
def worker():
    yield from worker_of("mlmd", SETUP)


@pytest.fixture(scope="module")
def filled(worker, tmp_path_factory):
    """A store of the library, and what it says of itself."""
    path = tmp_path_factory.mktemp("source") / "metadata.db"
    worker.run("front.fill(front.store_of(path))", path=str(path))
    return path


def served(worker, path, server=None):
    """What the library says of a store, and the address at which it does."""
    return worker.run("""
if current:
    current.stop()
store = front.store_of(path)
current = front.Front(store)
result = [f"127.0.0.1:{current.port}", front.dump(front.Calls(f"127.0.0.1:{current.port}"))]
""", path=str(path), current=None)


def held(worker, server, ns):
    return worker.run("result = front.dump(front.Calls(address, ns))", address=server.url.split("://")[1], ns=ns)


def counts(report, *what):
    return {t["table"]: [t[w] for w in what] for t in report["tables"]}


def same(want, got):
    assert want.keys() == got.keys()
    for part in want:
        assert want[part] == got[part], part


def test_from_the_file_and_again_what_changed(worker, filled, own, tmp_path):
    cli = command.Cli(tmp_path, own.url)
    path = tmp_path / "metadata.db"
    shutil.copy(filled, path)
    address, want = served(worker, path)
    report = cli.json("import", "mlmd", path, "--namespace", "one")
    assert report["reasons"] == [] and report["renumbered"] == 0
    assert counts(report, "read", "new", "found") == dict(zip(TABLES, [[6, 2, 4], [6, 1, 5], [1, 1, 0], [130, 130, 0], [110, 110, 0], [4, 4, 0],
                                                                       [2, 2, 0], [130, 130, 0], [110, 110, 0], [220, 220, 0], [0, 0, 0]]))
    same(want, held(worker, own, "one"))

    report = cli.json("import", "mlmd", path, "--namespace", "one")
    assert all(t["unchanged"] == t["read"] for t in report["tables"])
    worker.run("front.change(store)")
    want = worker.run("result = front.dump(front.Calls(address))", address=address)
    report = cli.json("import", "mlmd", path, "--namespace", "one")
    assert {t: n for t, n in counts(report, "new", "changed").items() if any(n)} == {
        "artifacts": [0, 1], "executions": [1, 0], "contexts": [1, 0], "attributions": [1, 0], "associations": [1, 0], "events": [1, 0]}
    same(want, held(worker, own, "one"))

    # The same store by its address is the same source under the same name, and another one without.
    report = cli.json("import", "mlmd", f"grpc://{address}", "--namespace", "one", "--source", str(path))
    assert all(t["unchanged"] == t["read"] for t in report["tables"]) and counts(report, "read")["events"] == [221]
    own.stop()
    own.start()
    same(want, held(worker, own, "one"))


def test_from_a_server_into_a_place_that_is_used(worker, filled, own, tmp_path):
    """Numbers that are taken are given anew; everything else is as it was."""
    cli = command.Cli(tmp_path, own.url)
    address, want = served(worker, filled)
    report = cli.json("import", "mlmd", f"grpc://{address}", "--namespace", "two")
    assert report["reasons"] == []
    same(want, held(worker, own, "two"))
    worker.run("""
calls = front.Calls(address, "three")
t = calls("PutArtifactType", artifact_type={"name": "Mine"}).type_id
calls("PutArtifacts", artifacts=[{"type_id": t}, {"type_id": t}])
c = calls("PutContextType", context_type={"name": "Pipeline"}).type_id
calls("PutContexts", contexts=[{"type_id": c, "name": "mine"}, {"type_id": c, "name": "run 0"}])
""", address=own.url.split("://")[1])
    report = cli.json("import", "mlmd", f"grpc://{address}", "--namespace", "three")
    assert report["reasons"] == [] and counts(report, "new", "found")["contexts"] == [3, 1] and counts(report, "found")["context types"] == [1]
    got = held(worker, own, "three")
    moved = {a["name"]: int(a["id"]) for a in got["artifacts"] if "name" in a}
    assert len(got["artifacts"]) == 132 and moved["a 1"] == 4 and moved["a 3"] == 6
    assert len(got["events"]) == 220 and len(got["attributions"]) == 130 and len(got["parents"]) == 2
    assert cli.json("import", "mlmd", f"grpc://{address}", "--namespace", "three")["reasons"] == []
    same(got, held(worker, own, "three"))


def test_a_server_that_gives_more_than_it_was_asked_for(worker, filled, start_server, tmp_path):
    cli = command.Cli(tmp_path, start_server().url)
    port = worker.run("""
class Wide(front.Front):
    @staticmethod
    def handler(store, method):
        def answer(request, context):
            out = getattr(front.service, method + "Response")()
            store._call(method, request, out)
            if method == "GetContexts":
                out.contexts.extend(list(out.contexts) * 50)
            return out

        return front.grpc.unary_unary_rpc_method_handler(answer, getattr(front.service, method + "Request").FromString,
                                                         getattr(front.service, method + "Response").SerializeToString)

wide = Wide(front.store_of(path))
result = wide.port
""", path=str(filled))
    cli.run("import", "mlmd", f"grpc://127.0.0.1:{port}", rc=2)
    assert "204 rows where 100 were asked for" in cli.err, cli.err
    worker.run("wide.stop()")


def hostile(path):
    """What the library never writes, but a file may hold."""
    with sqlite3.connect(path) as db:
        run = db.execute
        run("INSERT INTO Event (artifact_id, execution_id, type) VALUES (999, 1, 3), (1, 999, 3), (5, 5, 0), (6, 6, 77)")
        run("INSERT INTO Attribution (context_id, artifact_id) VALUES (1, -1), (99, 1)")
        run("INSERT INTO ParentContext VALUES (1, 3)")  # a ring
        run("INSERT INTO Artifact (id, type_id, name) VALUES (9000000000000000000, 10, 'far'), (500, 4711, 'no type'), (501, 10, 'a' || char(0))")
        run("INSERT INTO Artifact (id, type_id, name) VALUES (502, 10, CAST(x'ff00fe' AS text)), (503, 10, 'bad value'), (504, 10, 'undeclared')")
        run("INSERT INTO ArtifactProperty (artifact_id, name, is_custom_property) VALUES (1, 'empty', 1)")
        run("INSERT INTO ArtifactProperty (artifact_id, name, is_custom_property, string_value) VALUES (503, 'rows', 0, 'text')")
        run("INSERT INTO ArtifactProperty (artifact_id, name, is_custom_property, string_value) VALUES (504, 'nobody', 0, 'text')")
        run("INSERT INTO ArtifactProperty (artifact_id, name, is_custom_property, string_value) VALUES (2, 'torn', 1, 'mlmd-struct::!!!')")
        run("INSERT INTO ArtifactProperty (artifact_id, name, is_custom_property, string_value) VALUES (4, 'long', 1, ?)", ("x" * 3_000_000,))
        run("INSERT INTO Artifact (id, type_id, uri) VALUES (507, 10, ?)", ("x" * (65 << 20),))
        run("INSERT INTO Type (id, name, type_kind) VALUES (900, '', 1), (901, 'Odd', 1), (902, 'Data', 1)")  # 902: of that name before
        run("INSERT INTO TypeProperty VALUES (901, 'p', 99), (902, 'rows', 3)")
        run("INSERT INTO Artifact (id, type_id) VALUES (505, 901), (506, 902)")
    db.close()


def test_hostile_rows_are_skipped_and_named(worker, filled, start_server, tmp_path):
    server = start_server()
    cli = command.Cli(tmp_path, server.url)
    path = tmp_path / "hostile.db"
    shutil.copy(filled, path)
    hostile(path)
    report = cli.json("import", "mlmd", path, "--namespace", "h")
    got = {}
    for r in report["reasons"]:
        got.setdefault(r["table"], []).append((r["number"], r["reason"]))
    assert [n for n, _ in got["artifact types"]] == [900, 901, 902]
    assert sorted(n for n, _ in got["artifacts"]) == [1, 2, 500, 501, 502, 503, 504, 505, 506, 507]
    texts = dict(got["artifacts"])
    assert "empty" in texts[1] and "torn" in texts[2] and "4711" in texts[500] and "rows" in texts[503] and "nobody" in texts[504]
    assert "64 MiB" in texts[507]
    assert "901" in texts[505] and len(got["events"]) == 4 and len(got["attributions"]) == 2 and "cycle" in got["parents"][0][1]
    held_now = held(worker, server, "h")
    assert len(held_now["artifacts"]) == 131 and len(held_now["events"]) == 220
    assert report["renumbered"] == 1  # of the number that is too large
    assert cli.json("import", "mlmd", path, "--namespace", "h")["renumbered"] == 0
    same(held_now, held(worker, server, "h"))
    assert "and" in cli.run("import", "mlmd", path, "--namespace", "h") + cli.err and "4711" in cli.err


def test_what_is_no_store_says_so(filled, start_server, tmp_path):
    cli = command.Cli(tmp_path, start_server().url)

    def refused(path, words, rc=1):
        cli.run("import", "mlmd", path, rc=rc)
        assert words in cli.err, cli.err

    def copy(name, *sql):
        to = tmp_path / name
        shutil.copy(filled, to)
        with sqlite3.connect(to) as db:
            for one in sql:
                db.execute(one)
        db.close()
        return to

    text = tmp_path / "text"
    text.write_text("this is no database, " * 100)
    refused(tmp_path / "nothing", "cannot be opened", 3)
    refused(text, "no SQLite database")
    refused(copy("old", "UPDATE MLMDEnv SET schema_version = 4"), "has schema 4", 5)
    refused(copy("new", "UPDATE MLMDEnv SET schema_version = 11"), "grpc://", 5)
    refused(copy("odd", "UPDATE MLMDEnv SET schema_version = 10", "DROP TABLE Event"), "no such table")
    refused(copy("other", "DROP TABLE MLMDEnv"), "no store of ML Metadata", 5)
    refused(copy("view", "ALTER TABLE MLMDEnv RENAME TO m", "CREATE VIEW MLMDEnv AS SELECT 10 AS schema_version"), "no store of ML Metadata", 5)
    torn = copy("torn")
    whole = torn.read_bytes()
    torn.write_bytes(whole[:8192] + b"\xa5" * (len(whole) - 8192))
    refused(torn, "damaged")
    refused("grpc://127.0.0.1:1", "127.0.0.1:1", 6)


def test_executions_as_runs(worker, filled, own, tmp_path):
    """Only when asked: each with its name, state, times and params, and with the links of the execution; again, without doubles."""
    import mlflow

    cli = command.Cli(tmp_path, own.url)
    path = tmp_path / "metadata.db"
    shutil.copy(filled, path)
    worker.run("""
store = front.store_of(path)
x = front.pb.Execution(type_id=store.get_execution_type("Train").id, name="rich", last_known_state=front.pb.Execution.RUNNING)
for key, value in {"i": 2 ** 53 + 1, "d": 0.5, "b": True, "text/ü": "x", "text_ü": "x", "..": "z", "long": "y" * 7000}.items():
    setattr(x.custom_properties[key], {int: "int_value", float: "double_value", bool: "bool_value", str: "string_value"}[type(value)], value)
x.custom_properties["tree"].struct_value.update({"k": [1, None]})
store.put_execution(x, [(None, front.pb.Event(artifact_id=2, type=front.pb.Event.INPUT))], [])
""", path=str(path))
    assert cli.json("import", "mlmd", path, "--namespace", "r")["tables"][10] == {
        "table": "runs", "read": 0, "new": 0, "changed": 0, "unchanged": 0, "found": 0, "skipped": 0}
    report = cli.json("import", "mlmd", path, "--namespace", "r", "--as-runs", "old steps")
    assert counts(report, "read", "new", "unchanged")["runs"] == [111, 111, 0]
    assert [(r["table"], r["number"]) for r in report["reasons"]] == [("runs", 111)] * 3  # a long one, a doubled name, a name that is none
    assert len({r["reason"] for r in report["reasons"]}) == 3
    client = mlflow.MlflowClient(own.url)
    exp = client.get_experiment_by_name("old steps").experiment_id
    runs = {r.data.tags["mlmd.execution"]: r for r in client.search_runs([exp], max_results=1000)}
    assert len(runs) == 111 and {r.info.status for r in runs.values()} == {"FINISHED", "FAILED", "KILLED", "RUNNING", "SCHEDULED"}
    rich, other = runs["111"], runs["4"]
    assert rich.info.run_name == "rich" and rich.info.status == "RUNNING" and rich.info.end_time is None
    params = dict(rich.data.params, tree="")
    assert params == {"i": "9007199254740993", "d": "0.5", "b": "True", "text___": "x", "tree": ""} and '"k"' in rich.data.params["tree"]
    assert rich.data.tags["mlmd.type"] == "Train" and other.info.run_name == "x3" and other.info.end_time is not None
    lines = cli.run("why", f"run:{rich.info.run_id}", "-o", "csv")
    assert "a 1" in lines

    worker.run("""
x = store.get_executions_by_id([111])[0]
x.last_known_state = front.pb.Execution.COMPLETE
store.put_execution(x, [(None, front.pb.Event(artifact_id=4, type=front.pb.Event.INPUT))], [])
""")
    report = cli.json("import", "mlmd", path, "--namespace", "r", "--as-runs", "old steps")
    assert counts(report, "new", "changed", "unchanged")["runs"] == [0, 1, 110]
    assert client.get_run(rich.info.run_id).info.status == "FINISHED" and len(client.search_runs([exp], max_results=1000)) == 111
    assert "a 3" in cli.run("why", f"run:{rich.info.run_id}", "-o", "csv")

    # A run that somebody has deleted is left alone, and ends nothing.
    client.delete_run(rich.info.run_id)
    client.delete_run(other.info.run_id)
    worker.run("""
x = store.get_executions_by_id([111])[0]
x.last_known_state = front.pb.Execution.FAILED
store.put_executions([x])
""")
    for _ in range(2):
        report = cli.json("import", "mlmd", path, "--namespace", "r", "--as-runs", "old steps")
        assert counts(report, "read", "new", "changed", "unchanged", "skipped")["runs"] == [111, 0, 0, 109, 2]
        assert sorted((r["table"], r["number"]) for r in report["reasons"]) == [("runs", 4), ("runs", 111)]


def test_a_type_that_is_named_like_one_of_mlflow_is_skipped_alone(worker, start_server, tmp_path):
    cli = command.Cli(tmp_path, start_server().url)
    path = tmp_path / "metadata.db"
    worker.run("""
store = front.store_of(path)
types = [store.put_execution_type(front.pb.ExecutionType(name=name)) for name in ("Train", "mlflow.Run", "Test")]
store.put_executions([front.pb.Execution(type_id=t) for t in types])
""", path=str(path))
    report = cli.json("import", "mlmd", path)
    assert [(r["table"], r["number"]) for r in report["reasons"]] == [("execution types", 11), ("executions", 2)]
    assert counts(report, "new", "skipped")["executions"] == [2, 1]


def test_the_namespace_is_that_of_the_token(worker, filled, start_server, tmp_path):
    """Two principals see what is theirs; cairn-namespace names another one."""
    server = start_server(auth="token")
    cli = command.Cli(tmp_path, server.url)
    tokens = []
    for who in ("alice", "bob"):
        token = cli.run("server", "token", "add", who, who, "--data", server.data).split()[-1]
        (tmp_path / who).write_text(token)
        tokens.append(token)
    cli.json("import", "mlmd", filled, "--token-file", tmp_path / "alice")
    got = worker.run("""
def seen(token, ns=None):
    return [len(front.Calls(address, ns, token)("GetArtifacts").artifacts), len(front.Calls(address, ns, token)("GetArtifactTypes").artifact_types)]

alice, bob = tokens
t = front.Calls(address, None, bob)("PutArtifactType", artifact_type={"name": "Data"}).type_id
made = front.Calls(address, None, bob)("PutArtifacts", artifacts=[{"type_id": t, "name": "a 1"}]).artifact_ids
try:
    seen(None)
    code = 0
except front.grpc.RpcError as e:
    code = e.code().value[0]
result = [seen(alice), seen(bob), seen(bob, "alice"), seen(alice, "bob"), seen(alice, "default"), t, list(made), code]
""", address=server.url.split("://")[1], tokens=tokens)
    assert got == [[130, 2], [1, 1], [130, 2], [1, 1], [0, 0], 10, [1], 16]
