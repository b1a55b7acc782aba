"""Calls of ML Metadata's own client, the same to any store: what they answer, with numbers and times taken out, so that the answers of
two stores can be compared. Runs in the environment `mlmd`. A case is a function of a Store; it gives what is to be compared."""

import os

os.environ.setdefault("GLOG_minloglevel", "3")

from google.protobuf import json_format  # noqa: E402
from ml_metadata import errors, metadata_store  # noqa: E402
from ml_metadata.proto import metadata_store_pb2 as pb  # noqa: E402
from ml_metadata.proto import metadata_store_service_pb2 as service  # noqa: E402

TIMES = {"create_time_since_epoch", "last_update_time_since_epoch", "milliseconds_since_epoch"}
KINDS = {"artifact": "a", "execution": "x", "context": "c", "child": "c", "parent": "c", "type": "t"}


class Store:
    """One store, and what its numbers stand for."""

    def __init__(self, config):
        self.s = metadata_store.MetadataStore(config)
        self.names = {}

    def see(self, kind, ids):
        ids = list(ids)
        for i in ids:
            self.names.setdefault((kind, i), f"{kind}{sum(1 for k, _ in self.names if k == kind)}")
        return ids

    def type(self, put, **fields):
        return self.see("t", [put(**fields)])[0]

    def name(self, kind, value):
        return self.names.get((kind, int(value)), "unknown")

    def plain(self, value, kind=None):
        """As JSON, numbers as names, without times."""
        if hasattr(value, "DESCRIPTOR"):
            name = value.DESCRIPTOR.name
            kind = {"Artifact": "a", "Execution": "x", "Context": "c"}.get(name, "t" if name.endswith("Type") else kind)
            value = json_format.MessageToDict(value, preserving_proto_field_name=True)
        if isinstance(value, dict):
            out = {}
            for k, v in value.items():
                if k in TIMES:
                    out[k] = "a time"
                elif k == "id" and isinstance(v, str):
                    out[k] = self.name(kind, v)
                elif k.endswith("_id") and k[:-3] in KINDS:
                    out[k] = self.name(KINDS[k[:-3]], v)
                else:
                    out[k] = self.plain(v, kind)
            return out
        if isinstance(value, (list, tuple)):
            return [self.plain(v, kind) for v in value]
        return value

    def raw(self, method, **fields):
        """A call that the client has no function for."""
        answer = getattr(service, method + "Response")()
        self.s._call(method, getattr(service, method + "Request")(**fields), answer)
        return answer


def outcome(fn, *args, **kwargs):
    try:
        return fn(*args, **kwargs)
    except errors.StatusError as e:
        return {"code": e.error_code, "text": str(e)}


def node(cls, type_id, properties=(), custom=(), **fields):
    n = cls(type_id=type_id, **fields)
    for to, values in ((n.properties, dict(properties)), (n.custom_properties, dict(custom))):
        for k, v in values.items():
            if isinstance(v, bool):
                to[k].bool_value = v
            elif isinstance(v, int):
                to[k].int_value = v
            elif isinstance(v, float):
                to[k].double_value = v
            elif isinstance(v, str):
                to[k].string_value = v
            elif isinstance(v, dict):
                to[k].struct_value.update(v)
            elif v is None:
                to[k].SetInParent()
            else:
                to[k].proto_value.Pack(v)
    return n


def types(st):
    """What every other case stands on."""
    if not hasattr(st, "data"):
        st.data = st.see("t", [st.s.put_artifact_type(pb.ArtifactType(name="Data", properties={
            "i": pb.INT, "d": pb.DOUBLE, "s": pb.STRING, "st": pb.STRUCT, "p": pb.PROTO, "b": pb.BOOLEAN}), can_omit_fields=True)])[0]
        st.train = st.see("t", [st.s.put_execution_type(pb.ExecutionType(name="Train", properties={"n": pb.INT}))])[0]
        st.exp = st.see("t", [st.s.put_context_type(pb.ContextType(name="Exp"))])[0]
    return st


def artifact(st, *args, **kwargs):
    return st.see("a", st.s.put_artifacts([node(pb.Artifact, st.data, *args, **kwargs)]))[0]


def execution(st, *args, **kwargs):
    return st.see("x", st.s.put_executions([node(pb.Execution, st.train, *args, **kwargs)]))[0]


def context(st, *args, **kwargs):
    return st.see("c", st.s.put_contexts([node(pb.Context, st.exp, *args, **kwargs)]))[0]


# ---- types ----

def case_types(st):
    types(st)
    put = st.s.put_artifact_type
    A = pb.ArtifactType
    out = [st.s.get_artifact_types(), st.s.get_execution_types(), st.s.get_context_types(), st.s.get_artifact_type("Data"),
           outcome(put, A(name="Data", properties={"i": pb.STRING})),
           outcome(put, A(name="Data", properties={"i": pb.INT})),
           outcome(put, A(name="Data", properties={"i": pb.INT, "new": pb.INT}), can_omit_fields=True),
           outcome(put, A(properties={"i": pb.INT})), outcome(put, A(name="U", properties={"u": pb.UNKNOWN})),
           outcome(put, A(name="B", base_type=A.UNSET)),
           outcome(st.s.get_artifact_type, "none"), outcome(st.s.get_artifact_type, "none", "v1"),
           outcome(st.raw, "PutArtifactType", artifact_type=A(name="Data"), all_fields_match=False)]
    st.see("t", [put(A(name="Data", version="2", description="second", base_type=A.DATASET))])
    out += [st.s.get_artifact_type("Data", "2"), st.s.get_artifact_type("mlmd.Dataset").name,
            outcome(put, A(name="Data", version="2", base_type=A.MODEL)), outcome(put, A(name="Data", version="2", base_type=A.UNSET)),
            put(A(name="Data", version="2")) == put(A(name="Data", version="2", base_type=A.DATASET)),
            put(A(name="Data", properties={"i": pb.INT, "more": pb.STRING}), can_add_fields=True, can_omit_fields=True) == st.data,
            sorted(st.s.get_artifact_type("Data").properties.items())]
    put(A(name="Data", external_id="ext-t"), can_omit_fields=True)
    out += [st.s.get_artifact_types_by_external_ids(["ext-t"]), outcome(st.s.get_artifact_types_by_external_ids, ["nope"]),
            outcome(st.s.get_artifact_types_by_external_ids, [""]), st.s.get_artifact_types_by_external_ids([]),
            [t.name for t in st.s.get_artifact_types_by_id([st.data, 999999, st.data])]]
    st.see("t", [st.s.put_execution_type(pb.ExecutionType(name="Typed", base_type=pb.ExecutionType.DEPLOY))])
    both = st.raw("PutTypes", artifact_types=[A(name="P1"), A(name="P2")], context_types=[pb.ContextType(name="P1")])
    st.see("t", [*both.artifact_type_ids, *both.execution_type_ids, *both.context_type_ids])
    return out + [st.s.get_execution_type("Typed"), both.artifact_type_ids, both.execution_type_ids, st.s.get_context_types()]


# ---- nodes ----

def case_values(st):
    types(st)
    from google.protobuf import timestamp_pb2
    i = artifact(st, {"i": -(1 << 62), "d": 0.1, "s": "\u00e9\U0001F600", "st": {"b": [1, None, "x", {"k": False}], "a": -0.5}, "b": True,
                      "p": timestamp_pb2.Timestamp(seconds=7)}, {"any name/at.all": 1, "empty": "", "d": 1e300},
                 name="all", uri="s3://b/k", state=pb.Artifact.LIVE, external_id="e1")
    j = artifact(st)
    x = execution(st, {"n": 3}, last_known_state=pb.Execution.CANCELED)
    c = context(st, name="c1", custom={"t": "x"})
    return [sorted(st.s.get_artifacts_by_id([j, i, 999999, i]), key=lambda a: a.id), st.s.get_artifacts_by_id([j])[0].HasField("uri"), st.s.get_executions_by_id([x]),
            st.s.get_contexts_by_id([c]), st.s.get_artifact_by_type_and_name("Data", "all"),
            st.s.get_artifact_by_type_and_name("Data", "nothing"), st.s.get_artifact_by_type_and_name("NoType", "all"),
            st.s.get_context_by_type_and_name("Exp", "c1"), st.s.get_artifacts_by_uri("s3://b/k"), st.s.get_artifacts_by_uri("s3://none"),
            st.s.get_artifacts_by_external_ids(["e1", "e2"]), outcome(st.s.get_artifacts_by_external_ids, ["e2"]),
            outcome(st.s.get_contexts_by_external_ids, [""]), st.s.get_artifacts_by_type("Data"), st.s.get_artifacts_by_type("No")]


def case_refused(st):
    types(st)
    P = st.s.put_artifacts
    context(st, name="taken")
    artifact(st, name="taken", external_id="taken")
    return [outcome(P, [pb.Artifact()]), outcome(P, [pb.Artifact(type_id=999999)]), outcome(P, [node(pb.Artifact, st.data, {"no": 1})]),
            outcome(P, [node(pb.Artifact, st.data, {"i": "text"})]), outcome(P, [node(pb.Artifact, st.data, {"i": None})]),
            outcome(P, [node(pb.Artifact, st.data, {"s": {"a": 1}})]), outcome(st.s.put_contexts, [pb.Context(type_id=st.exp)]),
            outcome(st.s.put_contexts, [pb.Context(type_id=st.exp, name="taken")]), outcome(P, [node(pb.Artifact, st.data, name="taken")]),
            outcome(P, [node(pb.Artifact, st.data, external_id="taken")]), outcome(P, [pb.Artifact(id=999999, type_id=st.data)]),
            outcome(P, [pb.Artifact(type_id=st.train)]), outcome(st.s.put_executions, [pb.Execution(type_id=st.data)]),
            len(st.s.get_artifacts_by_type("Data"))]


def case_updates(st):
    types(st)
    i = artifact(st, {"i": 1, "s": "a"}, {"k": "v", "gone": 1}, name="name", uri="u", state=pb.Artifact.PENDING, external_id="x1")
    get = lambda: st.s.get_artifacts_by_id([i])[0]  # noqa: E731
    first = get()
    out = [st.s.put_artifacts([first]) == [i], get().last_update_time_since_epoch == first.last_update_time_since_epoch]
    changed = node(pb.Artifact, st.data, {"i": 2}, {"k": "w"}, id=i, name="other")
    st.s.put_artifacts([changed])
    out += [get(), get().last_update_time_since_epoch >= first.last_update_time_since_epoch,
            outcome(st.s.put_artifacts, [pb.Artifact(id=i, type_id=999)])]
    put = lambda paths, **f: st.raw("PutArtifacts", artifacts=[node(pb.Artifact, st.data, id=i, **f)], update_mask={"paths": paths})  # noqa: E731
    put(["properties.s", "state"], properties={"s": "masked", "i": 99}, state=pb.Artifact.LIVE, uri="not")
    out.append(get())
    put(["custom_properties.a.b", "custom_properties.k"], custom={"a.b": 1})
    out.append(get())
    put(["custom_properties", "uri"], custom={"only": 1.5}, uri="now")
    out.append(get())
    c = context(st, name="before", custom={"a": 1})
    st.s.put_contexts([pb.Context(id=c, type_id=st.exp, name="after")])
    out += [st.s.get_contexts_by_id([c]), outcome(st.s.put_contexts, [pb.Context(id=c, type_id=st.exp)])]
    now = get()
    wrong = pb.Artifact()
    wrong.CopyFrom(now)
    wrong.last_update_time_since_epoch -= 1
    flag = {"abort_if_latest_updated_time_changed": True}
    out.append(outcome(st.raw, "PutArtifacts", artifacts=[wrong], options=flag))
    now.uri = "newer"
    st.raw("PutArtifacts", artifacts=[now], options=flag)
    return out + [get(), get().last_update_time_since_epoch > now.last_update_time_since_epoch]


# ---- edges ----

def event(kind, artifact=None, execution=None, path=()):
    e = pb.Event(type=kind, artifact_id=artifact, execution_id=execution)
    for p in path:
        step = e.path.steps.add()
        if isinstance(p, int):
            step.index = p
        else:
            step.key = p
    return e


def case_events(st):
    types(st)
    a, b, x = artifact(st), artifact(st), execution(st)
    E = pb.Event
    st.s.put_events([event(E.INPUT, a, x, ["in", 0, "\u00fc", 3]), event(E.OUTPUT, b, x, ["out"]), event(E.DECLARED_INPUT, a, x)])
    put = st.s.put_events
    return [st.s.get_events_by_execution_ids([x]), sorted(st.s.get_events_by_artifact_ids([b, a]), key=lambda e: (e.artifact_id, e.type)), st.s.get_events_by_artifact_ids([999999]),
            outcome(put, [event(E.INPUT, a, x)]), outcome(put, [E(type=E.INPUT, execution_id=x)]), outcome(put, [E(type=E.INPUT, artifact_id=a)]),
            outcome(put, [E(artifact_id=a, execution_id=x)]), outcome(put, [event(E.UNKNOWN, a, x)]),
            outcome(put, [event(E.INPUT, 999999, x)]), outcome(put, [event(E.INPUT, b, 999999)]),
            # all or nothing
            outcome(put, [event(E.INPUT, b, x), event(E.INPUT, 999999, x)]), st.s.get_events_by_artifact_ids([b])]


def case_contexts(st):
    types(st)
    a, x, c, d = artifact(st), execution(st), context(st, name="m1"), context(st, name="m2")
    At, As = pb.Attribution, pb.Association
    put = st.s.put_attributions_and_associations
    put([At(artifact_id=a, context_id=c), At(artifact_id=a, context_id=d)], [As(execution_id=x, context_id=c)])
    put([At(artifact_id=a, context_id=c)], [])
    P = pb.ParentContext
    st.s.put_parent_contexts([P(child_id=d, parent_id=c)])
    parents = st.s.put_parent_contexts

    return [st.s.get_contexts_by_artifact(a), st.s.get_contexts_by_execution(x), st.s.get_artifacts_by_context(c),
            st.s.get_executions_by_context(c), st.s.get_executions_by_context(d), st.s.get_artifacts_by_context(999999),
            outcome(st.s.get_contexts_by_artifact, 999999), outcome(st.s.get_contexts_by_execution, execution(st)),
            outcome(put, [At(artifact_id=a, context_id=999999)], []), outcome(put, [At(artifact_id=999999, context_id=c)], []),
            outcome(put, [], [As(execution_id=999999, context_id=c)]), outcome(put, [At(artifact_id=a)], []),
            st.s.get_parent_contexts_by_context(d), st.s.get_children_contexts_by_context(c), st.s.get_parent_contexts_by_context(c),
            outcome(parents, [P(child_id=d, parent_id=c)]), outcome(parents, [P(child_id=c, parent_id=d)]),
            outcome(parents, [P(child_id=c, parent_id=c)]), outcome(parents, [P(child_id=c, parent_id=999999)]), outcome(parents, [P(child_id=c)])]


def case_put_execution(st):
    types(st)
    E, A, X, C = pb.Event, pb.Artifact, pb.Execution, pb.Context

    def put(*args, **kwargs):
        x, a, c = st.s.put_execution(*args, **kwargs)
        st.see("x", [x])
        st.see("a", [i for i in a if i > 0])
        st.see("c", c)
        return [st.name("x", x), [st.name("a", i) for i in a], [st.name("c", i) for i in c]]

    old = artifact(st, name="pe-old")
    out = [put(X(type_id=st.train), [(A(type_id=st.data, uri="new"), event(E.OUTPUT, path=["o"])), (None, event(E.INPUT, old)), (A(id=old, type_id=st.data), None)],
               [C(type_id=st.exp, name="pe-c")])]
    x = max(i for k, i in st.names if k == "x")
    c = max(i for k, i in st.names if k == "c")
    full = dict(reuse_context_if_already_exist=True, reuse_artifact_if_already_exist_by_external_id=True)
    out += [st.s.get_events_by_execution_ids([x]), st.s.get_artifacts_by_context(c), st.s.get_executions_by_context(c),
            outcome(put, X(type_id=st.train), [], [C(type_id=st.exp, name="pe-c")]),
            outcome(put, X(type_id=st.train), [], [C(type_id=st.exp, name="pe-c")], **full),
            outcome(put, X(id=x, type_id=st.train, last_known_state=X.COMPLETE), [(A(type_id=st.data, external_id="pe-e", uri="1"), event(E.OUTPUT))], [], **full),
            outcome(put, X(id=x, type_id=st.train), [(A(type_id=st.data, external_id="pe-e", uri="2"), event(E.INTERNAL_OUTPUT))], [], **full),
            st.s.get_artifacts_by_external_ids(["pe-e"]), st.s.get_executions_by_id([x]),
            outcome(put, X(id=x, type_id=st.train), [(A(type_id=st.data), event(E.INPUT, old))], []),
            outcome(put, X(id=x, type_id=st.train), [(None, event(E.INPUT))], []),
            outcome(put, X(type_id=st.train), [(None, event(E.INPUT, old, x))], []),
            outcome(st.raw, "PutExecution"), outcome(put, X(id=999999, type_id=st.train), [], []),
            outcome(put, X(id=x, type_id=st.train), [], [C(id=c, type_id=st.exp)]), outcome(put, X(id=x, type_id=st.train), [], [C(id=c, name="pe-c")]),
            outcome(put, X(id=x, type_id=st.train), [], [C(id=999999)], force_reuse_context=True),
            outcome(put, X(id=x, type_id=st.train), [], [C(id=c)], force_reuse_context=True)]
    return out


def case_put_subgraph(st):
    types(st)
    E, A, X, C = pb.Event, pb.Artifact, pb.Execution, pb.Context

    def put(executions, artifacts, contexts, edges, **options):
        edges = [service.PutLineageSubgraphRequest.EventEdge(execution_index=x, artifact_index=a, event=e) for x, a, e in edges]
        r = st.raw("PutLineageSubgraph", executions=executions, artifacts=artifacts, contexts=contexts, event_edges=edges, options=options)
        return [[st.name(k, i) for i in st.see(k, ids)] for k, ids in (("x", r.execution_ids), ("a", r.artifact_ids), ("c", r.context_ids))]

    x, a, c = X(type_id=st.train), A(type_id=st.data), C(type_id=st.exp, name="sub")
    old = artifact(st)
    out = [put([x, x], [a, A(type_id=st.data, external_id="sub-e")], [c], [(0, 0, E(type=E.OUTPUT)), (1, 0, E(type=E.INPUT)), (1, None, E(type=E.INPUT, artifact_id=old))])]
    ids = sorted(i for k, i in st.names if k == "x")[-2:]
    ctx = max(i for k, i in st.names if k == "c")
    return out + [st.s.get_events_by_execution_ids(ids), st.s.get_executions_by_context(ctx), st.s.get_artifacts_by_context(ctx),
                  outcome(put, [x], [a], [], [(1, 0, E(type=E.INPUT))]), outcome(put, [x], [a], [], [(0, -1, E(type=E.INPUT))]),
                  outcome(put, [x], [a], [], [(0, None, E(type=E.INPUT))]), outcome(put, [x], [a], [], [(0, 0, None)]),
                  outcome(put, [x], [a], [], [(0, 0, E(type=E.INPUT, artifact_id=old))]), outcome(put, [X()], [a], [], []),
                  outcome(put, [x], [a], [c], []), outcome(put, [x], [a], [c], [], reuse_context_if_already_exist=True),
                  outcome(put, [], [A(type_id=st.data, external_id="sub-e", uri="re")], [], [], reuse_artifact_if_already_exist_by_external_id=True)]


def only_many_contexts(st):
    """What the library's store in this process has no call for."""
    types(st)
    c, d = context(st, name="many1"), context(st, name="many2")
    st.s.put_parent_contexts([pb.ParentContext(child_id=d, parent_id=c)])

    def many(which, ids):
        answer = st.raw(f"Get{which}ContextsByContexts", context_ids=ids)
        return {k: [n.name for n in (v.parent_contexts if which == "Parent" else v.children_contexts)] for k, v in answer.contexts.items()}

    return [many("Parent", [c, d]) == {d: ["many1"]}, many("Children", [d, c]) == {c: ["many2"]},
            outcome(many, "Parent", [])["code"], outcome(many, "Children", [])["code"],
            outcome(st.raw, "GetLineageGraph")["code"] if hasattr(service, "GetLineageGraphResponse") else 12]


# ---- lists ----

def case_lists(st):
    types(st)
    made = [artifact(st, {"i": i}) for i in range(7)]
    Order = metadata_store.OrderByField

    def pages(**options):
        out, token = [], ""
        while True:
            answer = st.raw("GetArtifactsByType", type_name="Data", options=dict(options, next_page_token=token))
            out.append([st.name("a", a.id) for a in answer.artifacts])
            token = answer.next_page_token
            if not token:
                return out

    by = lambda field, asc=True: {"field": getattr(pb.ListOperationOptions.OrderByField, field), "is_asc": asc}  # noqa: E731
    get = lambda **o: outcome(st.raw, "GetArtifacts", options=o)  # noqa: E731
    token = st.raw("GetArtifacts", options={"max_result_size": 2}).next_page_token
    return [pages(max_result_size=3), pages(max_result_size=2, order_by_field=by("ID", False)), pages(),
            [st.name("a", a.id) for a in st.s.get_artifacts(metadata_store.ListOptions(limit=4, order_by=Order.CREATE_TIME, is_asc=False))],
            len([a for a in st.s.get_artifacts() if a.id in made]), get(max_result_size=0), get(max_result_size=-1),
            get(order_by_field=by("FIELD_UNSPECIFIED")), get(next_page_token="not a token"),
            get(max_result_size=2, next_page_token=token, order_by_field=by("ID", False)),
            get(max_result_size=2, next_page_token=token, order_by_field=by("CREATE_TIME"))]


def config_of(address):
    """Of the server at HOST:PORT; "" is the library's own store, in memory."""
    if not address:
        own = pb.ConnectionConfig()
        own.fake_database.SetInParent()
        return own
    host, port = address.rsplit(":", 1)
    return pb.MetadataStoreClientConfig(host=host, port=int(port))


def run(address, prefix="case_"):
    """Every case on a store: {name: answers}."""
    st = Store(config_of(address))
    return {name: [st.plain(x) for x in fn(st)] for name, fn in sorted(globals().items()) if name.startswith(prefix)}
