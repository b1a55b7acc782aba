"""Reads events of OpenLineage, one a line, with the classes that openlineage-python has from the published schemas: every member must
be known, every required one there, every facet written in the version that it names. Run by the environment openlineage."""

import importlib
import json
import pkgutil
import sys
import types
import typing
import uuid

import attr
import openlineage.client.generated as generated

BY_SCHEMA = {}
for info in pkgutil.iter_modules(generated.__path__):
    module = importlib.import_module(f"{generated.__name__}.{info.name}")
    for one in vars(module).values():
        if attr.has(one) and hasattr(one, "_get_schema"):
            BY_SCHEMA.setdefault(one._get_schema(), one)


def fill(kind, value):
    """The value as an object of a type, wherever the type says how."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        for option in inside:
            if value is None or option is not type(None):
                try:
                    return fill(option, value)
                except (TypeError, ValueError) as why:
                    last = why
        raise last
    if origin is list:
        assert isinstance(value, list), value
        return [fill(inside[0], v) for v in value]
    if origin is dict:
        assert isinstance(value, dict), value
        if inside[1] is not str and any("Facet" in getattr(t, "__name__", "") for t in (inside[1],)):
            return {k: facet(v) for k, v in value.items()}
        return {k: fill(inside[1], v) for k, v in value.items()}
    if isinstance(kind, type) and attr.has(kind):
        return build(kind, value)
    if kind is float and isinstance(value, int):
        return value
    if isinstance(kind, type) and not isinstance(value, kind) and not (hasattr(kind, "__members__") and value in kind.__members__):
        raise TypeError(f"{value!r} is no {kind}")
    return value


def build(kind, members):
    hints = typing.get_type_hints(kind)
    names = {f.name for f in attr.fields(kind) if f.init}
    said = {k: v for k, v in members.items() if k not in ("_producer", "_schemaURL", "schemaURL", "producer")}
    assert set(said) <= names, (kind, set(said) - names)
    made = kind(**{k: fill(hints[k], v) for k, v in said.items()})
    for field in attr.fields(kind):
        if field.init and field.default is attr.NOTHING:
            assert field.name in members or field.name == "producer", (kind, field.name)
    return made


def facet(members):
    assert members["_producer"].startswith("urn:cairn:"), members
    kind = BY_SCHEMA[members["_schemaURL"]]
    return build(kind, members)


def check(event):
    kind = BY_SCHEMA[event["schemaURL"]]
    assert event["producer"].startswith("urn:cairn:")
    if "run" in event:
        uuid.UUID(event["run"]["runId"])
        parent = event["run"]["facets"].get("parent")
        for run in [parent["run"], parent["root"]["run"]] if parent else []:
            uuid.UUID(run["runId"])
    build(kind, event)


if __name__ == "__main__":
    n = 0
    for line in sys.stdin:
        check(json.loads(line))
        n += 1
    print(n)
