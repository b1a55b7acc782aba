"""What a server tells others: runs, registrations and executions as events of OpenLineage, to an address that fails by plan and into a
file, over kill -9, a long absence, and a change of servers."""

import gzip
import json
import socket
import sqlite3
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import mlflow
import pandas
import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput

import cairn
from command import Cli
from registry_worker import worker_of
from replicas import Servers

pytestmark = pytest.mark.cairn_only
PATIENCE_S = 60
PATIENT = ["--openlineage-timeout", "60s", "--openlineage-retry-max", "100ms"]  # so that a busy machine repeats nothing


class Receiver:
    """Takes events; `plan` says what the next requests get instead: a status, "drop", or "late" (no answer until the end)."""

    def __init__(self, port=0):
        self.events, self.headers, self.paths, self.asked, self.plan = [], [], [], 0, []
        self.lock, self.end = threading.Lock(), threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                with outer.lock:
                    outer.asked += 1
                    what = outer.plan.pop(0) if outer.plan else 201
                    if what == 201:
                        outer.events.append(json.loads(body))
                        outer.headers.append(dict(self.headers))
                        outer.paths.append(self.path)
                if what == "late":
                    outer.end.wait(PATIENCE_S)
                if what in ("drop", "late"):
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                answer = b'{"error": "by plan"}'
                self.send_response(what)
                if what == 429:
                    self.send_header("Retry-After", "1")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def taken(self):
        with self.lock:
            return list(self.events)

    def stop(self):
        self.end.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def receiver():
    one = Receiver()
    yield one
    one.stop()


@pytest.fixture
def start_server(tmp_path):
    """Servers of this test alone, so that they end before their database does."""
    started = []

    def start(**options):
        server = cairn.CairnServer(tmp_path / f"data{len(started)}", **options).start()
        started.append(server)
        return server

    yield start
    for one in started:
        assert one.stop() in (0, None), one.log(100)


@pytest.fixture
def store(request):
    def make(engine):
        return request.getfixturevalue("postgres").new_database() if engine == "postgres" else None

    return make


def eventually(what):
    end = time.monotonic() + PATIENCE_S
    while True:
        got = what()
        if got:
            return got
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def lines(path, torn=False):
    """The whole lines of a file that is being written; torn: a writer that was killed may have left one that is not whole."""
    events = []
    for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else []:
        try:
            events.append(json.loads(line))
        except ValueError:
            assert torn, line
    return events


def checked(events):
    """openlineage-python knows every member of them."""
    done = subprocess.run([cairn.find_python("openlineage"), cairn.ROOT / "tests/lib/openlineage_check.py"], capture_output=True,
                          text=True, input="".join(json.dumps(e) + "\n" for e in events), timeout=120)
    assert done.returncode == 0 and int(done.stdout) == len(events), done.stderr[-2000:]


def run_id(rid):
    return f"{rid[:8]}-{rid[8:12]}-{rid[12:16]}-{rid[16:20]}-{rid[20:]}"


def of_run(events, rid):
    return [e for e in events if e.get("run", {}).get("runId") == run_id(rid)]


def types(events):
    return [e.get("eventType") for e in events]


def assert_whole(events):
    """At least once, the start first."""
    seen = types(events)
    assert seen[0] == "START" and set(seen) == {"START", "COMPLETE"}, seen


def post(server, path, **body):
    answer = requests.post(server.url + path, json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def start_run(server, name="r"):
    return post(server, "/api/2.0/mlflow/runs/create", experiment_id="0", run_name=name, start_time=1000)["run"]["info"]["run_id"]


def end_run(server, rid, status="FINISHED"):
    post(server, "/api/2.0/mlflow/runs/update", run_id=rid, status=status, end_time=2000)


def one_run(server):
    rid = start_run(server)
    end_run(server, rid)
    return rid


def ended(events):
    return {e["run"]["runId"] for e in events if e.get("eventType") == "COMPLETE"}


# ---- what is told ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", cairn.engines())
def test_what_the_client_logs_is_told(start_server, store, receiver, tmp_path, engine):
    token, out = tmp_path / "token", tmp_path / "events.jsonl"
    token.write_text("not-so-secret\n")
    server = start_server(store=store(engine), args=["--openlineage-url", receiver.url, "--openlineage-token-file", str(token),
                                                     "--openlineage-headers", "X-Team: blue,X-Kind: ml", "--openlineage-gzip",
                                                     "--openlineage-file", str(out), "--openlineage-namespace", "lab", *PATIENT])
    client = MlflowClient(tracking_uri=server.url)
    exp = client.create_experiment("flowers")
    table = pandas.DataFrame({"width": [1.5], "kind": ["x"]})
    placed = mlflow.data.from_pandas(table, source="s3://user:secret@lake/raw/iris.csv", name="iris")
    unplaced = mlflow.data.from_pandas(table, name="here")
    outer = client.create_run(exp, run_name="outer", tags={"team": "blue", "mlflow.source.name": "train.py", "mlflow.user": "ann",
                                                           "mlflow.source.git.repoURL": "https://ann:secret@example.org/x.git",
                                                           "mlflow.source.git.commit": "abc", "mlflow.source.git.branch": "main"})
    inner = client.create_run(exp, run_name="inner", tags={"mlflow.parentRunId": outer.info.run_id}).info.run_id
    outer = outer.info.run_id
    client.log_param(inner, "lr", "0.1")
    client.log_inputs(inner, [DatasetInput(Dataset(**{**d.to_dict(), "source": d.to_dict()["source"]}), [InputTag("mlflow.data.context", "training")])
                              for d in (placed, unplaced)])
    model = client.create_logged_model(exp, name="net", source_run_id=inner).model_id
    client.log_outputs(inner, [LoggedModelOutput(model_id=model, step=0)])
    client.set_terminated(inner)
    client.set_terminated(outer, status="KILLED")
    broken = client.create_run(exp).info.run_id
    client.set_terminated(broken, status="FAILED")
    client.create_registered_model("tulip")
    client.create_model_version("tulip", f"runs:/{inner}/model", run_id=inner)
    client.create_model_version("tulip", "s3://lake/models/2")
    client.set_registered_model_alias("tulip", "champion", 1)
    client.register_prompt("greeting", "hello") if hasattr(client, "register_prompt") else None
    # What is told about the registry is the state at the time of telling.
    eventually(lambda: any("tags" in e.get("dataset", {}).get("facets", {}) for e in receiver.taken()))
    client.rename_registered_model("tulip", "rose")
    eventually(lambda: any(e.get("dataset", {}).get("name") == "models:/rose" for e in receiver.taken()))
    if hasattr(client, "register_prompt"):
        gone = requests.delete(server.url + "/api/2.0/mlflow/registered-models/delete", json={"name": "greeting"}, timeout=30)
        assert gone.status_code == 200, gone.text
    client.delete_registered_model("rose")

    events = eventually(lambda: (got := receiver.taken()) and "DROP" in json.dumps(got[-1]) and got)
    eventually(lambda: len(lines(out)) >= 2 and "DROP" in json.dumps(lines(out)[-1]))
    checked(events)
    checked(lines(out))
    assert {p for p in receiver.paths} == {"/api/v1/lineage"}
    assert {(h["Authorization"], h["X-Team"], h["X-Kind"]) for h in receiver.headers} == {("Bearer not-so-secret", "blue", "ml")}
    assert any(h.get("Content-Encoding") == "gzip" for h in receiver.headers)
    assert types(of_run(events, outer))[0] == "START" and types(of_run(events, outer))[-1] == "ABORT"
    assert types(of_run(events, broken)) == ["START", "FAIL"]
    told = of_run(events, inner)
    assert types(told)[0] == "START" and types(told).count("COMPLETE") == 1 and types(told)[-1] == "OTHER"  # the registration
    last = told[-1]
    assert (last["job"]["namespace"], last["job"]["name"]) == ("lab", "flowers")
    parent = last["run"]["facets"]["parent"]
    assert parent["run"]["runId"] == parent["root"]["run"]["runId"] == run_id(outer)
    assert last["run"]["facets"]["executionParameters"]["parameters"] == [{"key": "lr", "name": "lr", "value": "0.1"}]
    names = {(d["namespace"], d["name"]): d["facets"] for d in last["inputs"]}
    assert set(names) == {("s3://lake", "raw/iris.csv"), ("lab", "datasets:/here")}
    assert names["s3://lake", "raw/iris.csv"]["version"]["datasetVersion"] == placed.digest
    assert [f["name"] for f in names["s3://lake", "raw/iris.csv"]["schema"]["fields"]] == ["width", "kind"]
    made = {(d["namespace"], d["name"]): d["facets"] for d in last["outputs"]}
    assert made["lab", "logged-models:/flowers/net"]["version"]["datasetVersion"] == model
    assert made["lab", "models:/tulip"]["version"]["datasetVersion"] == "1"
    assert {f["datasetType"]["datasetType"] for f in made.values()} == {"MODEL"}
    code = of_run(events, outer)[0]["job"]["facets"]["sourceCodeLocation"]
    assert (code["repoUrl"], code["version"], code["branch"], code["path"]) == ("https://ann:***@example.org/x.git", "abc", "main", "train.py")
    assert of_run(events, outer)[0]["run"]["facets"]["tags"]["tags"][-1]["value"] == "blue"
    [alone] = [e for e in events if "job" in e and "run" not in e]
    assert alone["outputs"][0]["facets"]["version"]["datasetVersion"] == "2"
    of_model = [e["dataset"] for e in events if "dataset" in e]
    assert [t["value"] for t in of_model[0]["facets"]["tags"]["tags"]] == ["1"]
    changes = [d["facets"]["lifecycleStateChange"]["lifecycleStateChange"] for d in of_model[1:]]
    assert changes == ["RENAME", "DROP"]
    assert "secret" not in json.dumps(events) and "greeting" not in json.dumps(events)


@pytest.fixture(scope="module")
def worker():
    yield from worker_of("mlmd", f"import sys\nsys.path.insert(0, {str(cairn.ROOT / 'tests/lib')!r})\nimport mlmd_front as front\n")


def test_what_is_imported_is_told(start_server, worker, tmp_path):
    source, out = tmp_path / "metadata.db", tmp_path / "events.jsonl"
    worker.run("front.fill(front.store_of(path))", path=str(source))
    server = start_server(args=["--openlineage-file", str(out)])
    Cli(tmp_path, server.url).run("import", "mlmd", source)
    events = eventually(lambda: (got := lines(out)) and len({e["run"]["runId"] for e in got}) >= 110 and got)
    checked(events)
    assert len({e["run"]["runId"] for e in events}) == 110
    assert set(types(events)) <= {"START", "COMPLETE", "FAIL", "ABORT", "OTHER"} and "COMPLETE" in types(events)
    assert all(e["inputs"] or e["outputs"] for e in events)
    assert {e["job"]["facets"]["jobType"]["jobType"] for e in events} == {"EXECUTION"}
    Cli(tmp_path, server.url).run("import", "mlmd", source)  # nothing new
    last = one_run(server)
    assert len(eventually(lambda: (got := lines(out)) and run_id(last) in ended(got) and got)) == len(events) + 2


# ---- an address that fails ------------------------------------------------------------------------------------------------------


def figure(server, name, destination="url"):
    text = requests.get(server.url + "/metrics", timeout=30).text
    [line] = [x for x in text.splitlines() if x.startswith(f'cairn_openlineage_{name}{{destination="{destination}"}}')]
    return float(line.rsplit(" ", 1)[1])


def test_failures_by_plan(start_server, receiver, tmp_path):
    receiver.plan = ["drop", 503, 429, 401, 500]
    server = start_server(args=["--openlineage-url", receiver.url, *PATIENT])
    first = one_run(server)
    second = one_run(server)
    eventually(lambda: len(ended(receiver.taken())) == 2)
    assert types(of_run(receiver.taken(), first)) == types(of_run(receiver.taken(), second)) == ["START", "COMPLETE"]
    eventually(lambda: figure(server, "sent_total") == 4)
    assert figure(server, "failed_total") == 5 and figure(server, "refused_total") == 0

    # What is refused is kept, the rest goes on, and it can be sent again.
    receiver.plan = [400, 201]
    third = one_run(server)
    eventually(lambda: len(ended(receiver.taken())) == 3)
    refused = server.data / "openlineage-refused.jsonl"
    [kept] = lines(refused)
    assert kept["destination"] == "url" and kept["reason"] == '400 {"error": "by plan"}' and kept["event"]["eventType"] == "START"
    assert types(of_run(receiver.taken(), third)) == ["COMPLETE"]
    cli = Cli(tmp_path)
    status = eventually(lambda: (s := cli.json("server", "emit", "status", "--data", server.data)) and s[0]["sent"] == 5 and s)
    assert [status[0][k] for k in ("name", "sent", "refused", "lost")] == ["url", 5, 1, 0]
    again = ["server", "emit", "retry", "--data", server.data, "--openlineage-url"]
    receiver.plan = [422]
    cli.run(*again, receiver.url, rc=7)
    [kept] = lines(refused)
    assert kept["reason"].startswith("422 ")
    cli.run(*again, "http://127.0.0.1:1", rc=7)  # nobody there: it stays as it was
    assert lines(refused)[0]["reason"].startswith("422 ")
    cli.run(*again, receiver.url)
    assert sorted(types(of_run(receiver.taken(), third))) == ["COMPLETE", "START"] and lines(refused) == []
    cli.run("server", "emit", "retry", "--data", server.data, rc=2)  # no address

    # 500 may be the receiver's fault or the event's: ten in a row are.
    receiver.plan = [500] * 10
    fourth = one_run(server)
    eventually(lambda: run_id(fourth) in ended(receiver.taken()))
    assert [kept["reason"][:4] for kept in lines(refused)] == ["500 "] and types(of_run(receiver.taken(), fourth)) == ["COMPLETE"]
    checked(receiver.taken())


def test_an_address_that_is_slow(start_server, receiver):
    """It may have taken what it did not answer in time: it gets that twice."""
    receiver.plan = ["late", 201, "late"]
    server = start_server(args=["--openlineage-url", receiver.url, "--openlineage-timeout", "300ms", "--openlineage-retry-max", "10ms"])
    rid = one_run(server)
    eventually(lambda: run_id(rid) in ended(receiver.taken()))
    assert_whole(of_run(receiver.taken(), rid))
    assert figure(server, "failed_total") >= 2 and figure(server, "refused_total") == 0


def test_a_file_that_is_moved_away(start_server, tmp_path):
    out = tmp_path / "events.jsonl"
    server = start_server(args=["--openlineage-file", str(out)])
    first = one_run(server)
    eventually(lambda: run_id(first) in ended(lines(out)))
    out.rename(tmp_path / "old.jsonl")
    out.write_text('{"half a line')  # a writer that died in the middle spoils no event
    second = one_run(server)
    rest = eventually(lambda: (t := out.read_text().splitlines()) and t[1:] and "COMPLETE" in t[-1] and t[1:])
    assert ended(map(json.loads, rest)) == {run_id(second)}


def test_what_was_there_before_is_not_told(start_server, tmp_path):
    """And a destination that is configured no more holds nothing back."""
    out = tmp_path / "events.jsonl"
    server = start_server()
    before = one_run(server)
    server.stop()
    server.args = ["--openlineage-file", str(out)]
    server.start()
    after = one_run(server)
    eventually(lambda: run_id(after) in ended(lines(out)))
    assert run_id(before) not in ended(lines(out))
    cli = Cli(tmp_path)
    server.stop()
    assert len(cli.json("server", "emit", "status", "--data", server.data)) == 1
    server.args = []
    server.start()
    assert cli.json("server", "emit", "status", "--data", server.data) == []


def test_another_cairn_is_told(start_server):
    """What one server tells, another takes: every event, and the same states."""
    taker = start_server()
    server = start_server(args=["--openlineage-url", taker.url, "--openlineage-gzip", *PATIENT])
    runs = [one_run(server) for _ in range(3)]
    for rid, n in zip(runs, (1, 2, 3)):
        post(server, "/api/2.0/mlflow/runs/log-inputs", run_id=rid, datasets=[
            {"dataset": {"name": "d", "digest": f"v{n}", "source_type": "s3", "source": json.dumps({"uri": "s3://b/k"})}, "tags": []}])
    post(server, "/api/2.0/mlflow/registered-models/create", name="m")
    post(server, "/api/2.0/mlflow/model-versions/create", name="m", source="s3://b/m", run_id=runs[0])
    post(server, "/api/2.0/mlflow/model-versions/create", name="m", source="s3://b/m")
    post(server, "/api/2.0/mlflow/registered-models/alias", name="m", alias="best", version="2")
    eventually(lambda: figure(server, "sent_total") >= 9 and figure(server, "behind_rows") == 0 and figure(server, "behind_seconds") == 0)
    assert figure(server, "refused_total") == figure(server, "failed_total") == 0
    assert taker.stop() == 0
    db = sqlite3.connect(f"file:{taker.data}/cairn.db?mode=ro", uri=True)
    assert {r[0].hex() for r in db.execute("SELECT rid FROM ol_run")} == set(runs)
    assert len(set(db.execute("SELECT state FROM ol_run"))) == 1
    assert {r[0] for r in db.execute("SELECT name FROM ol_job")} == {"Default", "models:/m"}
    assert {r[0] for r in db.execute("SELECT name FROM ol_dataset")} == {"k", "models:/m"}
    db.close()


# ---- crashes and absence --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", cairn.engines())
def test_at_least_once_over_kills(start_server, store, receiver, tmp_path, engine):
    out = tmp_path / "events.jsonl"
    server = start_server(store=store(engine), args=["--openlineage-url", receiver.url, "--openlineage-file", str(out),
                                                     "--store-drain-age", "20ms", "--store-lease", "1s"])
    runs = []
    for i in range(4):
        runs += [one_run(server) for _ in range(5)]
        if i % 2:  # in the middle of telling
            eventually(lambda: len(receiver.taken()) > 5)
        server.kill()
        server.start()
    runs.append(one_run(server))
    for got in (receiver.taken, lambda: lines(out, torn=True)):
        events = eventually(lambda: (e := got()) and {run_id(r) for r in runs} <= ended(e) and e)
        for rid in runs:
            assert_whole(of_run(events, rid))
    assert server.stop() == 0


def test_killed_where_the_mark_moves(tmp_path):
    binary, out = cairn.find_binary_with_failpoints(), tmp_path / "events.jsonl"

    def start(point=""):
        return cairn.CairnServer(tmp_path / "data", binary=binary, args=["--openlineage-file", str(out)],
                                 env={"CAIRN_FAILPOINT": point and f"{point}=kill"})

    runs = []
    for point in ("core.outbox.setup", "core.outbox.take", "core.outbox.advance", "core.outbox.advance"):
        server = start(point)
        try:
            server.start()
            runs.append(start_run(server))
        except (cairn.StartError, requests.ConnectionError):
            pass  # it was killed before
        assert server.process.proc.wait(PATIENCE_S) < 0
    server = start().start()
    runs.append(start_run(server))
    for rid in runs:
        end_run(server, rid)
        eventually(lambda: run_id(rid) in ended(lines(out, torn=True)))
        assert_whole(of_run(lines(out, torn=True), rid))
    assert len(lines(out, torn=True)) > 2 * len(runs)  # what the mark had not passed was told again
    assert server.stop() == 0


def fill(server, rid, n):
    """Rows of the log, about 10 KB each."""
    for i in range(n):
        metrics = [{"key": f"m{k}", "value": k / 7 + i, "timestamp": i, "step": i} for k in range(1000)]
        post(server, "/api/2.0/mlflow/runs/log-batch", run_id=rid, metrics=metrics)


def drained(server):
    text = requests.get(server.url + "/metrics", timeout=30).text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("cairn_drains_total "))


@pytest.mark.parametrize("engine", cairn.engines())
def test_a_long_absence(start_server, store, tmp_path, engine):
    """The log waits for an address that is away; beyond the cap it is released, and that is said."""
    gone = Receiver()
    gone.stop()
    server = start_server(store=store(engine), args=["--openlineage-url", gone.url, "--openlineage-hold", "200K",
                                                     "--store-drain-age", "10ms", *PATIENT])
    first = start_run(server)
    fill(server, first, 5)
    end_run(server, first)
    server.kill()  # with what is held
    server.start()
    back = Receiver(gone.port)
    try:
        eventually(lambda: run_id(first) in ended(back.taken()))
        assert figure(server, "lost_rows_total") == 0
        eventually(lambda: figure(server, "behind_rows") == 0)
    finally:
        back.stop()
    second = start_run(server)
    eventually(lambda: figure(server, "failed_total") > 0)
    fill(server, second, 100)
    eventually(lambda: "go unread" in server.log(400))
    for _ in range(6):  # PostgreSQL empties one whole table at a time
        drains = drained(server)
        fill(server, second, 20)
        eventually(lambda: drained(server) > drains)
    end_run(server, second)
    third = one_run(server)
    back = Receiver(gone.port)
    try:
        eventually(lambda: run_id(third) in ended(back.taken()))
        eventually(lambda: figure(server, "lost_rows_total") > 0)
    finally:
        back.stop()
    assert "released before they were told" in server.log(400)
    assert server.stop() == 0
    server.start()


# ---- two servers ----------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif("postgres" not in cairn.engines(), reason="engine not selected")
def test_one_of_two_servers_tells(tmp_path, store, receiver):
    servers = Servers(tmp_path, store("postgres"))
    try:
        a = servers.add("--openlineage-url", receiver.url, *PATIENT)
        b = servers.add("--openlineage-url", receiver.url, *PATIENT)
        runs = [one_run(s) for s in (a, b, a, b)]
        eventually(lambda: {run_id(r) for r in runs} <= ended(receiver.taken()))
        teller, other = sorted((a, b), key=lambda s: -figure(s, "sent_total"))
        if figure(other, "sent_total") == 0:  # else one of them was too busy to be heard of for the time of its lease
            assert sorted(types(receiver.taken())) == ["COMPLETE"] * 4 + ["START"] * 4
        runs.append(one_run(other))
        teller.kill()  # perhaps with an event on its way
        runs += [one_run(other) for _ in range(3)]
        eventually(lambda: {run_id(r) for r in runs} <= ended(receiver.taken()))
        for rid in runs:
            assert_whole(of_run(receiver.taken(), rid))
        # One that stops hands over at once.
        third = servers.add("--openlineage-url", receiver.url, *PATIENT)
        assert other.stop() == 0
        last = one_run(third)
        eventually(lambda: run_id(last) in ended(receiver.taken()))
    finally:
        servers.end()
