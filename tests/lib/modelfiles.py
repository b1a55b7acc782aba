"""Small model files, made by the libraries that people make them with. makers.py FOLDER NAME... writes the files of these makers,
and facts-NAME.json with what those libraries say of them. Each runs in the environment that has its libraries."""

import importlib
import io
import json
import os
import pickle
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np

facts = {}


def say(name, **what):
    facts[name] = what


def tensors(pairs):
    return sorted([name, dtype, list(shape)] for name, dtype, shape in pairs)


def safetensors(folder):
    from safetensors.numpy import save_file

    rng = np.random.default_rng(1)
    save_file({"w": rng.random((3, 4), dtype=np.float32), "b": np.zeros(4, np.float64), "i": np.arange(5),
               "empty": np.zeros((0, 7), np.float16), "scalar": np.array(1, np.int8)},
              folder / "a.safetensors", metadata={"format": "np", "author": "ä"})
    say("a.safetensors", format="safetensors", params=12 + 4 + 5 + 0 + 1, metadata={"format": "np", "author": "ä"},
        tensors=tensors([("w", "F32", (3, 4)), ("b", "F64", (4,)), ("i", "I64", (5,)), ("empty", "F16", (0, 7)),
                         ("scalar", "I8", ())]), findings=[])


def gguf(folder):
    import gguf as lib

    out = lib.GGUFWriter(str(folder / "a.gguf"), "llama")
    out.add_block_count(2)
    out.add_float32("x.eps", 0.5)
    out.add_bool("x.yes", True)
    out.add_token_list(["a", "b", "c"])
    out.add_chat_template("{{ messages }}")
    out.add_tensor("token_embd.weight", np.ones((4, 32), np.float32))
    out.add_tensor("q", lib.quants.quantize(np.ones((2, 64), np.float32), lib.GGMLQuantizationType.Q8_0),
                   raw_dtype=lib.GGMLQuantizationType.Q8_0)
    out.add_tensor("h", np.ones((3,), np.float16))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    read = lib.GGUFReader(str(folder / "a.gguf"))
    say("a.gguf", format="gguf", params=sum(int(t.n_elements) for t in read.tensors),
        tensors=tensors((t.name, t.tensor_type.name, [int(d) for d in t.shape]) for t in read.tensors),
        offsets={t.name: int(t.data_offset) for t in read.tensors},
        bytes={t.name: int(t.n_bytes) for t in read.tensors},
        metadata={"general.architecture": "llama", "llama.block_count": "2", "x.eps": "0.5", "x.yes": "true",
                  "tokenizer.ggml.tokens": "[3 items]", "tokenizer.chat_template": "{{ messages }}"},
        findings=["gguf_template"])


def onnx(folder):
    import onnx as lib
    from onnx import TensorProto, helper, numpy_helper

    w = numpy_helper.from_array(np.ones((2, 3), np.float32), "w")
    b = helper.make_tensor("b", TensorProto.INT64, [2], [1, 2])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Mine", ["y"], ["z"], domain="my.ops")],
                              "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
                              [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 3])], [w, b])
    model = helper.make_model(graph, producer_name="pytest", producer_version="1.2",
                              opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("my.ops", 1)])
    helper.set_model_props(model, {"k": "v"})
    lib.save(model, folder / "a.onnx")
    say("a.onnx", format="onnx", params=8, producer="pytest 1.2", tensors=tensors([("w", "F32", (2, 3)), ("b", "I64", (2,))]),
        metadata={"k": "v", "opset.ai.onnx": "17", "nodes": "2"}, findings=["onnx_domain"])
    external = helper.make_model(helper.make_graph([helper.make_node("Identity", ["w"], ["z"])], "g", [],
                                                   [helper.make_tensor_value_info("z", TensorProto.FLOAT, [64, 64])],
                                                   [numpy_helper.from_array(np.ones((64, 64), np.float32), "w")]))
    lib.save_model(external, folder / "external.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    say("external.onnx", format="onnx", params=4096, tensors=tensors([("w", "F32", (64, 64))]), place="weights.bin",
        findings=[])
    for entry in external.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = "../../etc/passwd"
    (folder / "escape.onnx").write_bytes(external.SerializeToString())
    say("escape.onnx", format="onnx", findings=["external_path"])


def pb(number, value):
    """A field of a protobuf message: bytes, text or a number."""
    def varint(n):
        out = b""
        while n > 127:
            out += bytes([n & 127 | 128])
            n >>= 7
        return out + bytes([n])
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def savedmodel(folder):
    """TensorFlow is too large to install for this; its messages are written by their published field numbers."""
    def node(name, op, *attrs):
        return pb(1, pb(1, name) + pb(2, op) + b"".join(pb(5, pb(1, k) + pb(2, v)) for k, v in attrs))
    shape = pb(7, pb(2, pb(1, 3)) + pb(2, pb(1, 4)))
    graph = node("v", "VarHandleOp", ("dtype", pb(6, 1)), ("shape", shape)) + node("c", "Const") + pb(
        2, pb(1, pb(3, pb(1, "r") + pb(2, "ReadFile"))))
    objects = pb(1, pb(4, pb(1, "_tf_keras_layer") + pb(3, '{"name": "l", "class_name": "Lambda", "config": {}}')))
    meta = pb(1, pb(4, "serve") + pb(5, "2.15.0") + pb(6, "x" * 200))
    model = pb(1, 1) + pb(2, meta + pb(2, graph) + pb(5, pb(1, "serving_default")) + pb(7, objects))
    (folder / "saved_model.pb").write_bytes(model)
    say("saved_model.pb", format="savedmodel", params=12, producer="TensorFlow 2.15.0", tensors=tensors([("v", "F32", (3, 4))]),
        metadata={"tag": "serve", "signature": "serving_default", "nodes": "3"}, findings=["graph_operator", "keras_lambda"])


def tflite(folder):
    import flatbuffers
    # the package gives its classes the names of their modules
    Buffer, Model, OperatorCode, SubGraph, Tensor = (
        importlib.import_module(f"tflite.{name}") for name in ["Buffer", "Model", "OperatorCode", "SubGraph", "Tensor"])
    b = flatbuffers.Builder(0)
    data = b.CreateByteVector(np.ones((2, 3), np.float32).tobytes())
    Buffer.BufferStart(b)
    empty = Buffer.BufferEnd(b)
    Buffer.BufferStart(b)
    Buffer.BufferAddData(b, data)
    full = Buffer.BufferEnd(b)
    Model.ModelStartBuffersVector(b, 2)
    b.PrependUOffsetTRelative(full)
    b.PrependUOffsetTRelative(empty)
    buffers = b.EndVector()

    def tensor(name, shape, buffer):
        name = b.CreateString(name)
        Tensor.TensorStartShapeVector(b, len(shape))
        for d in reversed(shape):
            b.PrependInt32(d)
        shape = b.EndVector()
        Tensor.TensorStart(b)
        Tensor.TensorAddShape(b, shape)
        Tensor.TensorAddType(b, 0)
        Tensor.TensorAddBuffer(b, buffer)
        Tensor.TensorAddName(b, name)
        return Tensor.TensorEnd(b)
    both = [tensor("w", [2, 3], 1), tensor("x", [1, 2], 0)]
    SubGraph.SubGraphStartTensorsVector(b, 2)
    for t in reversed(both):
        b.PrependUOffsetTRelative(t)
    inside = b.EndVector()
    SubGraph.SubGraphStart(b)
    SubGraph.SubGraphAddTensors(b, inside)
    graph = SubGraph.SubGraphEnd(b)
    Model.ModelStartSubgraphsVector(b, 1)
    b.PrependUOffsetTRelative(graph)
    graphs = b.EndVector()
    custom = b.CreateString("FlexMine")
    OperatorCode.OperatorCodeStart(b)
    OperatorCode.OperatorCodeAddCustomCode(b, custom)
    code = OperatorCode.OperatorCodeEnd(b)
    Model.ModelStartOperatorCodesVector(b, 1)
    b.PrependUOffsetTRelative(code)
    codes = b.EndVector()
    text = b.CreateString("made by hand")
    Model.ModelStart(b)
    Model.ModelAddVersion(b, 3)
    Model.ModelAddOperatorCodes(b, codes)
    Model.ModelAddSubgraphs(b, graphs)
    Model.ModelAddDescription(b, text)
    Model.ModelAddBuffers(b, buffers)
    b.Finish(Model.ModelEnd(b), file_identifier=b"TFL3")
    (folder / "a.tflite").write_bytes(bytes(b.Output()))
    say("a.tflite", format="tflite", params=6, producer="made by hand", tensors=tensors([("w", "F32", (2, 3))]),
        findings=["tflite_custom"])


def keras(folder):
    os.environ["KERAS_BACKEND"] = "jax"
    import keras as lib

    def model(*layers):
        m = lib.Sequential([lib.layers.Input((4,)), lib.layers.Dense(3, name="hidden"), *layers])
        return m
    plain = model(lib.layers.Dense(2))
    plain.save(folder / "a.keras")
    plain.save(folder / "a.h5")
    say("a.keras", format="keras", params=plain.count_params(), findings=[])
    say("a.h5", format="keras hdf5", params=plain.count_params(), findings=[])
    plain.save_weights(folder / "a.weights.h5")
    say("a.weights.h5", format="hdf5", params=plain.count_params(), findings=[])
    code = model(lib.layers.Lambda(lambda x: x * 2))
    code.save(folder / "lambda.keras")
    code.save(folder / "lambda.h5")
    say("lambda.keras", format="keras", findings=["keras_lambda"])
    say("lambda.h5", format="keras hdf5", findings=["keras_lambda"])
    with zipfile.ZipFile(folder / "a.keras") as z, zipfile.ZipFile(folder / "module.keras", "w") as to:
        for name in z.namelist():
            data = z.read(name)
            if name == "config.json":
                data = data.replace(b'"module": "keras.layers"', b'"module": "os"', 1)
            to.writestr(name, data)
    say("module.keras", format="keras", findings=["keras_module"])


def hdf5(folder):
    import h5py

    for version in ["earliest", "latest"]:
        with h5py.File(folder / f"{version}.h5", "w", libver=version) as f:
            f.create_dataset("g/h/x", data=np.ones((2, 5), np.float32))
            f.create_dataset("y", data=np.arange(3))
            f.create_dataset("packed", data=np.zeros((100, 100)), compression="gzip", chunks=(10, 10))
            f.attrs["title"] = "t"
            f.attrs["fixed"] = np.bytes_("f")
        say(f"{version}.h5", format="hdf5", params=10 + 3 + 10000, metadata={"title": "t", "fixed": "f"},
            tensors=tensors([("g/h/x", "F32", (2, 5)), ("y", "I64", (3,)), ("packed", "F64", (100, 100))]), findings=[])
    with h5py.File(folder / "many.h5", "w") as f:
        for i in range(300):
            f.create_dataset(f"d{i:03}", data=np.ones(2, np.float32))
    say("many.h5", format="hdf5", params=600, findings=[])
    with h5py.File(folder / "block.h5", "w", userblock_size=1024) as f:
        f.create_dataset("x", data=np.ones(2, np.float32))
    say("block.h5", format="hdf5", params=2, findings=["hdf5_user_block"])
    with h5py.File(folder / "link.h5", "w") as f:
        f["l"] = h5py.ExternalLink("/etc/other.h5", "/x")
        f.create_dataset("raw", (10,), "f4", external=[("/etc/passwd", 0, 40)])
    say("link.h5", format="hdf5", findings=["external_path"])


def read_by_h5py(path):
    """[name, type, shape] of every data set, as h5py tells it."""
    import h5py

    found = []
    with h5py.File(path) as f:
        f.visititems(lambda name, o: found.append([name, o.dtype.kind.upper() + str(o.dtype.itemsize * 8), list(o.shape)])
                     if isinstance(o, h5py.Dataset) else None)
    return sorted(found)


def hdf5_dense(folder):
    """Groups and attributes that are more than a few: a heap, and a tree of ids."""
    import h5py

    def fill(group, n, shape=lambda i: (i % 7 + 1, 2), kind=np.float32):
        for i in range(n):
            group.create_dataset(f"{i * 7919 % n:05}.kernel", data=np.zeros(shape(i), kind))

    def done(name, findings=(), **more):
        say(name, format="hdf5", findings=list(findings), tensors=read_by_h5py(folder / name), **more)

    for name, how in [("tracked", {"track_order": True}), ("latest9", {"libver": "latest"}), ("v108", {"libver": "v108"}),
                      ("v110-v114", {"libver": ("v110", "v114")}), ("both", {"libver": "latest", "track_order": True})]:
        with h5py.File(folder / f"dense-{name}.h5", "w", **how) as f:
            fill(f, 9)
            fill(f.create_group("model/layers", track_order=how.get("track_order")), 40)
            for i in range(20):
                f.attrs[f"text {i}"] = f"value {i}"
            f.attrs["fixed"] = np.bytes_("f")
        done(f"dense-{name}.h5", metadata={f"text {i}": f"value {i}" for i in range(20)} | {"fixed": "f"})
    with h5py.File(folder / "dense-1500.h5", "w", libver="latest") as f:
        fill(f.create_group("a"), 1500)
        for i in range(300):
            fill(f.create_group(f"layers/dense_{i}/vars"), 2)
    done("dense-1500.h5")
    with h5py.File(folder / "dense-5000.h5", "w", track_order=True) as f:
        fill(f, 5000, lambda i: (), np.int8)
    done("dense-5000.h5")
    with h5py.File(folder / "dense-holes.h5", "w", libver="latest") as f:
        fill(f, 700)
        for name in sorted(f)[::3]:
            del f[name]
        for i in range(150):
            f.create_dataset(f"later {'x' * (i % 90)} {i}", data=np.ones(i, np.int16))
        for name in sorted(f)[1::4]:
            f.move(name, "moved/" + name)
    done("dense-holes.h5")
    with h5py.File(folder / "dense-large.h5", "w", libver="latest") as f:
        config = {"class_name": "Sequential", "config": {"layers": [{"class_name": "Lambda", "module": "keras.layers", "config": {
            "name": "l", "function": "x" * 100000}}]}}
        f.attrs["model_config"] = np.bytes_(json.dumps(config))  # too large for a block of the heap
        f.attrs["note"] = "n" * 3000
        fill(f, 30)
        f["n" * 5000] = f["00000.kernel"]  # so is this name
    say("dense-large.h5", format="keras hdf5", findings=["keras_lambda"], metadata={"note": "n" * 3000},
        params=sum(2 * (i % 7 + 1) for i in range(30)))
    with h5py.File(folder / "dense-links.h5", "w", libver="latest") as f:
        fill(f, 20)
        for i in range(20):
            f[f"soft {i}"] = h5py.SoftLink("/nowhere")
            f[f"hard {i}"] = f["00000.kernel"]
        f["other"] = h5py.ExternalLink("/etc/other.h5", "/x")
        f["itself"] = f["/"]
    say("dense-links.h5", format="hdf5", findings=["external_path"], params=sum(2 * (i % 7 + 1) for i in range(20)))


def keras_dense(folder):
    """What Keras writes when h5py is told to keep the order, or the newest form."""
    os.environ["KERAS_BACKEND"] = "jax"
    import h5py
    import keras as lib

    m = lib.Sequential([lib.layers.Input((4,)), *[lib.layers.Dense(3) for _ in range(12)]])
    plain = h5py.File

    class Latest(plain):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, libver="latest", **kwargs)

    for name in ["tracked", "latest"]:
        try:
            h5py.get_config().track_order = name == "tracked"
            h5py.File = plain if name == "tracked" else Latest
            m.save(folder / f"dense-keras-{name}.h5")
            m.save_weights(folder / f"dense-{name}.weights.h5")
            m.save(folder / f"dense-{name}.keras")
        finally:
            h5py.get_config().track_order, h5py.File = False, plain
        say(f"dense-keras-{name}.h5", format="keras hdf5", findings=[], producer=f"Keras {lib.__version__}",
            tensors=read_by_h5py(folder / f"dense-keras-{name}.h5"))
        say(f"dense-{name}.weights.h5", format="hdf5", findings=[],
            tensors=read_by_h5py(folder / f"dense-{name}.weights.h5"))
        say(f"dense-{name}.keras", format="keras", findings=[], params=m.count_params())


def data():
    return np.random.default_rng(0).random((50, 3)), np.arange(50) % 2


def xgboost(folder):
    import xgboost

    x, y = data()
    b = xgboost.train({"objective": "binary:logistic", "max_depth": 2}, xgboost.DMatrix(x, y), 3)
    nodes = sum(tree.count("leaf=") + tree.count("yes=") for tree in b.get_dump())
    for name in ["a.json", "a.ubj"]:
        b.set_attr(note="n")
        b.save_model(folder / name)
        say(f"{name}", format="xgboost " + name[2:], producer="XGBoost " + xgboost.__version__,
            metadata={"objective/name": "binary:logistic", "trees": "3", "nodes": str(nodes), "attributes/note": "n",
                      "learner_model_param/num_feature": "3"}, findings=[])


def lightgbm(folder):
    import lightgbm

    x, y = data()
    m = lightgbm.train({"objective": "binary", "num_leaves": 4, "min_data_in_leaf": 2, "verbose": -1},
                       lightgbm.Dataset(x, y), 5)
    m.save_model(folder / "lightgbm.txt")
    say("lightgbm.txt", format="lightgbm", metadata={"trees": str(m.num_trees()), "num_class": "1"}, findings=[])


def numpy_files(folder):
    np.save(folder / "a.npy", np.ones((2, 3)))
    np.savez(folder / "a.npz", a=np.ones(3, np.float32), b=np.arange(4))
    np.savez_compressed(folder / "packed.npz", a=np.ones(3, np.float32), b=np.arange(4))
    say("a.npy", format="npy", params=6, findings=[])
    say("a.npz", format="npz", params=7, findings=[])
    say("packed.npz", format="npz", params=7, findings=[])
    np.save(folder / "object.npy", np.array([{"a": 1}], object))
    say("object.npy", format="npy", findings=["npy_objects"])


def sklearn(folder):
    import joblib
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(np.random.default_rng(0).random((30, 3)), np.arange(30) % 2)
    for protocol in range(6):
        (folder / f"sklearn{protocol}.pkl").write_bytes(pickle.dumps(model, protocol))
        say(f"sklearn{protocol}.pkl", format="pickle", codes=["pickle_global"], worst="warning")
    joblib.dump(model, folder / "a.joblib")
    joblib.dump(model, folder / "packed.joblib", compress=3)
    joblib.dump(model, folder / "gzip.joblib", compress=("gzip", 3))
    for name in ["a.joblib", "packed.joblib", "gzip.joblib"]:
        say(name, format="pickle", params=3 + 2 + 1 + 1, codes=["pickle_global"], worst="warning")
    joblib.dump({"a": np.ones((4, 5)), "o": np.array(["x", None], object)}, folder / "arrays.joblib")
    say("arrays.joblib", format="pickle", params=20, findings=[])
    (folder / "array.pkl").write_bytes(pickle.dumps({"a": np.ones((4, 5), np.float32)}, 4))
    say("array.pkl", format="pickle", params=20, tensors=tensors([("a", "F32", (4, 5))]), findings=[])
    (folder / "plain.pkl").write_bytes(pickle.dumps({"a": [1, 2.5, "x", b"y", None, True], "t": (1, 2)}, 5))
    say("plain.pkl", format="pickle", findings=[])


class Storage:
    """Stands for a storage of PyTorch: only its name is pickled."""


class TorchPickler(pickle._Pickler):
    """Writes what torch.save writes, without torch."""

    def persistent_id(self, o):
        return o.id if isinstance(o, Persistent) else None

    def save(self, o, *args, **kwargs):
        if isinstance(o, Named):
            self.write(b"c" + o.module.encode() + b"\n" + o.name.encode() + b"\n")
        else:
            super().save(o, *args, **kwargs)


class Named:
    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self):
        raise AssertionError


class Persistent:
    def __init__(self, *id):
        self.id = id


class Tensor:
    def __init__(self, key, shape, kind="FloatStorage"):
        n = int(np.prod(shape))
        strides = tuple(int(np.prod(shape[i + 1:])) for i in range(len(shape)))
        storage = Persistent("storage", Named("torch", kind), str(key), "cpu", n)
        self.args = (storage, 0, tuple(shape), strides, False, Named("collections", "OrderedDict"))

    def __reduce__(self):
        return Named("torch._utils", "_rebuild_tensor_v2"), self.args


def torch_pickle(value):
    out = io.BytesIO()
    TorchPickler(out, 2).dump(value)
    return out.getvalue()


def with_end64(data, count=None):
    """A zip with the end record of 64 bits, which PyTorch always writes; count: what that says of the members."""
    at = data.rindex(b"PK\5\6")
    n, size, start = struct.unpack("<10xHLL", data[at:at + 20])
    record = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, n, n if count is None else count, size, start)
    return data[:at] + record + struct.pack("<4sLQL", b"PK\6\7", 0, at, 1) + data[at:]


def torch(folder):
    from collections import OrderedDict

    state = OrderedDict([("fc.weight", Tensor(0, (3, 4))), ("fc.bias", Tensor(1, (3,))), ("n", Tensor(2, (), "LongStorage"))])
    data = torch_pickle(state)
    with zipfile.ZipFile(folder / "a.pt", "w", zipfile.ZIP_STORED) as z:
        z.writestr("archive/data.pkl", data)
        z.writestr("archive/data/0", np.ones(12, np.float32).tobytes())
        z.writestr("archive/data/1", np.ones(3, np.float32).tobytes())
        z.writestr("archive/data/2", np.ones(1, np.int64).tobytes())
        z.writestr("archive/version", "3\n")
    all3 = tensors([("fc.weight", "F32", (3, 4)), ("fc.bias", "F32", (3,)), ("n", "I64", ())])
    say("a.pt", format="pytorch", params=16, tensors=all3, findings=[])
    (folder / "end64.pt").write_bytes(with_end64((folder / "a.pt").read_bytes()))
    say("end64.pt", format="pytorch", params=16, tensors=all3, findings=[])
    (folder / "ends.pt").write_bytes(with_end64((folder / "a.pt").read_bytes(), 4))
    say("ends.pt", format="pytorch", params=16, tensors=all3, findings=["zip_ends_differ"])
    with zipfile.ZipFile(folder / "script.pt", "w", zipfile.ZIP_STORED) as z:
        z.writestr("m/data.pkl", data)
        z.writestr("m/constants.pkl", pickle.dumps((), 2))
        z.writestr("m/code/__torch__.py", "def f(): pass\n")
    say("script.pt", format="torchscript", params=16, findings=["torchscript"])
    legacy = io.BytesIO()
    for value in [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}]:
        legacy.write(pickle.dumps(value, 2))
    legacy.write(data)
    legacy.write(pickle.dumps(["0", "1", "2"], 2))
    legacy.write(b"\x0c\0\0\0\0\0\0\0" + np.ones(12, np.float32).tobytes())
    (folder / "legacy.pt").write_bytes(legacy.getvalue())
    say("legacy.pt", format="pytorch legacy", params=16, tensors=all3, findings=[])


def sharded(folder):
    index = {"metadata": {"total_size": 10}, "weight_map": {"a": "model-1.safetensors", "b": "../model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    say("model.safetensors.index.json", format="safetensors index", findings=["external_path"])


# by the environment that has what they need
SMALL = [safetensors, gguf, onnx, tflite, lightgbm]
CLIENT = [savedmodel, keras, hdf5, hdf5_dense, keras_dense, xgboost, numpy_files, sklearn, torch, sharded]

if __name__ == "__main__":
    target, which = Path(sys.argv[1]), {"small": SMALL, "client": CLIENT}[sys.argv[2]]
    for maker in which:
        maker(target)
    (target / f"facts-{sys.argv[2]}.json").write_text(json.dumps(facts))
