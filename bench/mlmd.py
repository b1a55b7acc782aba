#!/usr/bin/env python3
"""bench/mlmd.py - calls of ML Metadata beside the library of pip, on a store of its own and behind grpcio: processor time for a call.

Runs in the environment `mlmd`. The same nodes go to all; then h2load sends the same messages to the server and to the library behind
grpcio, and a loop calls the library in this process. A call whose answer is not the library's does not count: the program ends with 1.

    $(tools/pyenv mlmd)/bin/python bench/mlmd.py [--cairn build/release/cairn] [--artifacts 100000] [--rounds 3] [--calls 2000] [--store URI --database PID]"""
import argparse
import contextlib
import json
import pathlib
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT / "tests/lib")
sys.path.append(str(ROOT / "bench"))  # last: its grpc.py is not the package
import mlmd_front as lib  # noqa: E402
from mlmd_front import pb, service  # noqa: E402
from suite import machine  # noqa: E402

DEPTH, WIDTH, NAMES = 20, 3, 10
EMPTY = "/grpc.health.v1.Health/Check"


def processor_s(pid, database):
    return time.clock_gettime(~pid << 3 | 2) + (machine.cpu_s(database) if database else 0)


@contextlib.contextmanager
def server(args, ready):
    process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        line = next((text for text in process.stdout if ready in text), None)
        if not line:
            sys.exit(f"{args[0]} does not start")
        yield process.pid, int(line.rsplit(":", 1)[1])
    finally:
        process.terminate()
        process.wait()


def fill(call, artifacts):
    """The same to anybody; what messages name, and what is looked at."""
    types = [call("PutArtifactType", artifact_type=pb.ArtifactType(name="Data", properties={
                 "rows": pb.INT, "loss": pb.DOUBLE, "note": pb.STRING}), all_fields_match=True).type_id,
             call("PutExecutionType", execution_type=pb.ExecutionType(name="Train", properties={"n": pb.INT}), all_fields_match=True).type_id]
    for first in range(0, artifacts, 1000):
        call("PutArtifacts", artifacts=[artifact(types[0], i, f"a{i}") for i in range(first, min(first + 1000, artifacts))])
    before = call("PutArtifacts", artifacts=[artifact(types[0], -1 - i, f"rung 0 {i}") for i in range(WIDTH)]).artifact_ids
    for step in range(DEPTH // 2):
        put = service.PutExecutionRequest(execution=pb.Execution(type_id=types[1], name=f"step {step}"))
        for i in before:
            put.artifact_event_pairs.add().event.MergeFrom(pb.Event(artifact_id=i, type=pb.Event.INPUT))
        for i in range(WIDTH):
            pair = put.artifact_event_pairs.add()
            pair.artifact.CopyFrom(artifact(types[0], -1000 * (step + 1) - i, f"rung {step + 1} {i}"))
            pair.event.type = pb.Event.OUTPUT
        before = call("PutExecution", put).artifact_ids[WIDTH:]
    return types


def artifact(type_id, i, name=None):
    a = pb.Artifact(type_id=type_id, name=name, uri=f"s3://bucket/data/{i}", state=pb.Artifact.LIVE)
    a.properties["rows"].int_value = i // 50
    a.properties["loss"].double_value = 0.5 + i
    a.properties["note"].string_value = f"artifact {i} of the step"
    return a


def put_execution(types):
    put = service.PutExecutionRequest(execution=pb.Execution(type_id=types[1], last_known_state=pb.Execution.COMPLETE))
    put.execution.properties["n"].int_value = 5
    for i in range(10):
        pair = put.artifact_event_pairs.add()
        pair.artifact.CopyFrom(artifact(types[0], i))
        pair.event.type = pb.Event.INPUT if i < 5 else pb.Event.OUTPUT
        pair.event.path.steps.add().key = "data"
    return put


def messages(types, artifacts):
    """{name: (method, requests)}"""
    def listed(query):
        out = service.GetArtifactsRequest()
        out.options.MergeFrom(pb.ListOperationOptions(max_result_size=100, filter_query=query))
        return out

    walk = service.GetLineageSubgraphRequest()
    walk.lineage_subgraph_query_options.starting_artifacts.filter_query = "name = 'rung 0 0'"
    walk.lineage_subgraph_query_options.max_num_hops = DEPTH
    few = artifacts // 100
    return {"put": ("PutExecution", [put_execution(types)]),
            "get": ("GetArtifactByTypeAndName", [service.GetArtifactByTypeAndNameRequest(type_name="Data", artifact_name=f"a{i * few}")
                                                 for i in range(NAMES)]),
            "one": ("GetArtifacts", [listed(f"properties.rows.int_value = {few} AND uri = 's3://bucket/data/{50 * few}'")]),
            "number": ("GetArtifacts", [listed(f"properties.rows.int_value = {few}")]),
            "page": ("GetArtifacts", [listed("state = LIVE AND name LIKE 'a%7'")]),
            "subgraph": ("GetLineageSubgraph", [walk])}


def plain(call, method, request):
    """An answer without what differs between stores: numbers and times."""
    out = call(method, request)
    if method == "PutExecution":
        events = call("GetEventsByExecutionIDs", execution_ids=[out.execution_id]).events
        made = call("GetArtifactsByID", artifact_ids=list(out.artifact_ids)).artifacts
        return [sorted((e.type, e.path.steps[0].key) for e in events), sorted(str((a.uri, a.state, sorted(
            (k, str(v)) for k, v in a.properties.items()))) for a in made)]
    if method == "GetLineageSubgraph":
        graph = out.lineage_subgraph
        ids = {a.id: a.name for a in call("GetArtifactsByID", artifact_ids=[a.id for a in graph.artifacts]).artifacts}
        steps = {x.id: x.name for x in call("GetExecutionsByID", execution_ids=[x.id for x in graph.executions]).executions}
        return [sorted(ids.values()), sorted(steps.values()), sorted((ids[e.artifact_id], steps[e.execution_id], e.type) for e in graph.events)]
    found = [out.artifact] if method == "GetArtifactByTypeAndName" else out.artifacts
    return [(a.name, a.uri, a.state, sorted((k, str(v)) for k, v in a.properties.items())) for a in found]


class Networked:
    """A server behind a port."""

    def __init__(self, name, pid, port, database=None, metadata=None):
        self.name, self.pid, self.port, self.database = name, pid, port, database
        self.calls = lib.Calls(f"127.0.0.1:{port}")

    def __call__(self, method, request=None, **fields):
        kinds = [getattr(service, method + end) for end in ("Request", "Response")]
        fn = self.calls.channel.unary_unary(f"/{lib.SERVICE}/{method}", request_serializer=kinds[0].SerializeToString,
                                            response_deserializer=kinds[1].FromString)
        return fn(request or kinds[0](**fields), timeout=300)

    def cost(self, folder, path, bodies, calls, clients, streams):
        """Microseconds of processor time of one call, by h2load."""
        spent = 0.0
        for i, body in enumerate(bodies):
            file = folder / f"message {i}"
            file.write_bytes(b"\0" + struct.pack(">I", len(body)) + body)
            before = processor_s(self.pid, self.database)
            n = max(calls // len(bodies), clients * streams)
            out = subprocess.run(["h2load", "-n", str(n), "-c", str(clients), "-m", str(streams), "-d", file, "-H", "content-type: application/grpc",
                                  "-H", "te: trailers", f"http://127.0.0.1:{self.port}{path}"], capture_output=True, text=True, check=True).stdout
            if f"{n} succeeded" not in out:
                sys.exit(f"{self.name}: {out[-500:]}")
            spent += (processor_s(self.pid, self.database) - before) / n * 1e6
        return spent / len(bodies)


class Library:
    """The library's own store in this process."""

    name = "library"

    def __init__(self, path):
        self.store = lib.store_of(path)

    def __call__(self, method, request=None, **fields):
        out = getattr(service, method + "Response")()
        self.store._call(method, request or getattr(service, method + "Request")(**fields), out)
        return out

    def cost(self, method, requests, limit_s, calls):
        before, until, n = time.process_time(), time.monotonic() + limit_s, 0
        while n < calls and (n == 0 or time.monotonic() < until):
            self(method, requests[n % len(requests)])
            n += 1
        return (time.process_time() - before) / n * 1e6


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--cairn", default=ROOT / "build/release/cairn")
    p.add_argument("--artifacts", type=int, default=100000)
    p.add_argument("--calls", type=int, default=2000)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--store")
    p.add_argument("--database", type=int)
    p.add_argument("--front", help="serve the library's store in this file")
    args = p.parse_args()
    if args.front:
        front = lib.Front(lib.store_of(args.front))  # it ends with its name
        print(f"at :{front.port}", flush=True)
        time.sleep(3600)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        ours = Networked("cairn", *stack.enter_context(server([args.cairn, "server", "--data", folder / "data", "--listen", "127.0.0.1:0", *(
            ["--store", args.store] if args.store else [])], "listening on ")), args.database)
        library = Library(folder / "library.db")
        types = [fill(who, args.artifacts) for who in (ours, library)]
        front = Networked("front", *stack.enter_context(server([sys.executable, __file__, "--front", folder / "library.db"], "at :")))
        found = {}
        for kind, (method, requests) in messages(types[0], args.artifacts).items():
            theirs = messages(types[1], args.artifacts)[kind][1]
            for a, b in zip(requests, theirs):
                want, got = plain(library, method, b), plain(ours, method, a)
                if want != got or not want[0]:
                    sys.exit(f"{method}: cairn answers {str(got)[:300]}, the library {str(want)[:300]}")
            bodies, of_library = ([r.SerializeToString() for r in each] for each in (requests, theirs))
            path = f"/{lib.SERVICE}/{method}"
            rounds = []
            for clients, streams in ((1, 1), (16, 1)) if kind == "put" else ((4, 16),):
                rounds = [(ours.cost(folder, path, bodies, args.calls, clients, streams),
                           front.cost(folder, path, of_library, 16 * len(bodies), clients, streams),
                           library.cost(method, theirs, 2, min(args.calls, 100)),
                           ours.cost(folder, EMPTY, [b""], args.calls, clients, streams))
                          for _ in range(args.rounds)]
                us, front_us, library_us, transport_us = (statistics.median(column) for column in zip(*rounds))
                found[f"{kind} {clients * streams}"] = {"us": us, "front_us": front_us, "library_us": library_us, "transport_us": transport_us,
                                              "ratio": library_us / us, "front_ratio": front_us / us}
        print(json.dumps({k: {f: round(x, 1) for f, x in v.items()} for k, v in found.items()}))


if __name__ == "__main__":
    sys.exit(main())
