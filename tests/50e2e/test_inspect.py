"""Model files of real libraries, and pickles that hide what they do: what `cairn model inspect` says of them."""

import ast
import gzip
import io
import json
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
import requests

import command

ROOT = Path(__file__).resolve().parents[2]
MAKERS = ROOT / "tests/lib/modelfiles.py"


def environment(name):
    """The folder of a cached environment."""
    return Path(subprocess.run([str(ROOT / "tools/pyenv"), name], check=True, capture_output=True, text=True).stdout.strip())


@pytest.fixture(scope="module")
def inspect(tmp_path_factory):
    cli = command.Cli(tmp_path_factory.mktemp("cli"))

    def run(path, *flags):
        return cli.json("model", "inspect", path, "--tensors", "100000", *flags)
    run.cli = cli
    return run


@pytest.fixture(scope="module")
def one(inspect, tmp_path_factory):
    """Inspects bytes under a name; the report of that one file."""
    folder = tmp_path_factory.mktemp("one")

    def run(data, name="model.bin"):
        (folder / name).write_bytes(data)
        doc = inspect(folder / name)
        assert doc["file_count"] == len(doc["files"]) == 1
        return doc["files"][0]
    return run


def codes(report):
    return {f["code"] for f in report["findings"]}


def text(report):
    return "\n".join(f["text"] for f in report["findings"])


# ---- files of real libraries -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for python, which in [(environment("inspect") / "bin/python", "small"), (sys.executable, "client")]:
        done = subprocess.run([str(python), str(MAKERS), str(folder), which], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.timeout(900)  # may have to make an environment first
def test_files_of_real_libraries(files, inspect):
    facts = {k: v for which in ["small", "client"]
             for k, v in json.loads((files / f"facts-{which}.json").read_text()).items()}
    reports = {r["name"]: r for r in inspect(files)["files"]}
    assert len(facts) >= 40
    wrong = []
    for name, want in facts.items():
        got = reports[name]
        meta = {m["key"]: m["value"] for m in got["metadata"]}
        by_name = {t["name"]: t for t in got["tensors"]}
        checks = {k: (want[k], got.get(k)) for k in ["format", "params", "producer", "worst"] if k in want}
        checks["complete"] = (True, got["complete"])
        if "tensors" in want:
            checks["tensors"] = want["tensors"], sorted([t["name"], t["dtype"], t["shape"]] for t in got["tensors"])
        if "findings" in want:
            checks["findings"] = set(want["findings"]), codes(got)
        if "codes" in want:
            checks["codes"] = set(want["codes"]), codes(got)
        if "place" in want:
            checks["place"] = {want["place"]}, {t["place"] for t in got["tensors"]}
        for k, v in want.get("metadata", {}).items():
            checks[k] = v, meta.get(k)
        for key in ["offset", "bytes"]:
            for k, v in want.get(key + "s" if key == "offset" else key, {}).items():
                checks[key + k] = v, by_name[k][key]
        wrong += [(name, k, *v) for k, v in checks.items() if v[0] != v[1]]
    assert not wrong


@pytest.mark.timeout(900)  # may have to make an environment first
def test_output_for_people_and_exit_code(files, inspect):
    out = inspect.cli.run("model", "inspect", files / "a.safetensors")
    assert "safetensors" in out and "w  F32 [3, 4]" in out and "nothing found; that does not make a file safe" in out
    out = inspect.cli.run("model", "inspect", files / "lambda.keras", "--fail-on", "danger", rc=7)
    assert "keras_lambda" in out
    inspect.cli.run("model", "inspect", files / "a.pt", "--fail-on", "warning")
    inspect.cli.run("model", "inspect", "./no-such-file.bin", rc=3)
    rows = inspect.cli.run("model", "inspect", files, "-o", "csv").splitlines()
    assert rows[0].startswith("name,format") and len(rows) > 40


# ---- pickles that hide what they do ------------------------------------------------------------------------------------


def evil(protocol=4, module="os", name="system", arg="true"):
    """os.system("true"), pickled without importing anything here that could run."""
    out = io.BytesIO()
    p = pickle._Pickler(out, protocol)
    out.write(b"\x80" + bytes([protocol]) if protocol >= 2 else b"")
    if protocol >= 4:
        p.save(module), p.save(name)
        out.write(b"\x93")
    else:
        out.write(f"c{module}\n{name}\n".encode())
    p.save((arg,))
    if hasattr(p, "framer"):
        p.framer.end_framing() if p.framer.current_frame else None
    out.write(b"R.")
    return out.getvalue()


def npy(dtype, n, data):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({n},)}}\n".encode()
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + data


def zipped(members, **kwargs):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **kwargs) as z:
        for name, data in members.items():
            z.writestr(name, data)
    return out.getvalue()


def test_every_protocol_and_any_name(one):
    for protocol in range(6):
        for name in ["model.pkl", "pytorch_model.bin", "model.pt", "weights.safetensors.txt", "README"]:  # CVE-2025-10155
            report = one(evil(protocol), name)
            assert report["format"] == "pickle" and report["worst"] == "danger" and "os.system" in text(report), (protocol, name)
            assert "pickle_call" in codes(report)


def test_indirect_names(one):
    for module, name in [("pkgutil", "resolve_name"), ("builtins", "getattr"), ("asyncio.unix_events", "_UnixSubprocessTransport._start"),
                         ("torch.storage", "_load_from_bytes"), ("torch._tensor", "_rebuild_from_type_v2"),
                         ("functools", "partial"), ("operator", "attrgetter"), ("numpy.testing._private.utils", "runstring")]:
        report = one(evil(4, module, name))
        assert report["worst"] == "danger" and f"{module}.{name}" in text(report)
    # resolve_name gives the function, the next call runs it
    twice = b"\x80\x04cpkgutil\nresolve_name\n\x8c\x09os:system\x85R\x8c\x02ls\x85R."
    assert {"pickle_dangerous", "pickle_callee"} <= codes(one(twice))


def test_damage_does_not_hide_what_came_before(one):
    """nullifAI: the payload first, then bytes that no reader takes."""
    for broken in [evil()[:-1], evil()[:-1] + b"\xff\xff\xff", evil()[:-1] + b"X\xff\xff\xff\x7f"]:
        report = one(broken)
        assert {"pickle_dangerous", "pickle_broken"} <= codes(report) and report["worst"] == "danger"


def test_several_pickles(one):
    report = one(pickle.dumps([1, 2]) + pickle.dumps({"a": 1}) + evil())
    assert report["worst"] == "danger" and "pickle_several" in codes(report)
    legacy = b"".join(pickle.dumps(v, 2) for v in [0x1950A86A20F9469CFC6C, 1001, {}]) + evil(2)
    assert one(legacy, "model.pt")["worst"] == "danger"
    bypass = b"\x80\x02cbuiltins\neval\n(X\x16\0\0\00x1950A86A20F9469CFC6CtR." + evil(2)  # the number of PyTorch, computed
    assert "builtins.eval" in text(one(bypass, "model.pt"))


def test_packed_pickles(one):
    for data in [gzip.compress(evil()), zlib.compress(evil()), zipped({"a/data.pkl": evil(), "a/version": "3"}),
                 zipped({"x.npy": npy("|O", 1, evil(3))}),
                 zipped({"inner.zip": zipped({"data.pkl": evil()})}),
                 zipped({"inner.zip": zipped({"data.pkl": evil()})}, compression=zipfile.ZIP_DEFLATED),
                 pickle.dumps({"inner": evil()})]:
        assert one(data)["worst"] == "danger"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("pickle")
        info.size = len(evil())
        tar.addfile(info, io.BytesIO(evil()))
    assert one(out.getvalue(), "old.pt")["worst"] == "danger"
    assert "refused_container" in codes(one(b"7z\xbc\xaf\x27\x1c" + bytes(100), "model.pt"))


def patched(data, at, value):
    return data[:at] + value + data[at + len(value):]


def test_zips_that_readers_disagree_about(one):
    good = zipped({"a/data.pkl": evil()})
    central = good.index(b"PK\x01\x02")
    for flag in [0x1, 0x20, 0x40]:  # only in one of the two places, or in both
        for places in [[6], [central + 8], [6, central + 8]]:
            data = good
            for at in places:
                data = patched(data, at, struct.pack("<H", flag))
            report = one(data, "model.pt")
            assert report["worst"] == "danger" and "os.system" in text(report), (flag, places)
            assert len(places) == 2 or "zip_views" in codes(report)
    for data in [patched(good, 14, b"\0\0\0\1"), patched(good, central + 16, b"\1\2\3\4"),  # CVE-2025-10156
                 patched(patched(good, 14, b"\1\2\3\4"), central + 16, b"\1\2\3\4")]:
        report = one(data, "model.pt")
        assert "os.system" in text(report) and codes(report) & {"zip_views", "zip_checksum"}
    renamed = patched(good, 30, b"b/read.txt")
    assert {"zip_views", "pickle_dangerous"} <= codes(one(renamed))
    assert {"zip_prefix", "pickle_dangerous"} <= codes(one(b"PK\x03\x04" + bytes(40) + good))
    assert {"zip_appended", "pickle_dangerous"} <= codes(one(b"\x89PNG" + bytes(60) + good, "picture.png"))
    assert {"pickle_dangerous"} <= codes(one(good[:central], "model.pt"))  # no directory
    assert "zip_path" in codes(one(zipped({"../../x": "1"})))
    bomb = zipped({"a": b"\0" * (100 << 20)}, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
    assert "zip_bomb" in codes(one(bomb))


def of_picklescan(folder):
    """(module, name) of what its list and its own tests call dangerous."""
    pairs = set()
    scanner = ast.parse((folder / "picklescan-1.0.5/src/picklescan/scanner.py").read_text())
    for node in scanner.body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "_unsafe_globals":
            for key, value in zip(node.value.keys, node.value.values):
                value = ast.literal_eval(value)
                pairs |= {(key.value, name) for name in (["anything"] if value == "*" else value)}
    tests = ast.parse((folder / "picklescan-1.0.5/tests/test_scanner.py").read_text())
    for node in ast.walk(tests):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Global" and len(node.args) == 3:
            module, name, level = node.args
            if getattr(level, "attr", "") == "Dangerous" and isinstance(module, ast.Constant):
                pairs.add((module.value, name.value))
    return pairs


def of_fickling(folder):
    modules = set()
    for file, names in [("fickle.py", {"UNSAFE_IMPORTS"}), ("analysis.py", {"UNSAFE_MODULES"})]:
        for node in ast.walk(ast.parse((folder / f"fickling-0.1.12/fickling/{file}").read_text())):
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and getattr(target, "id", "") in names:
                value = node.value
                if isinstance(value, ast.Call):
                    value = value.args[0]
                keys = value.keys if isinstance(value, ast.Dict) else value.elts
                modules |= {k.value for k in keys}
    return {(m, "anything") for m in modules}


@pytest.mark.timeout(900)  # may have to make an environment first
def test_what_other_scanners_call_dangerous(one):
    """Their source packages carry no files, so each name that their lists and tests have becomes three pickles."""
    folder = environment("inspect-sources")
    pairs = of_picklescan(folder) | of_fickling(folder)
    assert len(pairs) > 200
    data = b""
    for module, name in sorted(pairs):
        m, n = module.encode(), name.encode()
        data += b"c" + m + b"\n" + n + b"\n(tR." + b"(i" + m + b"\n" + n + b"\n." + evil(4, module, name)
    report = one(data, "all.pkl")
    reached = {f["text"].split(" ")[1].rstrip(",") for f in report["findings"] if f["code"] in ("pickle_global", "pickle_dangerous")}
    missing = {f"{m}.{n}" for m, n in pairs} - reached
    assert report["complete"] and not missing
    loud = {f["text"].split(" ")[1].rstrip(",") for f in report["findings"] if f["code"] == "pickle_dangerous"}
    quiet = {f"{m}.{n}" for m, n in pairs} - loud  # no modules, but stand-ins of those tests
    assert quiet <= {"collections.Counter", "compile.anything", "eval.anything", "exec.anything", "unknown.os",
                     "_rebuild_tensor.unknown"}


def test_five_gigabytes(inspect, tmp_path):
    """A header, and a hole of five gigabytes behind it."""
    each = 10 << 20
    header = json.dumps({f"layers.{i}.w": {"dtype": "F16", "shape": [1024, 5120], "data_offsets": [i * each, (i + 1) * each]}
                         for i in range(512)}).encode()
    with open(tmp_path / "big.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(header)) + header)
        f.truncate(8 + len(header) + 512 * each)
    doc = inspect(tmp_path / "big.safetensors")
    assert doc["finding_count"] == 0 and doc["params"] == 512 * 1024 * 5120 and doc["tensor_count"] == 512


CORPUS = ROOT / "fuzz/inspect/corpus"


def test_hostile_heaps(one):
    """Heaps and indexes of HDF5 that go in circles, beyond the end, or claim to be larger than they are."""
    many = (CORPUS / "dense-tracked.h5").read_bytes()  # a tree of two levels, a heap with an indirect block
    large = (CORPUS / "dense-large.h5").read_bytes()
    head, inner, heap, indirect = (many.index(m) for m in [b"BTHD\0\5", b"BTIN\0\5", b"FRHP", b"FHIB"])
    leaf = many.index(b"BTLF\0\5")
    broken = {
        "levels": patched(many, head + 12, b"\xff\xff"),
        "deep": patched(many, head + 12, b"\x10\0"),
        "records of the root": patched(many, head + 24, b"\xff\xff"),
        "records of nothing": patched(many, head + 10, b"\0\0"),
        "large records": patched(many, head + 10, b"\xff\xff"),
        "large nodes": patched(patched(many, head + 6, b"\xff\xff\xff\xff"), head + 24, b"\xff\xff"),
        "a circle": patched(many, head + 16, struct.pack("<Q", head)),
        "a root beyond the end": patched(many, head + 16, struct.pack("<Q", 1 << 63)),
        "an inner node as its child": patched(many, inner + 6 + 11 * int.from_bytes(many[head + 24:head + 26], "little"),
                                              struct.pack("<Q", inner)),
        "ids of 0": patched(many, heap + 5, b"\0\0"),
        "ids of 65535": patched(many, heap + 5, b"\xff\xff"),
        "no width": patched(many, heap + 110, b"\0\0"),
        "a width of 3": patched(many, heap + 110, b"\3\0"),
        "blocks of 0": patched(many, heap + 112, bytes(8)),
        "blocks of 2^63": patched(many, heap + 112, struct.pack("<QQ", 1 << 63, 1 << 63)),
        "a heap of 65535 bits": patched(many, heap + 128, b"\xff\xff"),
        "no rows": patched(many, heap + 140, b"\0\0"),
        "a block that is itself": patched(many, heap + 132, struct.pack("<Q", heap)),
        "an indirect block below itself": patched(many, indirect + 13 + int.from_bytes(many[heap + 128:heap + 130], "little") // 8,
                                                  struct.pack("<Q", indirect)),
        "an id of no kind": patched(many, leaf + 6 + 4, b"\x70"),
        "an id inside itself": patched(many, leaf + 6 + 4, b"\x20"),
        "an id of a large message": patched(many, leaf + 6 + 4, b"\x10"),
        "an id beyond the heap": patched(many, leaf + 6 + 5, b"\xff\xff\xff\xff"),
        "a message that is too long": patched(many, leaf + 6 + 9, b"\xff\xff"),
        "large messages without an index": patched(large, large.index(b"FRHP") + 22, b"\xff" * 8),
        "a large message beyond the end": patched(large, large.index(b"BTLF\0\1") + 6, struct.pack("<Q", 1 << 62)),
    }
    assert {n: len(one(d, "model.h5")["findings"]) for n, d in {"many": many, "large": large}.items()} == {"many": 0, "large": 0}
    for what, data in broken.items():
        report = one(data, "model.h5")
        assert report["findings"] and "hdf5" in report["format"], what
        assert codes(report) <= {"malformed", "limit"}, (what, report["findings"])
    filtered = one(patched(many, heap + 7, b"\x10\0"), "model.h5")
    assert codes(filtered) == {"hdf5_dense"} and not filtered["complete"]


# ---- what a server holds ------------------------------------------------------------------------------------------------


@pytest.fixture
def cli(server, tmp_path):
    return command.Cli(tmp_path, server.url)


def test_versions_runs_and_models(server, client, run, uniq, tmp_path, cli):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/MLmodel").write_text("flavors: {}\n")
    (tmp_path / "m/model.pkl").write_bytes(evil())
    (tmp_path / "m/big.npy").write_bytes(npy("<f8", 9999, bytes(79992)))
    client.log_artifacts(run, str(tmp_path / "m"), "model")
    doc = cli.json("model", "inspect", f"runs:/{run}/model")
    assert [f["name"] for f in doc["files"]] == ["MLmodel", "big.npy", "model.pkl"] and doc["params"] == 9999
    assert doc["worst"] == "danger" and doc["complete"] and doc["source"] == f"runs:/{run}/model"
    assert cli.json("model", "inspect", f"runs:/{run}/model/model.pkl")["file_count"] == 1
    cli.run("model", "inspect", f"runs:/{run}/nothing", rc=3)

    cli.run("model", "register", uniq, f"runs:/{run}/model", "--alias", "next")
    before = cli.json("model", "show", f"{uniq}/1")
    assert before["findings"] is None and before["worst"] is None
    doc = cli.json("model", "inspect", f"{uniq}@next")
    assert doc["source"] == f"models:/{uniq}/1" and doc["worst"] == "danger"
    after = cli.json("model", "show", f"{uniq}/1")
    assert after["findings"] == doc["finding_count"] and after["worst"] == "danger" and after["inspected"] > 0
    assert "os.system" in cli.run("model", "inspect", f"models:/{uniq}/1", "--fail-on", "danger", rc=7)
    cli.run("model", "inspect", f"{uniq}/7", rc=3)
    cli.run("model", "inspect", uniq, rc=2)

    kept = requests.get(f"{server.url}/api/cairn/v1/model-versions/inspection", params={"name": uniq, "version": 1}, timeout=30).json()
    assert kept["worst"] == "danger" and kept["formats"] == "npy, pickle" and int(kept["files"]) == 3
    assert kept["findings"][0]["severity"] == "danger" and kept["findings"][0]["where"].startswith("model.pkl: ")
    client.delete_model_version(uniq, "1")
    gone = requests.get(f"{server.url}/api/cairn/v1/model-versions/inspection", params={"name": uniq, "version": 1}, timeout=30)
    assert gone.status_code == 404


def test_versions_that_cannot_be_read(client, uniq, cli):
    client.create_registered_model(uniq)
    client.create_model_version(uniq, "s3://elsewhere/model")
    cli.run("model", "inspect", f"{uniq}/1", rc=2)
    assert "not served by this server" in cli.err
