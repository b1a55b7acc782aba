"""ML Metadata for what deployments bring along: the flags of its own server, clients of TFX and Kubeflow Pipelines, gRPC-Web."""

import hashlib
import json
import os
import socket
import subprocess
import textwrap
from pathlib import Path

import pytest
import requests

import cairn
from registry_worker import worker_of

pytestmark = pytest.mark.cairn_only

LIB = Path(__file__).resolve().parent.parent / "lib"


@pytest.fixture(scope="module")
def worker():
    yield from worker_of("mlmd", f"import sys; sys.path.insert(0, {str(LIB)!r}); import mlmd_calls as calls; from mlmd_calls import pb")


@pytest.fixture
def ask(worker, own):
    def run(code, **values):
        return worker.run(textwrap.dedent(code), **values)

    run.server = own
    run("""
        import grpc
        from ml_metadata import metadata_store, errors
        st = metadata_store.MetadataStore(calls.config_of(address))
    """, address=own.url.split("://")[1])
    return run


# ---- the server's own flags ------------------------------------------------------------------------------------------------------


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def begin(tmp_path, *flags, name="metadata_store_server"):
    link = tmp_path / name
    if not link.exists():
        os.symlink(cairn.find_binary(), link)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("CAIRN_", "MLFLOW_"))}
    return subprocess.Popen([str(link), *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path, env=env)


def test_in_place_of_the_original(worker, tmp_path):
    """Started as deployments start it, it serves the unmodified client; a port that somebody else took meanwhile is tried again."""
    (tmp_path / "config.pbtxt").write_text("""
        # as TFX writes it
        connection_config { sqlite: < filename_uri: 'meta' "data.db" connection_mode: READWRITE_OPENCREATE > }
        migration_options { enable_upgrade_migration: true };
    """)
    for _ in range(5):
        port = free_port()
        server = begin(tmp_path, f"--grpc_port={port}", "--metadata_source_config_type=config_file",
                       "--metadata_store_server_config_file=config.pbtxt", "--enable_database_upgrade=true", "--auth=none",
                       "--grpc_channel_arguments=grpc.max_metadata_size=16384,grpc.max_receive_message_length=104857600")
        lines = []
        for line in server.stdout:
            lines.append(line)
            if line.startswith("listening on"):
                break
        else:
            server.wait(60)
            assert "in use" in "".join(lines), "".join(lines)
            continue
        break
    try:
        got = worker.run("st = calls.Store(calls.config_of(address)); result = calls.types(st) and 1", address=f"127.0.0.1:{port}")
        assert got == 1
        host = requests.get(f"http://127.0.0.1:{port}/health", headers={"host": "metadata-grpc-service.kubeflow:8080"}, timeout=30)
        assert host.status_code == 200
    finally:
        server.terminate()
        assert server.wait(60) == 0
        server.stdout.close()
    assert (tmp_path / "metadata.db.cairn" / "cairn.db").exists()


def test_settings_that_mean_nothing_here(tmp_path):
    """A configuration that is not understood starts nothing, and says what to do."""
    (tmp_path / "old.db").write_bytes(b"SQLite format 3\0")
    bad = [
        ("connection_config { mysql { host: 'db' } }", "import mlmd"),
        ("ssl_config { server_cert: 'x' server_key: 'y' }", "--tls-cert"),
        ("connection_config { sqlite { filename_uri: 'old.db' } }", "import mlmd"),
        ("migration_options { downgrade_to_schema_version: 5 }", "downgrade"),
        ("connection_config { colour: 'red' }", "colour"),
        ("connection_config { sqlite { filename_uri: 'x } }", "malformed"),
        ("connection_config { " * 40, "malformed"),
        ("connection_config {", "malformed"),
        ("}", "malformed"),
    ]
    for text, words in bad:
        (tmp_path / "bad.pbtxt").write_text(text)
        server = begin(tmp_path, "--metadata_store_server_config_file=bad.pbtxt", "--auth=none")
        out = server.communicate(timeout=60)[0]
        assert server.returncode == 2 and words in out, (text, out)


# ---- what clients call, in their order ---------------------------------------------------------------------------------------------

TFX = """
from ml_metadata.proto import metadata_store_service_pb2 as service

def context(type_name, name):
    # register_context_if_not_exists()
    try:
        type_id = st.get_context_type(type_name).id
    except errors.NotFoundError:
        type_id = st.put_context_type(pb.ContextType(name=type_name))
    found = st.get_context_by_type_and_name(type_name, name)
    if found is None:
        try:
            id = st.put_contexts([pb.Context(type_id=type_id, name=name)])[0]
        except errors.AlreadyExistsError:
            id = st.get_context_by_type_and_name(type_name, name).id
        [found] = st.get_contexts_by_id([id])
    return found

def cached_outputs(key):
    ended = [e for e in st.get_executions_by_context(context("execution_cache", key).id)
             if e.last_known_state in (pb.Execution.COMPLETE, pb.Execution.CACHED)]
    for e in sorted(ended, key=lambda e: e.create_time_since_epoch, reverse=True):
        events = [v for v in st.get_events_by_execution_ids([e.id]) if v.type == pb.Event.OUTPUT]
        artifacts = st.get_artifacts_by_id([v.artifact_id for v in events])
        if any(a.state != pb.Artifact.LIVE for a in artifacts):
            continue
        types = st.get_artifact_types_by_id([a.type_id for a in artifacts])
        return {v.path.steps[0].key: [a.uri, t.name] for v, a, t in zip(events, artifacts, types)}
    return None

def publish(key, uri):
    # register_execution(), then publish_succeeded_execution()
    kind = st.put_execution_type(pb.ExecutionType(name="Trainer"), can_add_fields=True, can_omit_fields=True)
    made = st.put_artifact_type(pb.ArtifactType(name="Model"), can_add_fields=True, can_omit_fields=True)
    contexts = [context("pipeline", "p"), context("execution_cache", key)]
    e = pb.Execution(type_id=kind, last_known_state=pb.Execution.RUNNING)
    e.id, _, _ = st.put_execution(e, [], contexts, reuse_context_if_already_exist=True,
                                  reuse_artifact_if_already_exist_by_external_id=True, force_reuse_context=True)
    event = pb.Event(type=pb.Event.OUTPUT)
    event.path.steps.add().key = "model"
    event.path.steps.add().index = 0
    e.last_known_state = pb.Execution.COMPLETE
    _, [a], _ = st.put_execution(e, [(pb.Artifact(type_id=made, uri=uri, state=pb.Artifact.LIVE), event)], contexts,
                                 reuse_context_if_already_exist=True, reuse_artifact_if_already_exist_by_external_id=True,
                                 force_reuse_context=True)
    return e.id, a
"""


def test_the_cache_of_tfx(ask):
    """Its own look-up, and cairn's: each finds what the other recorded, and neither what was taken out or is not LIVE."""
    def steps(path, **body):
        return requests.post(f"{ask.server.url}/api/cairn/v1/steps{path}", json=body, timeout=60).json()

    key = hashlib.sha256(b"a key of TFX's own making").hexdigest()
    ask(TFX)
    assert ask("result = cached_outputs(key)", key=key) is None
    execution, artifact = ask("result = list(publish(key, 'gs://b/model'))", key=key)
    assert ask("result = cached_outputs(key)", key=key) == {"model": ["gs://b/model", "Model"]}
    hit = steps("/find", key=key)
    assert (hit["reuse"], hit["execution"]) == (True, f"execution:{execution}")
    assert hit["outputs"] == [{"name": "model", "node": f"artifact:{artifact}", "uri": "gs://b/model"}]

    other = steps("", step="train", parameters={"lr": 1}, execution=f"execution:{execution}")["key"]
    assert ask("result = cached_outputs(key)", key=other) == {"model": ["gs://b/model", "Model"]}
    ask("""
        [a] = st.get_artifacts_by_id([id])
        a.state = pb.Artifact.MARKED_FOR_DELETION
        st.put_artifacts([a])
    """, id=artifact)
    assert ask("result = [cached_outputs(k) for k in keys]", keys=[key, other]) == [None, None]
    assert steps("/find", key=key)["why"] == f"artifact:{artifact} is MARKED_FOR_DELETION, not LIVE"
    ask("a.state = pb.Artifact.LIVE; st.put_artifacts([a])")
    assert steps("/invalidate", key=key)["invalidated"] == "1"
    assert ask("result = [cached_outputs(k) is None for k in keys]", keys=[key, other]) == [True, False]
    assert steps("/find", key=key)["reuse"] is False
    ask.server.kill()
    ask.server.start()
    ask("st = metadata_store.MetadataStore(calls.config_of(address))", address=ask.server.url.split("://")[1])
    assert ask("result = [cached_outputs(k) is None for k in keys]", keys=[key, other]) == [True, False]


def test_a_run_of_kubeflow_pipelines(ask):
    """The driver's and the launcher's calls, and those of the pages that show a run."""
    got = ask("""
        out = {}
        def type_of(name):
            try:
                return st.get_context_type(name).id
            except errors.NotFoundError:
                return st.put_context_type(pb.ContextType(name=name))
        def context(type_name, name, **custom):
            found = st.get_context_by_type_and_name(type_name, name)
            if found is None:
                c = pb.Context(type_id=type_of(type_name), name=name)
                for k, v in custom.items():
                    c.custom_properties[k].string_value = v
                st.put_contexts([c])
                found = st.get_context_by_type_and_name(type_name, name)
            return found
        pipeline = context("system.Pipeline", "add")
        run = context("system.PipelineRun", "run-1", namespace="kubeflow", pipeline_root="minio://b/root", resource_name="run-resource")
        link = pb.ParentContext(child_id=run.id, parent_id=pipeline.id)
        st.put_parent_contexts([link])
        try:
            st.put_parent_contexts([link])
        except errors.AlreadyExistsError:
            out["again"] = "exists"
        out["parents"] = [c.name for c in st.get_parent_contexts_by_context(run.id)]
        def execution(type_name, name, **custom):
            e = pb.Execution(type_id=st.put_execution_type(pb.ExecutionType(name=type_name)), name=name,
                             last_known_state=pb.Execution.RUNNING)
            for k, v in custom.items():
                if isinstance(v, int):
                    e.custom_properties[k].int_value = v
                else:
                    e.custom_properties[k].string_value = v
            e.id, _, _ = st.put_execution(e, [], [pipeline, run])
            return e
        dag = execution("system.DAGExecution", "run/run-1", display_name="root", total_dag_tasks=2)
        tasks = [execution("system.ContainerExecution", f"t{i}", task_name=f"t{i}", parent_dag_id=dag.id,
                           cache_fingerprint="f" * 64) for i in range(2)]
        inputs = tasks[0].custom_properties["inputs"].struct_value
        inputs["x"] = 1.0
        kind = st.put_artifact_type(pb.ArtifactType(name="system.Dataset"))
        a = pb.Artifact(type_id=kind, uri="minio://b/root/data", state=pb.Artifact.LIVE)
        a.custom_properties["display_name"].string_value = "data"
        for task, event_type in zip(tasks, (pb.Event.OUTPUT, pb.Event.INPUT)):
            event = pb.Event(type=event_type)
            event.path.steps.add().key = "data"
            task.last_known_state = pb.Execution.COMPLETE
            _, [a.id], _ = st.put_execution(task, [(a, event)], [pipeline, run])
        options = metadata_store.ListOptions(limit=20, filter_query=f"custom_properties.parent_dag_id.int_value = {dag.id}")
        out["tasks"] = sorted(e.name for e in st.get_executions_by_context(run.id, options))
        out["named"] = st.get_execution_by_type_and_name("system.DAGExecution", "run/run-1").id == dag.id
        out["struct"] = dict(st.get_executions_by_id([tasks[0].id])[0].custom_properties["inputs"].struct_value)
        events = st.get_events_by_execution_ids([t.id for t in tasks])
        out["events"] = [[v.artifact_id == a.id, v.type, v.path.steps[0].key] for v in events]
        out["by artifact"] = [v.execution_id == t.id for v, t in zip(st.get_events_by_artifact_ids([a.id]), tasks)]
        out["uri"] = [x.id == a.id for x in st.get_artifacts_by_uri("minio://b/root/data")]
        out["contexts"] = sorted(c.name for c in st.get_contexts_by_execution(tasks[0].id))
        out["of the artifact"] = sorted(c.name for c in st.get_contexts_by_artifact(a.id))
        out["properties stay"] = st.get_contexts_by_id([run.id])[0].custom_properties["namespace"].string_value
        result = out
    """)
    assert got == {"again": "exists", "parents": ["add"], "tasks": ["t0", "t1"], "named": True, "struct": {"x": 1.0},
                   "events": [[True, 4, "data"], [True, 3, "data"]], "by artifact": [True, True], "uri": [True],
                   "contexts": ["add", "run-1"], "of the artifact": ["add", "run-1"], "properties stay": "kubeflow"}


def test_pages_over_grpc_web(ask):
    """The library's own messages in the frames of gRPC-Web, binary and base64, as the pages of Kubeflow Pipelines send them."""
    got = ask("""
        import base64, struct, urllib.request
        from ml_metadata.proto import metadata_store_service_pb2 as service
        st.put_artifact_type(pb.ArtifactType(name="Data"))
        def call(method, request, answer, text):
            body = request.SerializeToString()
            body = b"\\0" + struct.pack(">I", len(body)) + body
            kind = "application/grpc-web-text" if text else "application/grpc-web+proto"
            headers = {"content-type": kind, "accept": kind, "x-grpc-web": "1", "x-user-agent": "grpc-web-javascript/0.1"}
            data = base64.b64encode(body) if text else body
            url = f"http://{address}/ml_metadata.MetadataStoreService/{method}"
            raw = urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60).read()
            raw = base64.b64decode(raw) if text else raw
            frames = []
            while raw:
                flag, n = struct.unpack(">BI", raw[:5])
                frames.append((flag, raw[5:5 + n]))
                raw = raw[5 + n:]
            for flag, data in frames:
                if flag == 0:
                    answer.ParseFromString(data)
            return frames[-1][1].decode()
        out = []
        for text in (False, True):
            types = service.GetArtifactTypesResponse()
            trailer = call("GetArtifactTypes", service.GetArtifactTypesRequest(), types, text)
            missing = call("GetArtifactType", service.GetArtifactTypeRequest(type_name="none"), types, text)
            out.append([[t.name for t in types.artifact_types], trailer.split("\\r\\n")[0], missing.split("\\r\\n")[0]])
        result = out
    """, address=ask.server.url.split("://")[1])
    assert got == [[["Data"], "grpc-status:0", "grpc-status:5"]] * 2


@pytest.mark.parametrize("form", ["text", "binary"])
def test_the_client_of_pages(ask, tmp_path, form):
    """Google's npm client of gRPC-Web with stubs of the library's own messages: a walk of the pages, a refusal, a namespace."""
    env = subprocess.run([cairn.ROOT / "tools/nodeenv", "grpc-web"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if env.returncode == 3:
        pytest.skip("node and npm are not installed")
    assert env.returncode == 0, env.stderr
    ask("""
        from google.protobuf import descriptor_pb2
        from ml_metadata.proto import metadata_store_service_pb2 as service
        files, seen = descriptor_pb2.FileDescriptorSet(), set()
        def add(file):
            if file.name not in seen:
                seen.add(file.name)
                for needed in file.dependencies:
                    add(needed)
                file.CopyToProto(files.file.add())
        add(service.DESCRIPTOR)
        open(path, "wb").write(files.SerializeToString())
    """, path=str(tmp_path / "descriptors"))

    def call(*calls):
        argv = ["node", str(LIB / "mlmd_web.mjs"), env.stdout.strip() + "/node_modules", ask.server.url, str(tmp_path / "descriptors"), form]
        done = subprocess.run(argv, input=json.dumps(calls), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    text = {"string_value": "täglich \u4e2d " + "x" * 200000}
    one = {"cairn-namespace": f"pages {form}"}
    [kind, made, named, page, rest, missing, foreign, whole] = call(
        ["PutArtifactType", {"artifact_type": {"name": "Data", "properties": {"rows": 1}}}, one],
        ["PutArtifacts", {"artifacts": [{"type_id": 10, "name": f"a{i}", "uri": "s3://b", "state": 2, "properties": {"rows": {"int_value": str(2**53 + i)}},
                                         "custom_properties": {"note": text}} for i in range(3)]}, one],
        ["GetArtifactByTypeAndName", {"type_name": "Data", "artifact_name": "a1"}, one],
        ["GetArtifacts", {"options": {"max_result_size": 2, "filter_query": "uri = 's3://b'", "order_by_field": {"field": 3, "is_asc": False}}}, one],
        ["GetArtifactsByID", {"artifact_ids": [1, 2, 3]}, one],
        ["GetContextType", {"type_name": "täglich"}, one],
        ["GetArtifactTypes", {}, {}],
        ["PutExecution", {"execution": {"type_id": 10}}, one])
    assert kind == {"answer": {"type_id": "10"}} and made == {"answer": {"artifact_ids": ["1", "2", "3"]}}
    got = named["answer"]["artifact"]
    assert (got["id"], got["type"], got["properties"]["rows"]["int_value"], got["custom_properties"]["note"]) == ("2", "Data", str(2**53 + 1), text)
    assert [a["name"] for a in page["answer"]["artifacts"]] == ["a2", "a1"] and page["answer"]["next_page_token"]
    assert len(rest["answer"]["artifacts"]) == 3
    assert missing["code"] == 5 and missing["message"].startswith("No type found for query, name: `täglich`, version: `nullopt`")
    assert foreign == {"answer": {}}
    assert whole["code"] == 5 and "type_id: 10" in whole["message"]
