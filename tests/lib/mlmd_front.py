"""ML Metadata's own store behind grpcio, and everything that a server of ML Metadata holds. Runs in the environment `mlmd`."""

import os
from concurrent import futures

os.environ.setdefault("GLOG_minloglevel", "3")

import grpc  # noqa: E402
from google.protobuf import json_format, struct_pb2  # noqa: E402
from ml_metadata import errors, metadata_store  # noqa: E402
from ml_metadata.proto import metadata_store_pb2 as pb  # noqa: E402
from ml_metadata.proto import metadata_store_service_pb2 as service  # noqa: E402

SERVICE = "ml_metadata.MetadataStoreService"
METHODS = [m[:-len("Request")] for m in dir(service) if m.endswith("Request")]


def store_of(path):
    config = pb.ConnectionConfig()
    config.sqlite.filename_uri = str(path)
    config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return metadata_store.MetadataStore(config)


class Front:
    """Serves a store of the library on a port of loopback."""

    def __init__(self, store):
        self.server = grpc.server(futures.ThreadPoolExecutor(1))
        handlers = {m: self.handler(store, m) for m in METHODS}
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    @staticmethod
    def handler(store, method):
        def answer(request, context):
            out = getattr(service, method + "Response")()
            try:
                store._call(method, request, out)
            except errors.StatusError as e:
                context.abort([c for c in grpc.StatusCode if c.value[0] == e.error_code][0], str(e)[:500])
            return out

        return grpc.unary_unary_rpc_method_handler(answer, getattr(service, method + "Request").FromString,
                                                   getattr(service, method + "Response").SerializeToString)

    def stop(self):
        self.server.stop(None).wait()


class Calls:
    """Calls to a server, in a namespace."""

    def __init__(self, address, ns=None, token=None):
        self.channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", 100 << 20)])
        self.metadata = [("cairn-namespace", ns)] if ns else []
        self.metadata += [("authorization", "Bearer " + token)] if token else []

    def __call__(self, method, **fields):
        kinds = [getattr(service, method + end) for end in ("Request", "Response")]
        fn = self.channel.unary_unary(f"/{SERVICE}/{method}", request_serializer=kinds[0].SerializeToString,
                                      response_deserializer=kinds[1].FromString)
        return fn(kinds[0](**fields), timeout=60, metadata=self.metadata)

    def all(self, method, field, **fields):
        """Every page of a list."""
        out, token = [], ""
        while True:
            page = self(method, options={"max_result_size": 100, "next_page_token": token}, **fields)
            out += getattr(page, field)
            token = page.next_page_token
            if not token:
                return out


def plain(message, drop=()):
    out = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return {k: v for k, v in out.items() if k not in drop}


def dump(calls):
    """Everything, by number; without numbers of types, which need not be the same everywhere. Lists of the library do not say external ids of types."""
    out = {}
    for kind in ("Artifact", "Execution", "Context"):
        low = kind.lower()
        types = {t.id: f"{t.name}/{t.version}" for t in getattr(calls(f"Get{kind}Types"), low + "_types")}
        whole = getattr(calls(f"Get{kind}TypesByID", type_ids=types), low + "_types")
        out[low + " types"] = sorted((plain(t, ("id",)) for t in whole), key=lambda t: (t["name"], t.get("version", "")))
        nodes = calls.all(f"Get{kind}s", low + "s")
        out[low + "s"] = [dict(plain(n, ("type_id",)), type=types.get(n.type_id, n.type)) for n in nodes]
    ids = [int(x["id"]) for x in out["executions"]]
    events = calls("GetEventsByExecutionIDs", execution_ids=ids).events if ids else []
    out["events"] = sorted((plain(e) for e in events), key=lambda e: (int(e["artifact_id"]), int(e["execution_id"]), e["type"]))
    contexts = [int(c["id"]) for c in out["contexts"]]
    out["attributions"] = [[c, a.id] for c in contexts for a in calls.all("GetArtifactsByContext", "artifacts", context_id=c)]
    out["associations"] = [[c, x.id] for c in contexts for x in calls.all("GetExecutionsByContext", "executions", context_id=c)]
    out["parents"] = [[c, p.id] for c in contexts for p in calls("GetParentContextsByContext", context_id=c).contexts]
    return out


def fill(store):
    """Some of everything: values of every kind, paths, versions of types, more rows than a page has."""
    kinds = {"rows": pb.INT, "loss": pb.DOUBLE, "note": pb.STRING, "ok": pb.BOOLEAN, "tree": pb.STRUCT, "packed": pb.PROTO}
    data = store.put_artifact_type(pb.ArtifactType(name="Data", properties=kinds, base_type=pb.ArtifactType.DATASET, external_id="t"))
    newer = store.put_artifact_type(pb.ArtifactType(name="Data", version="2", description="newer"))
    plain_model = store.get_artifact_type("mlmd.Model").id
    train_type = pb.ExecutionType(name="Train", base_type=pb.ExecutionType.TRAIN)
    train = store.put_execution_type(train_type)
    pipeline = store.put_context_type(pb.ContextType(name="Pipeline", properties={"n": pb.INT}))
    tree = struct_pb2.Struct()
    tree.update({"a": [1, {"b": None}], "é": "x" * 300})
    artifacts = []
    for i in range(130):
        a = pb.Artifact(type_id=[data, newer, plain_model][i % 3], uri=f"s3://b/{i % 7}", state=i % 7 if i % 5 else None)
        if i % 2:
            a.name, a.external_id = f"a {i}", f"ext-{i}"
        if i % 3 == 0:
            a.properties["rows"].int_value = 2 ** 40 + i
            a.properties["loss"].double_value = 0.1 + i
            a.properties["note"].string_value = "" if i % 2 else "naïve"
            a.properties["ok"].bool_value = bool(i % 2)
            a.properties["tree"].struct_value.CopyFrom(tree)
            a.properties["packed"].proto_value.Pack(tree)
        a.custom_properties["n"].int_value = -i
        artifacts.append(a)
    aids = store.put_artifacts(artifacts)
    xids = store.put_executions([pb.Execution(type_id=train, name=f"x{i}" if i % 2 else None, last_known_state=i % 7) for i in range(110)])
    cids = store.put_contexts([pb.Context(type_id=pipeline, name=f"run {i}", properties={"n": pb.Value(int_value=i)}) for i in range(4)])
    events = []
    for i, x in enumerate(xids):
        e = pb.Event(artifact_id=aids[i], execution_id=x, type=pb.Event.INPUT, milliseconds_since_epoch=1000 + i)
        e.path.steps.add().key = "in"
        e.path.steps.add().index = i
        events += [e, pb.Event(artifact_id=aids[i + 1], execution_id=x, type=pb.Event.OUTPUT)]
    store.put_events(events)
    store.put_attributions_and_associations([pb.Attribution(artifact_id=a, context_id=cids[a % 3]) for a in aids],
                                            [pb.Association(execution_id=x, context_id=cids[0]) for x in xids])
    store.put_parent_contexts([pb.ParentContext(child_id=cids[1], parent_id=cids[0]), pb.ParentContext(child_id=cids[2], parent_id=cids[1])])


def change(store):
    """One artifact and one context are changed, an execution with an event and a context are new."""
    a = store.get_artifacts_by_id([3])[0]
    a.custom_properties["n"].int_value = 77
    a.custom_properties["more"].string_value = "x"
    a.state = pb.Artifact.DELETED
    store.put_artifacts([a])
    x = store.get_execution_type("Train").id
    c = store.get_context_type("Pipeline").id
    store.put_execution(pb.Execution(type_id=x, name="late"), [(None, pb.Event(artifact_id=3, type=pb.Event.INPUT))],
                        [pb.Context(type_id=c, name="late")])
