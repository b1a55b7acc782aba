"""gRPC on the server's own port, asked by grpcio: health, reflection, lineage, errors, deadlines; and gRPC-Web by hand."""

import base64
import json
import subprocess
import textwrap

import pytest
import requests
from mlflow.entities import Dataset, DatasetInput

import cairn
from registry_worker import worker_of

pytestmark = pytest.mark.cairn_only

CONNECT = """
import asyncio, threading
import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

channel = grpc.insecure_channel(address)
pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
SERVICE = "cairn.v1.LineageService"

def method(name):
    return pool.FindServiceByName(SERVICE).methods_by_name[name]

def call(name, timeout=20, compression=None, metadata=None, on=None, **fields):
    m = method(name)
    kinds = [message_factory.GetMessageClass(t) for t in (m.input_type, m.output_type)]
    ask = (on or channel).unary_unary(f"/{SERVICE}/{name}", request_serializer=kinds[0].SerializeToString,
                                      response_deserializer=kinds[1].FromString)
    return json_format.MessageToDict(ask(kinds[0](**fields), timeout=timeout, compression=compression, metadata=metadata),
                                     preserving_proto_field_name=True)

def error(*args, **fields):
    try:
        return call(*args, **fields)
    except grpc.RpcError as e:
        trailers = dict(e.trailing_metadata() or ())
        return {"code": e.code().name, "text": e.details(), "details": trailers.get("grpc-status-details-bin", b"").hex()}
"""


@pytest.fixture(scope="module")
def worker():
    yield from worker_of("grpc")


def connect(worker, server):
    worker.run(CONNECT, address=server.url.split("://")[1])
    return lambda code, **values: worker.run(textwrap.dedent(code), **values)


@pytest.fixture
def ask(worker, server):
    return connect(worker, server)


@pytest.fixture
def runs(client, uniq):
    """Two runs that differ in a parameter."""
    experiment = client.create_experiment(f"grpc-{uniq}")
    made = [client.create_run(experiment).info.run_id for _ in range(2)]
    for i, run in enumerate(made):
        client.log_param(run, "rate", str(i))
        client.log_param(run, "depth", "3")
    return made


def test_health(ask):
    got = ask("""
        stub = health_pb2_grpc.HealthStub(channel)
        answers = [stub.Check(health_pb2.HealthCheckRequest(service=s), timeout=20).status for s in ("", SERVICE)]
        try:
            stub.Check(health_pb2.HealthCheckRequest(service="no.such.Service"), timeout=20)
        except grpc.RpcError as e:
            answers.append(e.code().name)
        for name in ("", "no.such.Service"):
            watch = stub.Watch(health_pb2.HealthCheckRequest(service=name))
            answers.append(next(watch).status)
            watch.cancel()
        result = answers
        """)
    assert got == [1, 1, "NOT_FOUND", 1, 3]


def test_reflection(ask):
    got = ask("""
        base = ProtoReflectionDescriptorDatabase(channel)
        m = method("Why")
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        R = reflection_pb2.ServerReflectionRequest
        several = list(stub.ServerReflectionInfo(iter([R(file_by_filename="native/lineage.proto"), R(list_services=""),
                                                       R(file_containing_symbol="no.such.Thing")])))
        result = {"services": sorted(base.get_services()), "in": m.input_type.full_name, "out": m.output_type.full_name,
                  "fields": [f.name for f in m.input_type.fields][:3],
                  "kinds": [a.WhichOneof("message_response") for a in several], "code": several[2].error_response.error_code}
        """)
    assert got["services"] == ["cairn.mlmd.v1.ImportService", "cairn.v1.LineageService", "cairn.v1.StepService", "grpc.health.v1.Health",
                               "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
                               "ml_metadata.MetadataStoreService"]
    assert (got["in"], got["out"]) == ("cairn.v1.Lineage", "cairn.v1.LineageAnswer")
    assert got["fields"] == ["node", "direction", "depth"]
    assert got["kinds"] == ["file_descriptor_response", "list_services_response", "error_response"]
    assert got["code"] == 5


def test_reflection_is_a_conversation(ask):
    """Each question is answered while the client's side of the call stays open: the next one is made of the answer before."""
    got = ask("""
        import queue
        questions = queue.Queue()
        R = reflection_pb2.ServerReflectionRequest
        answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(questions.get, None), timeout=60)
        questions.put(R(list_services=""))
        names = sorted(s.name for s in next(answers).list_services_response.service)
        kinds = []
        for name in names * 50:
            questions.put(R(file_containing_symbol=name))
            kinds.append(next(answers).WhichOneof("message_response"))
        questions.put(None)
        result = [names, len(kinds), sorted(set(kinds)), list(answers), answers.code().name]
        """)
    assert "cairn.v1.LineageService" in got[0]
    assert got[1:] == [50 * len(got[0]), ["error_response", "file_descriptor_response"], [], "OK"]


def test_the_questions_answer_as_over_rest(ask, rest, runs):
    a, b = runs
    rest_answer = rest.get("/api/cairn/v1/runs/diff", params={"a": a, "b": b}).json()
    assert ask("result = call('Diff', a=a, b=b)", a=a, b=b) == rest_answer
    assert [d["key"] for d in rest_answer["differences"] if d["section"] == "parameters"] == ["rate"]
    why = ask("result = call('Why', node=node)", node=f"run:{a}")
    assert why["nodes"][0]["node"] == f"run:{a}"
    assert ask("result = call('Impact', node=node)", node=f"run:{a}")["nodes"][0]["node"] == f"run:{a}"
    assert ask("result = call('Trail', **{'from': a, 'to': b})", a=f"run:{a}", b=f"run:{b}") == {}


def test_compressed_both_ways(ask, client, uniq):
    """Requests and answers by gzip: the same as without."""
    experiment = client.create_experiment(f"grpc-zip-{uniq}")
    a, b = (client.create_run(experiment).info.run_id for _ in range(2))
    for i in range(4):
        client.log_batch(a, params=[cairn_param(f"p{i}-{k}", "x" * 200) for k in range(100)])
    code = "result = call('Diff', a=a, b=b, compression=grpc.Compression.{})"
    plain = ask(code.format("NoCompression"), a=a, b=b)
    assert ask(code.format("Gzip"), a=a, b=b) == plain
    assert len(plain["differences"]) >= 400


def cairn_param(key, value):
    from mlflow.entities import Param

    return Param(key, value)


def test_errors(ask):
    missing = ask("result = error('Why', node='run:' + 'f' * 32)")
    assert missing["code"] == "NOT_FOUND" and missing["details"]
    assert ask("result = error('Why')")["code"] == "INVALID_ARGUMENT"
    assert ask("result = error('Why', node='x' * (5 << 20))")["code"] == "RESOURCE_EXHAUSTED"
    assert ask("result = error('Why', node='run:\\u00e9\\n%')")["code"] in ("NOT_FOUND", "INVALID_ARGUMENT")
    unknown = ask("""
        try:
            channel.unary_unary("/cairn.v1.LineageService/Whence")(b"", timeout=20)
        except grpc.RpcError as e:
            result = e.code().name
        """)
    assert unknown == "UNIMPLEMENTED"
    broken = ask("""
        try:
            channel.unary_unary("/cairn.v1.LineageService/Why")(b"\\xff\\xff", timeout=20)
        except grpc.RpcError as e:
            result = e.code().name
        """)
    assert broken == "INVALID_ARGUMENT"


def test_many_at_once_and_the_asynchronous_client(ask, runs):
    got = ask("""
        async def main():
            async with grpc.aio.insecure_channel(address) as c:
                stub = health_pb2_grpc.HealthStub(c)
                checks = [stub.Check(health_pb2.HealthCheckRequest(), timeout=60) for _ in range(300)]
                return [a.status for a in await asyncio.gather(*checks)]
        futures = [health_pb2_grpc.HealthStub(channel).Check.future(health_pb2.HealthCheckRequest(), timeout=60) for _ in range(300)]
        result = [sum(f.result().status for f in futures), sum(asyncio.run(main()))]
        """)
    assert got == [300, 300]


def test_rights(worker, start_server, tmp_path):
    (tmp_path / "token").write_text("the-secret-of-the-test\n")
    server = start_server(args=["--token-file", str(tmp_path / "token"), "--auth", "token"])
    ask = connect(worker, server)
    assert ask("result = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20).status") == 1
    code = "result = error('Why', node='run:' + 'f' * 32, metadata={})['code']"
    assert ask(code.format("None")) == "UNAUTHENTICATED"
    assert ask(code.format("(('authorization', 'Bearer wrong'),)")) == "UNAUTHENTICATED"
    assert ask(code.format("(('authorization', 'Bearer the-secret-of-the-test'),)")) == "NOT_FOUND"


def test_metadata_of_sixty_kilobytes(ask):
    """64 KiB of header fields are taken, more is refused; the connection goes on. And a client that pings all the time is no flood."""
    got = ask("""
        options = [("grpc.keepalive_time_ms", 100), ("grpc.keepalive_permit_without_calls", 1), ("grpc.http2.max_pings_without_data", 0),
                   ("grpc.max_metadata_size", 1 << 20)]
        with grpc.insecure_channel(address, options=options) as own:
            stub = health_pb2_grpc.HealthStub(own)
            watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=120)
            answers = [next(watch).status]
            for n in (60000, 70000, 60000):
                try:
                    answers.append(stub.Check(health_pb2.HealthCheckRequest(), metadata=(("x-a", "x" * (n // 2)), ("x-b", "x" * (n // 2))), timeout=120).status)
                except grpc.RpcError as e:
                    answers.append(e.code().name)
            watch.cancel()
        result = answers
        """)
    assert got[:2] == [1, 1] and got[2] in ("UNKNOWN", "INTERNAL", "RESOURCE_EXHAUSTED") and got[3] == 1, got


def test_a_stop_is_told_to_those_who_watch(worker, start_server):
    server = start_server()
    ask = connect(worker, server)
    assert ask("""
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        result = next(watch).status
        """) == 1
    # And to those whose side is still open, of both clients: the server speaks while it waits for them.
    assert ask("""
        import queue
        H = health_pb2
        kinds = {"request_serializer": H.HealthCheckRequest.SerializeToString, "response_deserializer": H.HealthCheckResponse.FromString}
        questions = queue.Queue()
        questions.put(H.HealthCheckRequest())
        still_open = channel.stream_stream("/grpc.health.v1.Health/Watch", **kinds)(iter(questions.get, None), timeout=120)
        heard = queue.Queue()

        async def listen():
            async with grpc.aio.insecure_channel(address) as c:
                talk = c.stream_stream("/grpc.health.v1.Health/Watch", **kinds)(timeout=120)
                await talk.write(H.HealthCheckRequest())
                while (answer := await talk.read()) is not grpc.aio.EOF:
                    heard.put(answer.status)
                heard.put((await talk.code()).name)

        listener = threading.Thread(target=asyncio.run, args=(listen(),), daemon=True)
        listener.start()
        result = [next(still_open).status, heard.get(timeout=60)]
        """) == [1, 1]
    server.stop()
    assert ask("""
        result = [[a.status for a in watch], [a.status for a in still_open], still_open.code().name, heard.get(timeout=60), heard.get(timeout=60)]
        questions.put(None)
        """) == [[2], [2], "OK", 2, "OK"]


# ---- gRPC-Web and plain HTTP/2 --------------------------------------------------------------------------------------------

def web(server, body, kind="application/grpc-web+proto", **headers):
    return requests.post(f"{server.url}/grpc.health.v1.Health/Check", data=body, headers={"content-type": kind, **headers},
                         timeout=20)


def test_grpc_web(server):
    empty = b"\0\0\0\0\0"
    answer = web(server, empty)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/grpc-web+proto")
    assert answer.content == b"\0\0\0\0\x02\x08\x01\x80\0\0\0\x0fgrpc-status:0\r\n"
    text = web(server, base64.b64encode(empty), "application/grpc-web-text")
    assert base64.b64decode(text.content) == answer.content
    missing = web(server, b"\0\0\0\0\x03\n\x01x")
    assert missing.status_code == 200 and missing.content.startswith(b"\x80") and b"grpc-status:5\r\n" in missing.content
    assert web(server, b"\0\0\0").content.startswith(b"\x80")
    assert web(server, b"", "application/json").status_code == 415
    assert web(server, empty, "application/grpc").status_code == 400


def test_grpc_web_across_origins(server):
    path = f"{server.url}/grpc.health.v1.Health/Check"
    allowed = requests.options(path, headers={"origin": "http://localhost:3000", "access-control-request-method": "POST",
                                              "access-control-request-headers": "content-type,x-grpc-web"}, timeout=20)
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "x-grpc-web" in allowed.headers["access-control-allow-headers"]
    answer = web(server, b"\0\0\0\0\0", origin="http://localhost:3000")
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "grpc-status" in answer.headers["access-control-expose-headers"]
    assert web(server, b"\0\0\0\0\0", origin="http://evil.example").status_code == 403


def test_curl_over_http2(server, client, tmp_path):
    """Every route answers over HTTP/2: a file up and down."""
    run = client.create_run("0").info.run_id
    data = bytes(range(256)) * 4096
    (tmp_path / "in").write_bytes(data)
    url = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/in"
    curl = ["curl", "-sS", "--http2-prior-knowledge", "-w", "%{http_version} %{http_code}", "-o"]
    put = subprocess.run([*curl, "/dev/null", "-T", str(tmp_path / "in"), url], capture_output=True, text=True, check=True)
    assert put.stdout == "2 200"
    got = subprocess.run([*curl, str(tmp_path / "out"), url], capture_output=True, text=True, check=True)
    assert got.stdout == "2 200"
    assert (tmp_path / "out").read_bytes() == data


# ---- the client --------------------------------------------------------------------------------------------------------------

def health(*args, **more):
    run = subprocess.run([cairn.find_binary(), "server", "health", "-o", "json", *map(str, args)], capture_output=True, text=True,
                         timeout=120, **more)
    return run.returncode, json.loads(run.stdout or run.stderr)


def test_health_of_this_server(server):
    address = server.url.split("://")[1]
    assert health(address) == (0, {"status": "SERVING", "service": "", "address": address})
    assert health(address, "--service", "cairn.v1.LineageService")[0] == 0
    code, answer = health(address, "--service", "no.such.Service")
    assert (code, answer["error"]["code"]) == (3, "NOT_FOUND")
    assert health(f"127.0.0.1:{cairn.free_port()}")[0] == 6


def test_health_over_tls(start_server, certificate, monkeypatch):
    """ALPN agrees on h2; a certificate that nobody trusts, or of another name, is refused. grpcio and curl agree."""
    cert, key = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    server = start_server(args=["--tls-cert", str(cert), "--tls-key", str(key)])
    port = server.url.rsplit(":", 1)[1]
    assert health(f"https://localhost:{port}")[0] == 0
    assert health(f"https://127.0.0.1:{port}", "--ca-file", cert)[0] == 0
    monkeypatch.delenv("SSL_CERT_FILE")
    code, answer = health(f"https://localhost:{port}")
    assert code == 6 and "certificate" in answer["error"]["message"]
    code, answer = health(f"https://127.0.0.2:{port}", "--ca-file", cert)
    assert code == 6
    got = subprocess.run(["curl", "-sS", "--http2", "--cacert", str(cert), "-w", "%{http_version}", "-o", "/dev/null",
                          f"https://localhost:{port}/version"], capture_output=True, text=True, check=True)
    assert got.stdout == "2"


SERVE = """
import concurrent.futures
import grpc
from grpc_health.v1 import health as health_service, health_pb2, health_pb2_grpc
served = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
servicer = health_service.HealthServicer()
servicer.set("", health_pb2.HealthCheckResponse.SERVING)
servicer.set("down", health_pb2.HealthCheckResponse.NOT_SERVING)
health_pb2_grpc.add_HealthServicer_to_server(servicer, served)
result = served.add_insecure_port("127.0.0.1:0")
served.start()
"""


def test_health_of_a_server_of_grpcio(worker):
    """The client against gRPC's own server: unary, an error, and a stream that goes on."""
    address = f"127.0.0.1:{worker.run(SERVE)}"
    try:
        assert health(address) == (0, {"status": "SERVING", "service": "", "address": address})
        assert health(address, "--service", "down")[0] == 7
        assert health(address, "--service", "none")[1]["error"]["code"] == "NOT_FOUND"
        with subprocess.Popen([cairn.find_binary(), "server", "health", "--watch", "-o", "jsonl", address],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watch:
            assert json.loads(watch.stdout.readline())["status"] == "SERVING"
            worker.run('servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)\nresult = 0')
            assert json.loads(watch.stdout.readline())["status"] == "NOT_SERVING"
            worker.run("served.stop(None).wait()\nresult = 0")
            assert watch.wait(60) in (1, 6, 7)
    finally:
        worker.run("served.stop(None).wait()\nresult = 0")


def test_grpcurl(server):
    """Reflection as grpcurl asks it, without any .proto."""
    grpcurl = cairn.go_tool("grpcurl", build=False)
    address = server.url.split("://")[1]

    def ask(*args):
        return subprocess.run([grpcurl, "-plaintext", *args], capture_output=True, text=True, timeout=60)

    assert "cairn.v1.LineageService" in ask(address, "list").stdout.splitlines()
    assert "rpc Why" in ask(address, "describe", "cairn.v1.LineageService").stdout
    assert json.loads(ask(address, "grpc.health.v1.Health/Check").stdout) == {"status": "SERVING"}
    missing = ask("-d", json.dumps({"node": "run:" + "f" * 32}), address, "cairn.v1.LineageService/Why")
    assert missing.returncode != 0 and "NotFound" in missing.stderr


# ---- servers that die ----------------------------------------------------------------------------------------------------------

def test_killed_in_mid_stream(worker, start_server):
    """kill -9 while calls of both kinds are open: the clients hear UNAVAILABLE, and the next server answers."""
    server = start_server()
    ask = connect(worker, server)
    assert ask("""
        import queue
        questions = queue.Queue()
        R = reflection_pb2.ServerReflectionRequest
        talk = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(questions.get, None), timeout=120)
        questions.put(R(list_services=""))
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=120)
        result = [next(talk).WhichOneof("message_response"), next(watch).status]
        """) == ["list_services_response", 1]
    server.kill()
    assert ask("""
        def ending(call):
            try:
                next(call)
            except grpc.RpcError as e:
                return e.code().name
        result = [ending(talk), ending(watch)]
        questions.put(None)
        """) == ["UNAVAILABLE", "UNAVAILABLE"]
    server.start()
    assert ask("""
        stub = health_pb2_grpc.HealthStub(grpc.insecure_channel(address))
        result = stub.Check(health_pb2.HealthCheckRequest(), timeout=120, wait_for_ready=True).status
        """, address=server.url.split("://")[1]) == 1


def test_over_tls(worker, start_server, certificate, monkeypatch):
    """grpcio, blocking, with the certificate as its root: a call, a stream that is answered, errors; without it nothing."""
    cert, key = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    server = start_server(args=["--tls-cert", str(cert), "--tls-key", str(key)])
    made = requests.post(f"{server.url}/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}, verify=str(cert), timeout=60)
    run = f"run:{made.json()['run']['info']['run_id']}"
    address = f"localhost:{server.url.rsplit(':', 1)[1]}"
    ask = connect(worker, server)
    got = ask("""
        trusted = grpc.secure_channel(address, grpc.ssl_channel_credentials(open(cert, "rb").read()))
        stub = health_pb2_grpc.HealthStub(trusted)
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=120)
        answers = [stub.Check(health_pb2.HealthCheckRequest(), timeout=120).status, next(watch).status]
        watch.cancel()
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(trusted))
        answers += [call("Why", timeout=120, on=trusted, node=run)["nodes"][0]["node"] == run,
                    error("Why", timeout=120, on=trusted, node="run:nobody")["code"]]
        doubting = health_pb2_grpc.HealthStub(grpc.secure_channel(address, grpc.ssl_channel_credentials()))
        try:
            doubting.Check(health_pb2.HealthCheckRequest(), timeout=120)
        except grpc.RpcError as e:
            answers.append(e.code().name)
        result = answers
        """, address=address, cert=str(cert), run=run)
    assert got == [1, 1, True, "NOT_FOUND", "UNAVAILABLE"]


def test_columns(ask, client, rest, uniq):
    """What is behind and what was made of a column, as over REST."""
    schema = json.dumps({"mlflow_colspec": [{"type": "double", "name": "spend"}, {"type": "string", "name": "zip"}]})
    raw, features = f"raw-{uniq}", f"features-{uniq}"
    run = client.create_run(client.create_experiment(f"grpc-columns-{uniq}")).info.run_id
    client.log_inputs(run, datasets=[DatasetInput(Dataset(name, "d1", "http", f"http://example.com/{name}", schema))
                                     for name in (raw, features)])
    said = rest.post("/api/cairn/v1/lineage/columns", json={
        "run_id": run, "uses": [{"dataset": f"dataset:{raw}", "columns": ["spend"]}],
        "derived": [{"from": f"dataset:{raw}", "from_column": "spend", "to": f"dataset:{features}", "to_column": "zip",
                     "kind": "aggregation"}]})
    assert said.status_code == 200, said.text
    for name, path, node in (("Impact", "lineage/impact", f"column:{raw}.spend"), ("Why", "lineage", f"column:{features}.zip")):
        over_rest = rest.get(f"/api/cairn/v1/{path}", params={"node": node}).json()
        assert ask("result = call(name, node=node)", name=name, node=node) == over_rest
        assert {n["type"] for n in over_rest["nodes"]} >= {"column", "run"}
        assert "aggregation" in {link["role"] for link in over_rest.get("links", [])} or name == "Impact"
    assert ask("result = error('Impact', node=node)", node=f"column:{raw}.nothing")["code"] == "NOT_FOUND"
    # said over gRPC, by its messages
    made = {"from": f"dataset:{raw}", "from_column": "zip", "to": f"dataset:{features}", "to_column": "area", "kind": "group_by"}
    write = "result = call('Columns', run_id=run, derived=[made], undo=undo)"
    assert ask(write, run=run, made=made, undo=False) == {"changed": 1}
    assert ask(write, run=run, made=made, undo=False) == {"changed": 0}
    why = ask("result = call('Why', node=node)", node=f"column:{features}.area")
    assert {link["role"] for link in why["links"]} == {"group_by", "made"}
    assert ask(write, run=run, made=made, undo=True) == {"changed": 1}
    back = {"from": f"dataset:{features}", "from_column": "zip", "to": f"dataset:{raw}", "to_column": "spend"}
    assert ask("result = error('Columns', derived=[made])", made=back)["code"] == "INVALID_ARGUMENT"


def test_same(ask, client, uniq):
    """Two data sets are one, said, listed and pinned over gRPC."""
    a, b = (f"dataset:{name}-{uniq}" for name in ("old", "new"))
    run = client.create_run(client.create_experiment(f"grpc-same-{uniq}")).info.run_id
    client.log_inputs(run, datasets=[DatasetInput(Dataset(name.split(":")[1], "d1", "http", f"http://example.com/{name}")) for name in (a, b)])
    assert ask("result = call('AddSame', a=a, b=b, reason='moved')", a=a, b=b) == {"changed": 1}
    listed = ask("result = call('ListSame', max_results=1000)['pairs']")
    assert [p["reason"] for p in listed if p["state"] == "same" and {p["a"]["node"], p["b"]["node"]} == {f"{a}@d1", f"{b}@d1"}] == ["moved"]
    assert ask("result = call('UndoSame', a=a, b=b, pin=True)", a=a, b=b) == {"changed": 1}
    assert ask("result = error('AddSame', a=a, b=b)", a=a, b=b)["code"] == "INVALID_ARGUMENT"
