#!/usr/bin/env python3
"""The message generator: what it refuses, with file and line; what it writes is compared by tools/check-generated and tried by
the codec's tests."""
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import msggen  # noqa: E402

HEAD = 'syntax = "proto3";\npackage t;\nimport "cairn/options.proto";\n'
# What stands after the head -> the line of the mistake, and a part of the text.
REFUSED = {
    "message M {\n int32 a = 1;\n}": (5, "a singular field is declared optional"),
    "message M {\n oneof x { }\n}": (5, "a singular field is declared optional: 'oneof'"),
    "message M {\n optional float a = 1;\n}": (5, "unknown type 'float'"),
    "message M {\n optional Other a = 1;\n}": (5, "unknown type 'Other'"),
    "message M {\n map<string, int32> a = 1;\n}": (5, "only map<string, string>"),
    "message M {\n optional string a = 1;\n optional string b = 1;\n}": (5, "number of a is used twice"),
    "message M {\n optional string a = 1;\n optional string a = 2;\n}": (5, "name of a is used twice"),
    "message M {\n optional string a_b = 1;\n optional string aB = 2;\n}": (5, "json of a_b is used twice"),
    "message M {\n optional string a = one;\n}": (5, "expected an integer"),
    "message M {\n optional string a = 1 [(cairn.f) = { requird: true }];\n}": (5, "unknown rule 'requird'"),
    "message M {\n optional string a = 1 [(other.f) = { required: true }];\n}": (5, "unknown option 'other.f'"),
    "message M {\n optional string a = 1 [(cairn.f) = { alias: b }];\n}": (5, "alias takes a string"),
    "message M {\n optional string a = 1 [(cairn.f) = { trunc: true }];\n}": (5, "rule 'trunc' does not fit"),
    "message M {\n optional string a = 1 [(cairn.f) = { min: 1 }];\n}": (5, "rule 'min' does not fit"),
    "message M {\n optional int32 a = 1 [(cairn.f) = { max_len: 1 }];\n}": (5, "rule 'max_len' does not fit"),
    "message M {\n repeated string a = 1 [(cairn.f) = { stream: true }];\n}": (5, "rule 'stream' does not fit"),
    "message M {\n optional string a = 1 [(cairn.f) = { max_items: 1 }];\n}": (5, "rule 'max_items' does not fit"),
    "enum E {\n A = 1;\n}": (4, "the first value of E must be 0"),
    "enum E {\n A = 0;\n}\nmessage M {\n optional E e = 1 [(cairn.f) = { def: \"B\" }];\n}": (8, "'B' is no value of E"),
    "message M {\n optional int32 a = 1 [(cairn.f) = { def: \"x\" }];\n}": (5, "'x' is no int32"),
    "message M {\n optional bool a = 1 [(cairn.f) = { def: \"1\" }];\n}": (5, "'1' is no bool"),
    "message M {\n optional bool a = 1 [(cairn.f) = { required: yes }];\n}": (5, "required takes true or false"),
    "extend S {\n}": (4, "'extend' is not in our subset"),
    "service S {\n rpc Get(Missing) returns (Missing);\n}": (5, "unknown message 'Missing'"),
    "service S {\n option deprecated = true;\n}": (5, "expected 'rpc'"),
    "message M {\n optional string a = 1\n}": (6, "expected ';'"),
    "message M {\n @\n}": (5, "cannot read '@"),
    "/* x */": (4, "cannot read '/* x"),
    "message M {\n" + "".join(f" optional bool f{i} = {i};\n" for i in range(1, 66)) + "}": (4, "more than 64 fields"),
}


def problem(text, folder):
    path = folder / "case.proto"
    path.write_text(text)
    try:
        f = msggen.World().load(path)
        msggen.write_header(f, "", "case")
        msggen.write_source(f, "", "case")
        msggen.write_docs("t", [f])
    except msggen.ProtoError as e:
        return str(e)
    return None


def main():
    failures = 0
    cases = [(HEAD + body, line, part) for body, (line, part) in REFUSED.items()]
    cases.append(('syntax = "proto2";', 1, "only proto3 is read"))
    cases.append(('syntax = "proto3";\nimport "no/such.proto";\nmessage M {\n}', None, "import 'no/such.proto' not found"))
    print(f"1..{len(cases) + 1}")
    with tempfile.TemporaryDirectory() as tmp:
        for i, (text, line, part) in enumerate(cases, 1):
            got = problem(text, Path(tmp))
            good = got is not None and part in got and (line is None or f"case.proto:{line}: " in got)
            failures += not good
            print(f"{'ok' if good else 'not ok'} {i} - {part}" + ("" if good else f"\n# got {got}"))
        got = problem(HEAD + "// Doc.\nmessage M {\n // One.\n optional string default = 1;\n}", Path(tmp))
        failures += got is not None
        print(f"{'not ok' if got else 'ok'} {len(cases) + 1} - a C keyword as a field name\n# {got}")
    return 1 if failures else 0


sys.exit(main())
