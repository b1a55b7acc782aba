#!/usr/bin/env python3
"""Message tables from our .proto files.

    tools/msggen.py [--out DIR]  writes <tongue>/<name>.{h,c} for every src/api/<tongue>/<name>.proto; DIR = src/gen
    tools/msggen.py --docs       writes docs/api/<tongue>.md
    tools/msggen.py FILE.proto --out DIR      writes DIR/FILE.{h,c} only, for tests
    ... --check                  writes nothing; exit 1 and the file names if a written file would differ

Reads the subset of proto3 that our files use, without protoc: messages and enums at the top level, `optional` on every
singular field (presence is always tracked), `repeated`, map<string, string>, services, and the options of cairn/options.proto.
Whatever lies outside the subset is an error that names file and line. Python standard library only.
"""

import argparse
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
API = ROOT / "src" / "api"
GEN = ROOT / "src" / "gen"
DOCS = ROOT / "docs" / "api"
INCLUDE = [ROOT / "src" / "codec" / "proto", API]

# .proto type: (table type, C type, documentation)
SCALARS = {
    "double": ("DOUBLE", "double", "number"),
    "bool": ("BOOL", "bool", "bool"),
    "int32": ("INT32", "int32_t", "int32"),
    "sint32": ("SINT32", "int32_t", "int32"),
    "sfixed32": ("SFIX32", "int32_t", "int32"),
    "int64": ("INT64", "int64_t", "int64"),
    "sint64": ("SINT64", "int64_t", "int64"),
    "sfixed64": ("SFIX64", "int64_t", "int64"),
    "uint32": ("UINT32", "uint32_t", "uint32"),
    "fixed32": ("FIX32", "uint32_t", "uint32"),
    "uint64": ("UINT64", "uint64_t", "uint64"),
    "fixed64": ("FIX64", "uint64_t", "uint64"),
    "string": ("STRING", "struct str", "string"),
    "bytes": ("BYTES", "struct str", "bytes (base64)"),
    "cairn.Json": ("JSON", "struct str", "any JSON value"),
}
INTEGERS = {k for k in SCALARS if "int" in k or "fixed" in k}
TEXT = {"string", "bytes", "cairn.Json"}
FIELD_RULES = {
    "required": bool, "max_len": int, "min": int, "max": int, "json": str, "alias": str, "trunc": bool,
    "stream": bool, "alias_number": int, "max_items": int, "def": str, "label": str,
}
VALUE_RULES = {"json": str, "hidden": bool}
C_WORDS = set("""auto break case char const continue default do double else enum extern float for goto if inline int
long register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while bool
true false has""".split())
MAX_FIELDS = 64


class ProtoError(Exception):
    pass


class Token:
    def __init__(self, text, line, comment):
        self.text, self.line, self.comment = text, line, comment


TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+)|(?P<newline>\n)|//(?P<comment>[^\n]*)|(?P<block>/\*)|(?P<string>"(?:[^"\\\n]|\\.)*")
    |(?P<word>[A-Za-z_][A-Za-z0-9_.]*)|(?P<number>-?[0-9][0-9A-Za-z.]*)|(?P<punct>[{}\[\]();=,<>:])""",
    re.X,
)


def tokenize(text, name):
    """Tokens; each carries the // lines that stand directly above it."""
    out, pos, line, comment, fresh = [], 0, 1, [], True
    while pos < len(text):
        m = TOKEN.match(text, pos)
        if not m or m.lastgroup == "block":
            raise ProtoError(f"{name}:{line}: cannot read {text[pos:pos + 20]!r}")
        pos = m.end()
        kind = m.lastgroup
        if kind == "newline":
            if fresh:
                comment = []  # a blank line ends a comment
            line, fresh = line + 1, True
        elif kind == "comment":
            if fresh:
                comment.append(m.group("comment").strip())
            fresh = False
        elif kind != "space":
            out.append(Token(m.group(), line, comment))
            comment, fresh = [], False
    return out


class Field:
    def __init__(self, name, number, ftype, repeated, is_map, rules, doc, line):
        self.name, self.number, self.ftype = name, number, ftype
        self.repeated, self.is_map, self.rules, self.doc, self.line = repeated, is_map, rules, doc, line
        self.target = None  # Message or Enum

    @property
    def member(self):
        return self.name + "_" if self.name in C_WORDS else self.name

    @property
    def json(self):
        if "json" in self.rules:
            return self.rules["json"]
        head, *rest = self.name.split("_")
        return head + "".join(p[:1].upper() + p[1:] for p in rest)


class Message:
    def __init__(self, name, package, doc):
        self.name, self.package, self.doc, self.fields, self.section = name, package, doc, [], ""

    @property
    def full(self):
        return f"{self.package}.{self.name}"

    @property
    def c(self):
        return c_name(self.package, self.name)


class Service:
    def __init__(self, name, package, doc):
        self.name, self.package, self.doc, self.methods = name, package, doc, []

    @property
    def full(self):
        return f"{self.package}.{self.name}"


class Method:
    def __init__(self, name, doc, line, types, streams):
        self.name, self.doc, self.line, self.types, self.streams = name, doc, line, types, streams
        self.targets = None  # the messages


class Enum:
    def __init__(self, name, package, doc):
        self.name, self.package, self.doc, self.values, self.section = name, package, doc, [], ""

    @property
    def full(self):
        return f"{self.package}.{self.name}"

    @property
    def c(self):
        return c_name(self.package, self.name)

    def constant(self, value):
        own = snake(self.name).upper() + "_"
        return self.c.upper() + "_" + (value[len(own):] if value.startswith(own) else value)


def snake(name):
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def c_name(package, name):
    return package.replace(".", "_") + "_" + snake(name)


class File:
    """One parsed .proto file."""

    def __init__(self, path):
        self.path, self.package, self.imports = path, "", []
        self.messages, self.enums, self.services = [], [], []
        self.name = str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
        text = path.read_text(encoding="utf-8")
        self.doc = []
        for line in text.splitlines():
            if not line.startswith("//"):
                break
            self.doc.append(line[2:].strip())
        self.sections = [(i + 1, m.group(1)) for i, line in enumerate(text.splitlines())
                         for m in [re.match(r"// ---- (.*) ----$", line)] if m]
        self.tokens, self.at = tokenize(text, self.name), 0
        self.parse()

    def fail(self, line, what):
        raise ProtoError(f"{self.name}:{line}: {what}")

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else Token("", self.tokens[-1].line, [])

    def next(self, want=None):
        t = self.peek()
        if want is not None and t.text != want:
            self.fail(t.line, f"expected {want!r}, found {t.text!r}")
        self.at += 1
        return t

    def word(self):
        t = self.next()
        if not re.match(r"[A-Za-z_]", t.text):
            self.fail(t.line, f"expected a name, found {t.text!r}")
        return t

    def integer(self):
        t = self.next()
        try:
            return int(t.text, 0)
        except ValueError:
            self.fail(t.line, f"expected an integer, found {t.text!r}")

    def section(self, line):
        return next((s for at, s in reversed(self.sections) if at <= line), "")

    def parse(self):
        while self.at < len(self.tokens):
            t = self.next()
            if t.text == "syntax":
                self.next("=")
                if self.next().text != '"proto3"':
                    self.fail(t.line, "only proto3 is read")
                self.next(";")
            elif t.text == "package":
                self.package = self.word().text
                self.next(";")
            elif t.text == "import":
                self.imports.append(self.next().text.strip('"'))
                self.next(";")
            elif t.text == "message":
                self.parse_message(t)
            elif t.text == "enum":
                self.parse_enum(t)
            elif t.text == "service":
                self.parse_service(t)
            else:
                self.fail(t.line, f"{t.text!r} is not in our subset")

    def parse_message(self, start):
        m = Message(self.word().text, self.package, start.comment)
        m.section, m.line = self.section(start.line), start.line
        self.next("{")
        while self.peek().text != "}":
            m.fields.append(self.parse_field())
        self.next("}")
        if len(m.fields) > MAX_FIELDS:
            self.fail(start.line, f"{m.name} has more than {MAX_FIELDS} fields")
        for what in ("name", "number", "json"):
            seen = [getattr(f, what) for f in m.fields]
            for f in m.fields:
                if seen.count(getattr(f, what)) > 1:
                    self.fail(f.line, f"{what} of {f.name} is used twice")
        self.messages.append(m)

    def parse_field(self):
        first = self.next()
        repeated, is_map = first.text == "repeated", first.text == "map"
        if is_map:
            self.next("<")
            key, _, value = self.word().text, self.next(","), self.word().text
            self.next(">")
            if (key, value) != ("string", "string"):
                self.fail(first.line, "only map<string, string> is read")
            ftype = "map"
        elif repeated or first.text == "optional":
            ftype = self.word().text
        else:
            self.fail(first.line, f"a singular field is declared optional: {first.text!r}")
        name = self.word().text
        self.next("=")
        number = self.integer()
        rules = self.parse_options("cairn.f", FIELD_RULES)
        self.next(";")
        return Field(name, number, ftype, repeated, is_map, rules, first.comment, first.line)

    def parse_enum(self, start):
        e = Enum(self.word().text, self.package, start.comment)
        e.section = self.section(start.line)
        self.next("{")
        while self.peek().text != "}":
            name = self.word()
            self.next("=")
            number = self.integer()
            e.values.append((name.text, number, self.parse_options("cairn.v", VALUE_RULES)))
            self.next(";")
        self.next("}")
        if not e.values or e.values[0][1] != 0:
            self.fail(start.line, f"the first value of {e.name} must be 0")
        self.enums.append(e)

    def parse_service(self, start):
        s = Service(self.word().text, self.package, start.comment)
        self.next("{")
        while self.peek().text != "}":
            t = self.next("rpc")
            name, types, streams = self.word().text, [], []
            for i in range(2):
                self.next("(")
                streams.append(self.peek().text == "stream" and bool(self.next()))
                types.append(self.word().text)
                self.next(")")
                if i == 0:
                    self.next("returns")
            self.next(";")
            s.methods.append(Method(name, t.comment, t.line, types, streams))
        self.next("}")
        self.services.append(s)

    def parse_options(self, option, known):
        rules = {}
        if self.peek().text != "[":
            return rules
        self.next("[")
        self.next("(")
        t = self.next()
        if t.text != option:
            self.fail(t.line, f"unknown option {t.text!r}, expected {option}")
        for p in (")", "=", "{"):
            self.next(p)
        while self.peek().text != "}":
            key = self.word()
            if key.text not in known:
                self.fail(key.line, f"unknown rule {key.text!r}")
            self.next(":")
            kind = known[key.text]
            if kind is int:
                rules[key.text] = self.integer()
            elif kind is bool:
                t = self.next()
                if t.text not in ("true", "false"):
                    self.fail(t.line, f"{key.text} takes true or false")
                rules[key.text] = t.text == "true"
            else:
                t = self.next()
                if not t.text.startswith('"'):
                    self.fail(t.line, f"{key.text} takes a string")
                rules[key.text] = t.text[1:-1]
            if self.peek().text == ",":
                self.next()
        self.next("}")
        self.next("]")
        return rules


class World:
    """Files by import path, with the types they name resolved."""

    def __init__(self):
        self.files = {}

    def load(self, path):
        path = path.resolve()
        if path in self.files:
            return self.files[path]
        f = self.files[path] = File(path)
        f.deps = []
        for name in f.imports:
            if name == "cairn/options.proto":
                continue
            found = next((d / name for d in INCLUDE if (d / name).exists()), None)
            if not found:
                raise ProtoError(f"{f.name}: import {name!r} not found")
            f.deps.append(self.load(found))
        self.resolve(f)
        return f

    def resolve(self, f):
        types = {}
        for g in [*f.deps, f]:
            for t in [*g.messages, *g.enums]:
                types[t.full] = t
                if g.package == f.package:
                    types[t.name] = t
        for m in f.messages:
            for fld in m.fields:
                self.resolve_field(f, fld, types)
        for r in [r for s in f.services for r in s.methods]:
            r.targets = [types.get(t) for t in r.types]
            for name, t in zip(r.types, r.targets):
                if not isinstance(t, Message):
                    f.fail(r.line, f"unknown message {name!r}")

    def resolve_field(self, f, fld, types):
        if not fld.is_map and fld.ftype not in SCALARS:
            fld.target = types.get(fld.ftype)
            if not fld.target:
                f.fail(fld.line, f"unknown type {fld.ftype!r}")
        is_message = isinstance(fld.target, Message)
        text = fld.ftype in TEXT
        number = fld.ftype in INTEGERS
        allowed = {
            "max_len": text and fld.ftype != "cairn.Json", "trunc": fld.ftype == "string" and "max_len" in fld.rules,
            "min": number or fld.ftype == "double", "max": number or fld.ftype == "double",
            "stream": fld.repeated and is_message, "max_items": fld.repeated or fld.is_map,
            "def": not fld.repeated and not fld.is_map and (number or fld.ftype == "bool" or isinstance(fld.target, Enum)),
            "alias": not fld.repeated and not fld.is_map and not is_message,
            "alias_number": "alias" in fld.rules, "label": "max_len" in fld.rules,
        }
        for rule in fld.rules:
            if not allowed.get(rule, True):
                f.fail(fld.line, f"rule {rule!r} does not fit field {fld.name}")


# ---- C ----

def c_lit(text):
    return "S_INIT(" + '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' + ")"


def element_type(fld):
    if fld.is_map:
        return "struct msg_kv"
    if isinstance(fld.target, Message):
        return f"struct {fld.target.c}"
    if isinstance(fld.target, Enum):
        return "int32_t"
    return SCALARS[fld.ftype][1]


def doc_comment(lines, indent=""):
    if not lines:
        return []
    return [indent + "/* " + lines[0]] + [indent + " * " + line for line in lines[1:]]


def close_comment(lines):
    if lines:
        lines[-1] += " */"
    return lines


def banner(f):
    return [f"/* Generated by tools/msggen.py from {f.name}: do not edit.",
            " * check: long because it is one table for each message of that file */", "/* clang-format off */"]


def header_name(tongue, stem):
    return f"gen/{tongue}/{stem}.h" if tongue else f"{stem}.h"


def write_header(f, tongue, stem):
    folder = f"gen/{tongue}" if tongue else str(pathlib.PurePath(f.name).parent)
    guard = "CAIRN_" + re.sub(r"[^A-Z0-9]", "_", f"{folder}/{stem}_h".upper())
    out = [*banner(f), f"#ifndef {guard}", f"#define {guard}", "", '#include "codec/msg.h"']
    for dep in f.deps:
        out.append(f'#include "gen/{dep.path.parent.name}/{dep.path.stem}.h"')
    for e in f.enums:
        out.append("")
        out += close_comment(doc_comment(e.doc))
        out.append(f"enum {e.c} {{")
        out += [f"    {e.constant(name)} = {number}," for name, number, _ in e.values]
        out += ["};", f"extern const struct msg_enum {e.c}_values;"]
    for m in f.messages:
        out.append("")
        out += close_comment(doc_comment(m.doc))
        out += [f"struct {m.c} {{", "    uint64_t has;"]
        for fld in m.fields:
            out += close_comment(doc_comment(fld.doc, "    "))
            ctype = element_type(fld)
            if fld.repeated or fld.is_map:
                out += [f"    {ctype} *{fld.member};", f"    size_t {fld.member}_n;"]
            elif isinstance(fld.target, Message):
                out.append(f"    {ctype} *{fld.member};")
            else:
                note = f" /* enum {fld.target.c} */" if isinstance(fld.target, Enum) else ""
                out.append(f"    {ctype} {fld.member};{note}")
        out.append("};")
        for i, fld in enumerate(m.fields):
            out.append(f"#define {m.c.upper()}_HAS_{fld.name.upper()} (1ull << {i})")
        out.append(f"extern const struct msg_desc {m.c}_desc;")
    out += ["", "#endif"]
    return "\n".join(out) + "\n"


def default_number(f, fld):
    text = fld.rules["def"]
    if isinstance(fld.target, Enum):
        for name, number, rules in fld.target.values:
            if rules.get("json", name) == text:
                return number
        f.fail(fld.line, f"{text!r} is no value of {fld.target.name}")
    words = {"true": 1, "false": 0} if fld.ftype == "bool" else {}
    try:
        return words[text] if words else int(text)
    except (KeyError, ValueError):
        f.fail(fld.line, f"{text!r} is no {fld.ftype}")


def field_row(f, m, i, fld):
    flags = [name for name, on in (
        ("REPEATED", fld.repeated or fld.is_map), ("REQUIRED", fld.rules.get("required")),
        ("TRUNC", fld.rules.get("trunc")), ("STREAM", fld.rules.get("stream")),
        ("MIN", "min" in fld.rules), ("MAX", "max" in fld.rules), ("DEF", "def" in fld.rules),
        ("PACKED", fld.repeated and not isinstance(fld.target, Message) and fld.ftype not in TEXT),
    ) if on]
    if fld.is_map:
        table = "MAP"
    elif fld.target:
        table = "MESSAGE" if isinstance(fld.target, Message) else "ENUM"
    else:
        table = SCALARS[fld.ftype][0]
    row = [f".name = {c_lit(fld.name)}", f".json = {c_lit(fld.json)}"]
    if "alias" in fld.rules:
        row.append(f".alias = {c_lit(fld.rules['alias'])}")
    if "alias_number" in fld.rules:
        row.append(f".alias_number = {fld.rules['alias_number']}")
    row.append(f'.label = "{fld.rules.get("label", fld.name)}"')
    row += [f".number = {fld.number}", f".bit = {i}", f".type = MSG_T_{table}"]
    if flags:
        row.append(".flags = " + " | ".join("MSG_F_" + x for x in flags))
    row.append(f".off = offsetof(struct {m.c}, {fld.member})")
    if fld.repeated or fld.is_map:
        row.append(f".off_n = offsetof(struct {m.c}, {fld.member}_n)")
    row.append(f".size = sizeof({element_type(fld)})")
    for rule in ("max_len", "max_items", "min", "max"):
        if rule in fld.rules:
            row.append(f".{rule} = {fld.rules[rule]}")
    if "def" in fld.rules:
        row.append(f".def = {default_number(f, fld)}")
    if isinstance(fld.target, Message):
        row.append(f".msg = &{fld.target.c}_desc")
    elif isinstance(fld.target, Enum):
        row.append(f".values = &{fld.target.c}_values")
    return "    { " + ",\n      ".join(wrap_items(row, 108)) + " },"


def wrap_items(items, width):
    lines, line = [], ""
    for item in items:
        if line and len(line) + 2 + len(item) > width:
            lines.append(line)
            line = item
        else:
            line = line + ", " + item if line else item
    return lines + [line]


def write_source(f, tongue, stem):
    out = [*banner(f), f'#include "{header_name(tongue, stem)}"']
    for e in f.enums:
        shown = [(rules.get("json", name), number) for name, number, rules in e.values if not rules.get("hidden")]
        out += ["", f"static const struct msg_enum_value {e.c}_rows[] = {{"]
        out += [f"    {{ {number}, {c_lit(name)} }}," for name, number in shown]
        out += ["};", f"const struct msg_enum {e.c}_values = {{",
                f'    .name = "{e.full}", .values = {e.c}_rows, .value_n = {len(shown)},', "};"]
    for m in f.messages:
        out.append("")
        if m.fields:
            out.append(f"static const struct msg_field {m.c}_fields[] = {{")
            out += [field_row(f, m, i, fld) for i, fld in enumerate(m.fields)]
            out.append("};")
        required = [f"{m.c.upper()}_HAS_{fld.name.upper()}" for fld in m.fields if fld.rules.get("required")]
        row = [f'.name = "{m.full}"', f".fields = {m.c + '_fields' if m.fields else 'NULL'}",
               f".size = sizeof(struct {m.c})", f".field_n = {len(m.fields)}"]
        if required:
            row.append(".required = " + " | ".join(required))
        if any("def" in fld.rules for fld in m.fields):
            row.append(".has_def = true")
        out += [f"const struct msg_desc {m.c}_desc = {{", "    " + ",\n    ".join(wrap_items(row, 108)) + ",", "};"]
    return "\n".join(out) + "\n"


def write_meson(tongues):
    out = ["# Generated by tools/msggen.py: do not edit.", "gen_src = files("]
    out += ["  'descriptors.c',"] + [f"  '{t}/{s}.c'," for t, s in tongues]
    out += [")", "lib_gen = static_library('gen', gen_src, include_directories: inc, dependencies: dep_codec)",
            "dep_gen = declare_dependency(link_with: lib_gen, include_directories: inc, dependencies: dep_codec)"]
    return "\n".join(out) + "\n"


# ---- descriptors, for those who ask the server what it speaks ----

WIRE = {"double": 1, "int64": 3, "uint64": 4, "int32": 5, "fixed64": 6, "fixed32": 7, "bool": 8, "string": 9, "cairn.Json": 9,
        "bytes": 12, "uint32": 13, "sfixed32": 15, "sfixed64": 16, "sint32": 17, "sint64": 18}


def varint(n):
    n &= (1 << 64) - 1
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def pb(number, value):
    """One field: an integer as varint, text and bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def field_descriptor(fld, m, oneof):
    out = pb(1, fld.name) + pb(3, fld.number) + pb(4, 3 if fld.repeated or fld.is_map else 1)
    if fld.is_map:
        out += pb(5, 11) + pb(6, f".{m.full}.{entry_name(fld)}")
    elif fld.target:
        out += pb(5, 11 if isinstance(fld.target, Message) else 14) + pb(6, f".{fld.target.full}")
    else:
        out += pb(5, WIRE[fld.ftype])
    if oneof is not None:
        out += pb(9, oneof)
    out += pb(10, fld.json)
    return out + (pb(17, 1) if oneof is not None else b"")


def entry_name(fld):
    return "".join(p[:1].upper() + p[1:] for p in fld.name.split("_")) + "Entry"


def message_descriptor(m):
    out, presence = pb(1, m.name), []
    for fld in m.fields:
        own = not (fld.repeated or fld.is_map)
        out += pb(2, field_descriptor(fld, m, len(presence) if own else None))
        presence += ["_" + fld.name] if own else []
    for fld in m.fields:
        if fld.is_map:
            rows = [pb(1, n) + pb(3, i + 1) + pb(4, 1) + pb(5, 9) + pb(10, n) for i, n in enumerate(("key", "value"))]
            out += pb(3, pb(1, entry_name(fld)) + b"".join(pb(2, r) for r in rows) + pb(7, pb(7, 1)))
    return out + b"".join(pb(8, pb(1, n)) for n in presence)


def proto_name(f):
    return f"{f.path.parent.name}/{f.path.name}"


def file_descriptor(f):
    out = pb(1, proto_name(f)) + pb(2, f.package) + b"".join(pb(3, proto_name(d)) for d in f.deps)
    out += b"".join(pb(4, message_descriptor(m)) for m in f.messages)
    for e in f.enums:
        out += pb(5, pb(1, e.name) + b"".join(pb(2, pb(1, n) + pb(2, k)) for n, k, _ in e.values))
    for s in f.services:
        rows = [pb(1, r.name) + pb(2, f".{r.targets[0].full}") + pb(3, f".{r.targets[1].full}")
                + (pb(5, 1) if r.streams[0] else b"") + (pb(6, 1) if r.streams[1] else b"") for r in s.methods]
        out += pb(6, pb(1, s.name) + b"".join(pb(2, r) for r in rows))
    return out + pb(12, "proto3")


def write_descriptors(files):
    """The descriptors of the files that declare services, and of what these import."""
    want = []
    for f in files:
        for g in [*f.deps, f] if f.services else []:
            want += [g] if g not in want else []
    out = ["/* Generated by tools/msggen.py from src/api: do not edit.", " * check: long because it is a table */",
           "/* clang-format off */", '#include "codec/proto_file.h"']
    for i, f in enumerate(want):
        data = file_descriptor(f)
        symbols = [t.full for t in [*f.services, *f.messages, *f.enums]]
        symbols += [f"{s.full}.{r.name}" for s in f.services for r in s.methods]
        out += ["", f"static const unsigned char bytes_{i}[] = {{"]
        out += ["    " + " ".join(f"{b}," for b in data[k:k + 24]) for k in range(0, len(data), 24)]
        out += ["};", f"static const char *const symbols_{i}[] = {{"]
        out += [f'    "{s}",' for s in symbols] + ["    NULL", "};"]
        out += [f"static const char *const services_{i}[] = {{"] + [f'    "{s.full}",' for s in f.services] + ["    NULL", "};"]
    out += ["", "const struct proto_file proto_files[] = {"]
    out += [f'    {{ "{proto_name(f)}", {{ (const char *)bytes_{i}, sizeof(bytes_{i}) }}, symbols_{i}, services_{i} }},'
            for i, f in enumerate(want)]
    out += ["};", f"const size_t proto_file_n = {len(want)};"]
    return "\n".join(out) + "\n"


# ---- documentation ----

def doc_type(fld):
    if fld.is_map:
        return "map of strings"
    if fld.target:
        return f"[{fld.target.name}](#{fld.target.name.lower()})"
    return SCALARS[fld.ftype][2]


def doc_rules(fld):
    r, out = fld.rules, []
    if r.get("required"):
        out.append("required")
    if "alias" in r:
        out.append(f"also `{r['alias']}`")
    if "max_len" in r:
        unit = "bytes" if fld.ftype == "bytes" else "characters"
        out.append(f"at most {r['max_len']} {unit}" + (", cut beyond" if r.get("trunc") else ""))
    if "max_items" in r:
        out.append(f"at most {r['max_items']} entries")
    if "min" in r:
        out.append(f"at least {r['min']}")
    if "max" in r:
        out.append(f"at most {r['max']}")
    if "def" in r:
        out.append(f"default {r['def']}")
    if fld.doc:
        out.append(" ".join(fld.doc))
    return "; ".join(out)


def write_docs(tongue, files):
    out = [f"# Messages of the {tongue} API", "",
           f"Generated by `tools/msggen.py --docs` from `src/api/{tongue}/*.proto`: do not edit.", ""]
    for f in files:
        out += [" ".join(f.doc), ""]
        for s in f.services:
            out += [f"### Service {s.full}", ""] + ([" ".join(s.doc), ""] if s.doc else [])
            out += ["| method | request | answer | |", "|---|---|---|---|"]
            for r in s.methods:
                kinds = [("stream of " if on else "") + f"[{t.name}](#{t.name.lower()})" for on, t in zip(r.streams, r.targets)]
                out.append(f"| `{r.name}` | {kinds[0]} | {kinds[1]} | {' '.join(r.doc)} |")
            out.append("")
        section = None
        for t in [*f.enums, *f.messages]:
            if t.section != section:
                section = t.section
                out += [f"## {section[:1].upper() + section[1:]}", ""]
            out += [f"### {t.name}", ""]
            if t.doc:
                out += [" ".join(t.doc), ""]
            if isinstance(t, Enum):
                out += ["| value | number |", "|---|---|"]
                out += [f"| `{r.get('json', n)}` | {k} |" for n, k, r in t.values if not r.get("hidden")]
            elif not t.fields:
                out.append("No fields.")
            else:
                out += ["| field | type | number | rules |", "|---|---|---|---|"]
                out += [f"| `{x.name}`{'[]' if x.repeated else ''} | {doc_type(x)} | {x.number} | {doc_rules(x)} |"
                        for x in t.fields]
            out.append("")
    return "\n".join(out)


def one_file(path, out):
    f = World().load(path)
    return {out / f"{path.stem}.h": write_header(f, "", path.stem), out / f"{path.stem}.c": write_source(f, "", path.stem)}


def outputs(docs, gen):
    world, out, tongues = World(), {}, []
    by_tongue = {}
    for path in sorted(API.glob("*/*.proto")):
        f = world.load(path)
        tongue, stem = path.parent.name, path.stem
        by_tongue.setdefault(tongue, []).append(f)
        tongues.append((tongue, stem))
        if not docs:
            out[gen / tongue / f"{stem}.h"] = write_header(f, tongue, stem)
            out[gen / tongue / f"{stem}.c"] = write_source(f, tongue, stem)
    if docs:
        for tongue, files in by_tongue.items():
            out[DOCS / f"{tongue}.md"] = write_docs(tongue, files)
    else:
        out[gen / "meson.build"] = write_meson(tongues)
        out[gen / "descriptors.c"] = write_descriptors([f for files in by_tongue.values() for f in files])
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("file", nargs="?", type=pathlib.Path, help="only this file, into --out")
    p.add_argument("--docs", action="store_true", help="write docs/api instead of src/gen")
    p.add_argument("--check", action="store_true", help="compare instead of writing")
    p.add_argument("--out", type=pathlib.Path, default=GEN, help="folder to write instead of src/gen")
    args = p.parse_args()
    try:
        out = one_file(args.file.resolve(), args.out) if args.file else outputs(args.docs, args.out)
    except ProtoError as e:
        sys.exit(f"msggen: {e}")
    stale = []
    for path, text in out.items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(str(path))
        if not args.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale and args.check:
        sys.exit("msggen: out of date: " + " ".join(stale))


if __name__ == "__main__":
    main()
