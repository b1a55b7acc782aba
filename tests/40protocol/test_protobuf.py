"""Messages as protobuf wire and as JSON, compared with the protobuf package: the same .proto files, read by our generator,
are given to both sides. No server is involved."""

import json
import math
import os
import random
import struct
import sys
from pathlib import Path

import cairn
import codec
import pytest

google = pytest.importorskip("google.protobuf")
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory  # noqa: E402

sys.path.insert(0, str(cairn.ROOT / "tools"))
import msggen  # noqa: E402

pytestmark = pytest.mark.cairn_only
OUT = codec.INT64_AS_NUMBER | codec.NAN_STRINGS


@pytest.fixture(scope="module")
def tool():
    program = cairn.find_binary().resolve()
    found = [p / "tests/10module/codec_tool" for p in program.parents if (p / "tests/10module/codec_tool").exists()]
    if not found:
        pytest.skip(f"codec_tool is not built beside {program}")
    return found[0]


def file_descriptor(f):
    """A parsed .proto of ours as protobuf's own description of it."""
    fd = descriptor_pb2.FileDescriptorProto(name=f.path.name, package=f.package, syntax="proto3",
                                            dependency=[d.path.name for d in f.deps] + ["cairn_json.proto"])
    for e in f.enums:
        enum = fd.enum_type.add(name=e.name)
        for name, number, rules in e.values:
            enum.value.add(name=rules.get("json", name), number=number)
    for m in f.messages:
        message = fd.message_type.add(name=m.name)
        for x in m.fields:
            add_field(f, message, x)
    return fd


def add_field(f, message, x):
    F = descriptor_pb2.FieldDescriptorProto
    field = message.field.add(name=x.name, number=x.number, json_name=x.json)
    field.label = F.LABEL_REPEATED if x.repeated or x.is_map else F.LABEL_OPTIONAL
    if x.is_map:
        entry = message.nested_type.add(name=msggen.snake(x.name).title().replace("_", "") + "Entry")
        entry.options.map_entry = True
        for n, name in ((1, "key"), (2, "value")):
            entry.field.add(name=name, number=n, type=F.TYPE_STRING, label=F.LABEL_OPTIONAL)
        field.type, field.type_name = F.TYPE_MESSAGE, f".{f.package}.{message.name}.{entry.name}"
    elif x.ftype == "cairn.Json":
        field.type, field.type_name = F.TYPE_MESSAGE, ".cairn.Json"
    elif x.target:
        field.type = F.TYPE_ENUM if isinstance(x.target, msggen.Enum) else F.TYPE_MESSAGE
        field.type_name = "." + x.target.full
    else:
        field.type = getattr(F, "TYPE_" + x.ftype.upper())
        if not x.repeated:
            field.proto3_optional = True
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name="_" + x.name)


@pytest.fixture(scope="module")
def classes():
    pool = descriptor_pool.DescriptorPool()
    own = descriptor_pb2.FileDescriptorProto(name="cairn_json.proto", package="cairn", syntax="proto3")
    own.message_type.add(name="Json").field.add(name="text", number=1, type=9, label=1)
    pool.Add(own)
    world = msggen.World()
    for path in (cairn.ROOT / "tests/00unit/codec_all.proto", cairn.ROOT / "src/api/mlflow/tracking.proto"):
        pool.Add(file_descriptor(world.load(path)))
    return [message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in codec.MESSAGES]


class Random:
    """Fills messages; only with what both sides can say in JSON."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def text(self):
        r = self.rng
        return "".join(chr(r.choice([r.randrange(1, 0x7F), r.randrange(1, 0xD800), r.randrange(0x10000, 0x110000)]))
                       for _ in range(r.randrange(1, 12)))

    def scalar(self, fd):
        r, t = self.rng, fd.type
        if t == fd.TYPE_DOUBLE:
            value = struct.unpack("<d", r.randbytes(8))[0]
            return r.choice([0.0, 1.5, 0.1, math.inf, -math.inf, math.nan if r.random() < 0.5 else 2.0,
                             value if value == value else 1e300])
        if t == fd.TYPE_BOOL:
            return r.random() < 0.5
        if t == fd.TYPE_STRING:
            return self.text()
        if t == fd.TYPE_BYTES:
            return r.randbytes(r.randrange(10))
        if t == fd.TYPE_ENUM:
            return r.choice([v.number for v in fd.enum_type.values if not v.name.endswith("UNSPECIFIED")])
        bits = 32 if fd.cpp_type in (fd.CPPTYPE_INT32, fd.CPPTYPE_UINT32) else 64
        value = r.getrandbits(r.randrange(1, bits + 1))
        if fd.cpp_type in (fd.CPPTYPE_INT32, fd.CPPTYPE_INT64):
            value -= 1 << (bits - 1) if value >> (bits - 1) else 0
            value = -value if r.random() < 0.3 and value > -(1 << (bits - 1)) else value
        return value

    def fill(self, m, depth=6):
        r = self.rng
        for fd in m.DESCRIPTOR.fields:
            needed = fd.name in ("key", "name", "digest", "source", "source_type", "model_id", "dataset", "run_id",
                                 "value", "timestamp")
            if fd.name == "all" or (not needed and r.random() < 0.4):
                continue
            many = fd.is_repeated if hasattr(fd, "is_repeated") and not callable(fd.is_repeated) else \
                fd.label == fd.LABEL_REPEATED
            if fd.message_type and fd.message_type.GetOptions().map_entry:
                for _ in range(r.randrange(3)):
                    getattr(m, fd.name)[self.text()] = self.text()
            elif fd.message_type and fd.message_type.full_name == "cairn.Json":
                for _ in range(r.randrange(3) if many else 1):
                    to = getattr(m, fd.name).add() if many else getattr(m, fd.name)
                    to.text = r.choice(["null", "[1, 2]", '{"a": "\\u00e9"}', '"x"', "-1.5e3"])
            elif fd.message_type:
                if depth:
                    for _ in range(r.randrange(3) if many else 1):
                        self.fill(getattr(m, fd.name).add() if many else getattr(m, fd.name), depth - 1)
                        if not many:
                            getattr(m, fd.name).SetInParent()
            elif many:
                getattr(m, fd.name).extend(self.scalar(fd) for _ in range(r.randrange(4)))
            else:
                setattr(m, fd.name, self.scalar(fd))
        return m


def samples(classes, n=300):
    filler = Random(int(os.environ.get("CAIRN_TEST_SEED", "1")))
    for i in range(n):
        which = i % len(classes)
        if which == codec.RULES:  # has rules that random values break
            continue
        m = filler.fill(classes[which]())
        for leaf in [*getattr(m, "leaves", []), *([m.leaf] if which == codec.ALL and m.HasField("leaf") else [])]:
            leaf.key = leaf.key[:8]
        yield which, m


def same(a, b):
    """Equal messages; serialised, because NaN is not equal to itself. Canonical NaN on both sides."""
    return a.SerializeToString(deterministic=True) == b.SerializeToString(deterministic=True)


def test_wire_there_and_back(tool, classes):
    rows = list(samples(classes))
    answers = codec.run(tool, [("p", which, 0, m.SerializeToString()) for which, m in rows])
    for (which, m), (status, wire) in zip(rows, answers):
        assert status == 0, wire
        again = classes[which]()
        again.ParseFromString(wire)
        assert same(m, again)
        assert len(wire) == len(m.SerializeToString())


def fix_json(value):
    """The package writes cairn.Json as a message; we write the value itself."""
    if isinstance(value, dict):
        if set(value) == {"text"}:
            return json.loads(value["text"])
        return {k: fix_json(v) for k, v in value.items()}
    return [fix_json(v) for v in value] if isinstance(value, list) else value


def test_wire_to_json(tool, classes):
    rows = list(samples(classes))
    answers = codec.run(tool, [("u", which, codec.NAN_STRINGS, m.SerializeToString()) for which, m in rows])
    for (which, m), (status, text) in zip(rows, answers):
        assert status == 0, text
        assert json.loads(text) == fix_json(json_format.MessageToDict(m, preserving_proto_field_name=True))


def test_wire_to_camel_case_json(tool, classes):
    rows = list(samples(classes, 60))
    answers = codec.run(tool, [("u", which, codec.NAN_STRINGS | codec.CAMEL, m.SerializeToString()) for which, m in rows])
    for (which, m), (status, text) in zip(rows, answers):
        assert status == 0, text
        assert json.loads(text) == fix_json(json_format.MessageToDict(m))


@pytest.mark.parametrize("snake", [True, False])
def test_json_to_wire(tool, classes, snake):
    rows, requests = list(samples(classes)), []
    for which, m in rows:
        value = fix_json(json_format.MessageToDict(m, preserving_proto_field_name=snake))
        requests.append(("w", which, codec.CAMEL_OK, json.dumps(value).encode()))
    for (which, m), (status, wire) in zip(rows, codec.run(tool, requests)):
        assert status == 0, wire
        again = classes[which]()
        again.ParseFromString(wire)
        for one in (m, again):  # opaque JSON keeps its text, and json.dumps wrote it anew
            for j in [*getattr(one, "jsons", []), *([one.any_json] if hasattr(one, "any_json") and one.HasField("any_json") else [])]:
                j.text = json.dumps(json.loads(j.text))
        assert same(m, again)


def test_broken_wire_is_refused_where_the_package_refuses_it(tool, classes):
    rng = random.Random(3)
    rows = []
    for which, m in samples(classes, 600):
        wire = bytearray(m.SerializeToString())
        for _ in range(rng.randrange(1, 3)):
            if wire:
                wire[rng.randrange(len(wire))] = rng.randrange(256)
        if rng.random() < 0.3:
            del wire[rng.randrange(len(wire) + 1):]
        rows.append((which, bytes(wire)))
    answers = codec.run(tool, [("p", which, 0, wire) for which, wire in rows])
    taken = 0
    for (which, wire), (status, answer) in zip(rows, answers):
        if status:  # we may refuse more: missing required fields, lengths, enums, U+0000, opaque JSON that is none
            continue
        taken += 1
        m, again = classes[which](), classes[which]()
        m.ParseFromString(wire)  # what we take, the package takes
        again.ParseFromString(answer)
        m.DiscardUnknownFields()
        if which != codec.ALL:  # there a repeated single message may occur, which we replace and the package merges
            assert same(m, again)
    assert taken > 20
