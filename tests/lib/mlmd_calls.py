"""Calls of ML Metadata's own client, the same to any store: what they answer, with numbers and times taken out, so that the answers of
two stores can be compared. Runs in the environment `mlmd`. A case is a function of a Store; it gives what is to be compared."""

import os
import random
import re

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


# ---- filters ----

def filtered(st):
    """Nodes to filter, of types of their own; gives ask(kind, query): the names that match, or the code and the reason."""
    A, X, C = pb.Artifact, pb.Execution, pb.Context
    data = st.s.put_artifact_type(pb.ArtifactType(name="FData", properties={"i": pb.INT, "s": pb.STRING}))
    train = st.s.put_execution_type(pb.ExecutionType(name="FTrain", properties={"n": pb.INT}))
    exp = st.s.put_context_type(pb.ContextType(name="FExp"))
    a, b, c = st.s.put_artifacts([
        node(A, data, {"i": 3, "s": "abc"}, {"k-1": "v", "d": 1.5, "b": True, "st": {"x": 1}}, name="A", uri="u/A", state=A.LIVE, external_id="f-ext"),
        node(A, data, {"i": 5}, {"d": 2, "b": False}, name="B", uri="u/B"), node(A, data, {}, {"1a": 7}, name="it's", state=A.PENDING)])
    x, y = st.s.put_executions([node(X, train, {"n": 4}, {"parent_dag_id": 7}, name="X", last_known_state=X.COMPLETE), node(X, train, name="Y")])
    one, two, three = st.s.put_contexts([node(C, exp, name="C1"), node(C, exp, name="C2"), node(C, exp, name="C3")])
    st.s.put_attributions_and_associations([pb.Attribution(artifact_id=a, context_id=one), pb.Attribution(artifact_id=a, context_id=two),
                                            pb.Attribution(artifact_id=b, context_id=one)], [pb.Association(execution_id=x, context_id=one)])
    st.s.put_events([pb.Event(type=t, artifact_id=i, execution_id=j, milliseconds_since_epoch=ms)
                     for t, i, j, ms in ((pb.Event.INPUT, a, x, 5), (pb.Event.OUTPUT, b, x, 6), (pb.Event.DECLARED_INPUT, b, y, 7))])
    st.s.put_parent_contexts([pb.ParentContext(child_id=two, parent_id=one), pb.ParentContext(child_id=three, parent_id=one)])
    numbers = {"a": a, "b": b, "x": x, "one": one, "two": two, "type": data}
    kinds = {"A": ("Artifacts", "FData"), "E": ("Executions", "FTrain"), "C": ("Contexts", "FExp")}

    def ask(kind, query):
        method, of = kinds[kind]
        r = outcome(st.raw, f"Get{method}ByType", type_name=of, options={"filter_query": re.sub(r"@(\w+)", lambda m: str(numbers[m[1]]), query)})
        if isinstance(r, dict):
            return f"{r['code']} {re.split(REASON_END, r['text'])[0]}"
        return [n.name for n in getattr(r, method.lower())]

    return ask


REASON_END = re.compile(r" \[at |\. Supported| in STRUCT| in [a-z]+_\w+$| in [a-z]+_\w+ | and \{|: Expected end|: Unexpected| identifier")
FILTERS = {
    "A": """id = @a|ID IN (@a, @b)|id == 1|type = "FData"|TYPE != 'FData'|name = 'A' OR name LIKE 'b%'|name LIKE '_'|name LIKE '%S'|name NOT LIKE 'a%'|
        name = 1|id = "1"|id = 1.5|id = @a.0|id|1|TRUE|FALSE|NULL|name|id = NULL|name IS NULL|NOT name IS NULL|external_id IS NULL|external_id = 'f-ext'|
        external_id LIKE 'f%'|external_id IN ("f-ext")|external_id > 'e'|type_id + 1 > 1|type_id = @type|type_id * 2 - 1 > 1|id / 2 = @a / 2|-id = -@a|id - -1 = @a + 1|
        id = 0x0|id = +@a|state = LIVE|state = 2|state = "LIVE"|state = FOO|state != LIVE|NOT state = LIVE|state IN (LIVE, PENDING)|state NOT IN (LIVE)|
        state IS NULL|state IS NOT NULL|LIVE = state|state < LIVE|state < 2|state = UNKNOWN|state = live|state = LIVE AND state = PENDING|id IN ()|
        id IN (@a, 'a')|id IN (@a, 1.5)|id NOT IN (@a)|id BETWEEN @a AND @b|id NOT BETWEEN @a AND @a|name BETWEEN 'A' AND 'B'|id LIKE '1'|id = 1 = TRUE|(id = @a) = TRUE|
        id = 1 AND|AND|id = 1 id = 2|id = 1)|foo = 1|foo.bar = 1|properties.i.int_value = 3|properties.i.int_value > 3.5|properties.i.double_value > 1|
        properties.zz.int_value = 3|properties.i = 3|properties.i.foo = 3|properties.`i`.int_value = 3|custom_properties.`k-1`.string_value = 'v'|
        custom_properties.d.double_value < 2|custom_properties.d.int_value = 2|custom_properties.b.bool_value = true|custom_properties.b.bool_value|
        NOT custom_properties.b.bool_value|custom_properties.b.bool_value IS TRUE|custom_properties.b.bool_value IS NOT TRUE|custom_properties.1a.int_value = 7|
        custom_properties.b.bool_value IS FALSE|properties.i.int_value > 0 OR custom_properties.d.int_value = 2|properties.s.string_value >= 'abc'|
        properties.s.string_value IS NULL|properties.i.int_value IS NOT NULL AND properties.s.string_value = 'abc'|contexts_0.name = 'C1'|contexts.name = 'C1'|
        contexts_.name = 'C1'|contexts_abc.id = @one|contexts_a.name = 'C1' OR id = 0|contexts_a.name = 'nope' OR TRUE|contexts_a.type = 'FExp'|contexts_a.foo = 'x'|
        contexts_a.state = LIVE|contexts_a.name = 'C1' AND contexts_b.name = 'C2'|contexts_a.name = 'C1' AND contexts_a.name = 'C2'|contexts_a.create_time_since_epoch > 0|
        contexts_a.last_update_time_since_epoch < 0|events_0.type = INPUT|events_0.type = OUTPUT|events_0.type != INPUT|events_0.type IN (INPUT, OUTPUT)|
        events_0.type NOT IN (INPUT)|events_0.execution_id = @x|events_0.artifact_id = 1|events_0.milliseconds_since_epoch > 5|events_0.type = 3|events_0.type IS NULL|
        events_0.type = OUTPUT AND events_1.type = DECLARED_INPUT|parent_contexts_0.id = 1|executions_0.id = 1|id = @a -- x|id = @a # x|id /* x */ = @a|uri LIKE 'u/%'|
        uri = 'u/A'|uri = ""|uri IS NULL|uri = 'u/A' AND state = LIVE|uri IN ('u/A', 'u/B')|create_time_since_epoch > 0|last_update_time_since_epoch > '0'|name = 'it\\'s'|
        name = r'A'|name = \'\'\'A\'\'\'|name = "\\x41"|name = "\\u0041"|name = 'A|1 = 1|'a' = 'a'|name > 'A'|id = @a AND NOT id = @b OR id = @b|id = 9223372036854775807|
        id = 9223372036854775808|id > -9223372036854775808|id = 99999999999999999999999|! id = 1|`id` = @a|id in(@a)|(((id)))=@a|name IN (NULL)|name IN ('A', NULL)|
        name NOT IN ('A', NULL)|TRUE AND NULL|NOT (id = @a OR id = @b)|id = @a and name = "A" or FALSE|(id = @a) IS TRUE|NULL IS NULL|id IN (@a + 1, @a)|id = @a AND 'x'|NOT id""",
    "E": """last_known_state = COMPLETE|last_known_state = CANCELED|last_known_state IS NULL|state = LIVE|uri = 'a'|events_0.artifact_id = @a|events_0.execution_id = 1|
        events_0.type = OUTPUT AND events_0.artifact_id = @b|contexts_0.name = 'C1'|properties.n.int_value = 4|custom_properties.parent_dag_id.int_value = 7|
        contexts_a.id = @one AND custom_properties.parent_dag_id.int_value = 7|last_known_state != COMPLETE""",
    "C": """name = 'C1'|parent_contexts_0.name = 'C1'|parent_contexts_0.id = @one AND name = 'C3'|child_contexts_0.id = @two|child_contexts_0.type = 'FExp'|
        child_contexts_a.name = 'C2' AND child_contexts_b.name = 'C3'|artifacts_0.name = 'A'|artifacts_0.state = LIVE|artifacts_0.uri LIKE 'u/%'|
        artifacts_0.create_time_since_epoch > 1|artifacts_a.id = @a AND executions_b.id = @x|artifacts_a.type_id = 1|artifacts_a.type = 'FData'|
        executions_0.last_known_state = COMPLETE|executions_0.name = 'X'|contexts_0.id = 1|state = LIVE|events_0.type = INPUT"""}


def case_filters(st):
    ask = filtered(st)
    return [f"{kind} {query.strip()}: {ask(kind, query.strip())}" for kind, queries in FILTERS.items() for query in queries.split("|")]


def only_filters(st):
    """What the library's own store refuses or gets wrong, and limits."""
    ask = filtered(st)
    out = [ask(*q) for q in (
        ("A", "state <> LIVE"), ("A", "state = ABANDONED"), ("A", "(state) IN(LIVE)"), ("A", "events_0.type = PENDING_OUTPUT"),
        ("C", "parent_contexts_0.create_time_since_epoch > 0"), ("C", "artifacts_0.external_id = 'f-ext'"), ("C", "executions_0.last_known_state != COMPLETE"),
        ("A", "name LIKE 'it\\\\_s'"), ("A", "custom_properties.st.string_value IS NOT NULL"), ("A", "id / 0 = 1"),
        ("A", "9223372036854775807 * 9223372036854775807 * type_id > 1"), ("A", "LOWER(name) = 'a'"))]
    many = ask("A", "id IN (" + ", ".join(map(str, range(3000))) + ") AND name IN (" + ", ".join(f"'n{i}'" for i in range(900)) + ", 'A')")
    wide = ask("A", " OR ".join(f"uri = 'u/{i}'" for i in range(100)) + " OR uri = 'u/A'")
    refused = ["(" * 100 + "id = 1" + ")" * 100, " OR ".join(f"name = '{i}'" for i in range(200)), " OR ".join(["state IS NULL"] * 400),
               " AND ".join(f"contexts_{i}.id = 1" for i in range(9)), " + ".join(["id"] * 10) + " = 1", "id = 1" + " " * 70000, "name = '\\0'"]
    return out + [many, wide, [ask("A", q)[:26] for q in refused]]


# ---- subgraphs ----

def subgraph(st, mask=None, **options):
    """What GetLineageSubgraph answers, in an order of its own: names of the nodes, and events with path and time."""
    r = outcome(st.raw, "GetLineageSubgraph", lineage_subgraph_query_options=options, **({} if mask is None else {"read_mask": {"paths": mask}}))
    if isinstance(r, dict):
        return r
    g = r.lineage_subgraph
    name = st.name
    nodes = [sorted(name(k, n.id) for n in of) for k, of in (("a", g.artifacts), ("x", g.executions), ("c", g.contexts))]
    events = sorted((name("a", e.artifact_id), name("x", e.execution_id), e.type, e.milliseconds_since_epoch,
                     [s.key or s.index for s in e.path.steps]) for e in g.events)
    pairs = [sorted((name("a", p.artifact_id), name("c", p.context_id)) for p in g.attributions),
             sorted((name("x", p.execution_id), name("c", p.context_id)) for p in g.associations)]
    declared = [len(g.artifact_types), len(g.execution_types), len(g.context_types), len(g.parent_contexts)]
    only_numbers = all(len(n.ListFields()) == 1 for of in (g.artifacts, g.executions, g.contexts) for n in of)
    return {"nodes": nodes, "events": events, "pairs": pairs, "declared": declared if mask is not None else [], "bare": only_numbers}


def random_graph(st, seed, size):
    """`size` artifacts and executions, events of all kinds, some of them in contexts; chains, hubs and rings come by themselves."""
    r = random.Random(seed)
    tag = f"g{seed}"
    a = st.see("a", st.s.put_artifacts([node(pb.Artifact, st.data, name=f"{tag}-{i}", uri=f"{tag}/{i % 3}") for i in range(size)]))
    x = st.see("x", st.s.put_executions([node(pb.Execution, st.train, name=f"{tag}-{i}") for i in range(size)]))
    c = st.see("c", st.s.put_contexts([node(pb.Context, st.exp, name=f"{tag}-{i}") for i in range(3)]))
    kinds = [pb.Event.DECLARED_OUTPUT, pb.Event.DECLARED_INPUT, pb.Event.INPUT, pb.Event.OUTPUT, pb.Event.INTERNAL_INPUT, pb.Event.INTERNAL_OUTPUT]
    links = {(r.choice(a), r.choice(x), r.choice(kinds)) for _ in range(size * 2)}
    links |= {(a[i], x[i], pb.Event.INPUT) for i in range(size)} | {(a[i], x[i - 1], pb.Event.OUTPUT) for i in range(1, size)}
    if seed % 2:
        links |= {(a[0], i, pb.Event.INPUT) for i in x}
    st.s.put_events([pb.Event(artifact_id=i, execution_id=j, type=t, milliseconds_since_epoch=n,
                              path={"steps": [{"index": n}, {"key": f"k{n}"}][:n % 3]}) for n, (i, j, t) in enumerate(sorted(links))])
    st.s.put_attributions_and_associations([pb.Attribution(artifact_id=i, context_id=r.choice(c)) for i in r.sample(a, size // 2)],
                                           [pb.Association(execution_id=i, context_id=r.choice(c)) for i in r.sample(x, size // 2)])
    return r, tag


def case_subgraphs(st):
    types(st)
    out = []
    for seed, size in ((1, 4), (2, 6), (3, 9), (4, 14), (5, 3), (6, 25)):
        r, tag = random_graph(st, seed, size)
        some = lambda: r.choice((f"name = '{tag}-{r.randrange(size)}'", f"name IN ('{tag}-0', '{tag}-{size - 1}')",  # noqa: E731
                                 f"contexts_0.name = '{tag}-{r.randrange(3)}'", "events_0.type = DECLARED_INPUT"))
        for _ in range(40):
            asked = {r.choice(("starting_artifacts", "starting_executions")): {"filter_query": f"({some()}) AND name LIKE '{tag}-%'"},
                     "direction": r.randrange(4)}
            if r.random() < 0.8:
                asked["max_num_hops"] = r.randrange(6)
            for end in ("ending_artifacts", "ending_executions"):
                if r.random() < 0.3:
                    asked[end] = {"filter_query": some(), "include_ending_nodes": r.random() < 0.5}
            out.append([asked, subgraph(st, **asked)])
    one = {"starting_artifacts": {"filter_query": "name = 'g4-3'"}, "max_num_hops": 3}
    out += [subgraph(st, mask, **one) for mask in ([], ["artifacts"], ["executions", "events"], ["contexts"], ["attributions"], ["associations"],
                                                   ["parent_contexts"], ["nothing"], ["artifacts.id"])]
    for field in ("artifact_types", "execution_types", "context_types"):
        g = st.raw("GetLineageSubgraph", lineage_subgraph_query_options=one, read_mask={"paths": [field]}).lineage_subgraph
        out.append(sorted((t.name, t.HasField("base_type"), len(t.properties)) for t in getattr(g, field)))
    start = {"starting_executions": {"filter_query": "name = 'g1-0'"}}
    out += [subgraph(st), subgraph(st, starting_artifacts={}), subgraph(st, starting_artifacts={"filter_query": ""}, max_num_hops=-1),
            subgraph(st, starting_artifacts={"filter_query": "name = 'no such'"}), subgraph(st, starting_artifacts={"filter_query": "foo = 1"}),
            subgraph(st, max_num_hops=-1, **start), subgraph(st, max_num_hops=1000000, **start), subgraph(st, ending_artifacts={}, **start),
            subgraph(st, ending_artifacts={"filter_query": "foo = 1"}, **start), subgraph(st, direction=2, max_num_hops=0, **start)]
    a = st.see("a", st.s.put_artifacts([node(pb.Artifact, st.data, name=f"many-{i}") for i in range(120)]))
    out.append([len(a), subgraph(st, starting_artifacts={"filter_query": "name LIKE 'many-%'"})])
    return out


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


# ---- options and corners ----

def case_options(st):
    """Options of single methods, transaction options, masks of the three kinds, lists of every method that has them."""
    types(st)
    A, X, C, E = pb.Artifact, pb.Execution, pb.Context, pb.Event
    tag = {"transaction_options": {"tag": "from a client"}}
    a = artifact(st, name="o-a", external_id="o-ea", uri="o/u")
    x = execution(st, {"n": 1}, {"k": 1}, name="o-x", last_known_state=X.RUNNING, external_id="o-ex")
    c, d, e = (context(st, name=f"o-{k}", external_id=f"o-e{k}", custom={"k": 1}) for k in "cde")
    get = lambda: st.s.get_executions_by_id([x])[0]  # noqa: E731
    before = get()
    out = [list(st.raw("GetArtifactsByID", artifact_ids=[a], **tag).artifacts), st.raw("GetContextType", type_name="Exp", **tag).context_type,
           len(st.raw("PutArtifacts", artifacts=[st.s.get_artifacts_by_id([a])[0]], **tag).artifact_ids)]

    # The time of the last change moves when it is told to.
    st.s.put_execution(before, [], [])
    same = get().last_update_time_since_epoch == before.last_update_time_since_epoch
    st.s.put_execution(before, [], [], force_update_time=True)
    out += [same, get().last_update_time_since_epoch > before.last_update_time_since_epoch, get()]

    # Masks.
    mask = lambda method, field, n, paths: outcome(st.raw, method, **{field: [n]}, update_mask={"paths": paths})  # noqa: E731
    out += [len(mask("PutExecutions", "executions", X(id=x, type_id=st.train, last_known_state=X.FAILED), ["last_known_state"]).execution_ids), get(),
            len(mask("PutExecutions", "executions", node(X, st.train, {"n": 5}, {"new": 1}, id=x), ["properties.n", "no such"]).execution_ids), get(),
            mask("PutExecutions", "executions", node(X, st.train, {"zz": 5}, id=x), ["properties.zz"]),
            len(mask("PutExecutions", "executions", node(X, st.train, {"zz": 5}, id=x), ["custom_properties"]).execution_ids), get(),
            len(mask("PutContexts", "contexts", node(C, st.exp, custom={"only": "x"}, id=c, name="kept"), ["custom_properties.only"]).context_ids),
            st.s.get_contexts_by_id([c]),
            len(mask("PutContexts", "contexts", C(id=c, type_id=st.exp, name="o-c2"), ["name"]).context_ids), st.s.get_contexts_by_id([c]),
            len(mask("PutArtifacts", "artifacts", A(id=a, type_id=st.data), []).artifact_ids), st.s.get_artifacts_by_id([a])]
    made = mask("PutArtifacts", "artifacts", node(A, st.data, {"i": 4}, name="o-masked", uri="kept"), ["uri"])
    st.see("a", made.artifact_ids)
    out.append(st.s.get_artifacts_by_id(list(made.artifact_ids)))

    # Types beside artifacts, each once.
    with_types = st.raw("GetArtifactsByID", artifact_ids=[a, made.artifact_ids[0]], populate_artifact_types=True)
    out += [sorted(t.name for t in with_types.artifact_types), len(with_types.artifacts)]

    # Lists of every kind, by what leads to them.
    st.s.put_attributions_and_associations([pb.Attribution(artifact_id=i, context_id=c) for i in (a, made.artifact_ids[0])],
                                           [pb.Association(execution_id=x, context_id=c)])
    page = {"max_result_size": 1, "order_by_field": {"field": 3, "is_asc": False}}
    for method, field, asked in (("GetArtifactsByContext", "artifacts", {"context_id": c}), ("GetExecutionsByContext", "executions", {"context_id": c}),
                                 ("GetContextsByType", "contexts", {"type_name": "Exp"}), ("GetExecutionsByType", "executions", {"type_name": "Train"}),
                                 ("GetContexts", "contexts", {}), ("GetExecutions", "executions", {})):
        first = st.raw(method, options=page, **asked)
        nodes = getattr(first, field)
        out += [[n.name for n in nodes], bool(first.next_page_token) == (method != "GetExecutionsByContext")]
    out += [outcome(st.raw, "GetContextsByType", type_name="Exp", options={"max_result_size": 0}),
            outcome(st.raw, "GetContextsByType", type_name="no such", options=page), st.s.get_executions_by_external_ids(["o-ex"]),
            [n.name for n in st.s.get_contexts_by_external_ids(["o-ed", "no such", "o-ee"])], outcome(st.s.get_executions_by_external_ids, ["no such"]),
            outcome(st.raw, "GetExecutionTypesByExternalIds", external_ids=["no such"]), outcome(st.raw, "GetContextTypesByExternalIds", external_ids=[""]),
            outcome(st.raw, "GetExecutionTypesByID", type_ids=[999999]), list(st.raw("GetContextTypesByID", type_ids=[st.exp, st.exp]).context_types)]

    # Nothing in a pair, and what a subgraph asks of nodes that are there.
    xid, ids, _ = st.s.put_execution(X(type_id=st.train), [(None, None), (A(type_id=st.data), None)], [])
    st.see("x", [xid])
    st.see("a", [i for i in ids if i > 0])
    out += [[i > 0 for i in ids],
            outcome(st.raw, "PutLineageSubgraph", artifacts=[A(id=a)]), outcome(st.raw, "PutLineageSubgraph", executions=[X(id=x)]),
            outcome(st.raw, "PutLineageSubgraph", contexts=[C(type_id=st.exp)]), len(st.raw("PutLineageSubgraph").artifact_ids),
            outcome(st.raw, "PutLineageSubgraph", contexts=[C(type_id=st.exp, name="o-d")]),
            len(st.raw("PutLineageSubgraph", contexts=[C(type_id=st.exp, name="o-d")], options={"reuse_context_if_already_exist": True}).context_ids)]
    return out


def only_corners(st):
    """Where the library's own store does otherwise, on purpose."""
    types(st)
    a, b = artifact(st, external_id="c-1", name="c-n"), artifact(st, external_id="c-2")
    A = pb.Artifact
    code = lambda fn, *args, **kwargs: outcome(fn, *args, **kwargs)["code"]  # noqa: E731
    bare = pb.Artifact(type_id=st.data)
    bare.custom_properties["p"].proto_value.value = b"x"
    empty = [st.s.put_artifacts([node(A, st.data, name="", external_id="")])[0] for _ in range(2)]
    old = service.GetArtifactsByURIRequest.FromString(b"\x0a\x03s3:")
    c = context(st, name="c-nothing")
    _, ids, _ = st.s.put_execution(pb.Execution(type_id=st.train), [(None, None), (A(type_id=st.data), None)], [pb.Context(id=c, type_id=st.exp, name="c-nothing")])
    return [ids[0], [n.id for n in st.s.get_artifacts_by_context(c)] == [ids[1]],
            code(st.s.put_artifacts, [A(id=b, type_id=st.data, external_id="c-1")]), code(st.s.put_artifacts, [node(A, st.data, custom={"p": None})]),
            code(st.s.put_artifacts, [bare]), empty[0] != empty[1], code(st.s._call, "GetArtifactsByURI", old, service.GetArtifactsByURIResponse()),
            code(st.s.put_execution, pb.Execution(type_id=st.train), [(None, event(pb.Event.INPUT, 999999))], []), a != b]


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
