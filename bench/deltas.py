#!/usr/bin/env python3
"""bench/deltas.py - what differences between tensors of consecutive checkpoints would save over the packs as they are.

    $(tools/pyenv mlflow-torch)/bin/python bench/deltas.py [--quick]

Nets of PyTorch learn the digits of scikit-learn; a checkpoint is what a client saves: weights and the optimizer's state, as float32,
bfloat16 or float16. Compared is the second of two checkpoints by itself (each chunk of 64 KiB by zstd of its byte planes or raw, as packs
hold it) with its difference from the first, by XOR and by subtraction of the bits in the order of the numbers, each by planes and zstd, the
best of all for each chunk. Printed is the size of both against the raw bytes, and the saving of the second over the first."""
import ctypes
import ctypes.util
import sys

import numpy as np
import torch
from sklearn.datasets import load_digits

CHUNK = 65536
ZSTD = ctypes.CDLL("libzstd.so.1")
ZSTD.ZSTD_compressBound.restype = ZSTD.ZSTD_compress.restype = ctypes.c_size_t
ZSTD.ZSTD_compressBound.argtypes = [ctypes.c_size_t]
ZSTD.ZSTD_compress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
OUT = ctypes.create_string_buffer(2 * CHUNK)


def zstd(data):
    n = ZSTD.ZSTD_compress(OUT, len(OUT), data.ctypes.data, data.nbytes, 3)
    return min(n, data.nbytes)


def planes(values):
    """Bytes of one chunk: raw, as one frame, or each byte plane by itself."""
    raw = np.ascontiguousarray(values).view("u1")
    split = np.ascontiguousarray(raw.reshape(-1, values.itemsize).T)
    return min(raw.nbytes, zstd(raw), sum(zstd(split[i]) for i in range(values.itemsize)))


def ordered(bits):
    """Bits of floats as integers in the order of the numbers."""
    top = bits.dtype.type(1 << (bits.itemsize * 8 - 1))
    return np.where(bits & top, ~bits, bits | top)


def difference(old, new):
    """The step from one to the other, small ones as small numbers of either sign."""
    step = (ordered(new) - ordered(old)).view(f"i{new.itemsize}")
    return ((step << 1) ^ (step >> (8 * new.itemsize - 1))).view(new.dtype)


def sizes(old, new):
    """(as packs hold the second, with differences) for tensors one after the other."""
    alone = delta = 0
    for a, b in zip(old, new):
        for at in range(0, b.size, CHUNK // b.itemsize):
            x, y = a[at:at + CHUNK // b.itemsize], b[at:at + CHUNK // b.itemsize]
            one = 0 if np.array_equal(x, y) else planes(y)  # equal chunks are found already
            alone += one
            delta += min(one, planes(x ^ y), planes(difference(x, y))) if one else 0
    return alone, delta


def tensors(model, optimizer, dtype, weights_only):
    found = list(model.state_dict().values())
    if not weights_only:
        for state in optimizer.state_dict()["state"].values():
            found += [t for t in state.values() if torch.is_tensor(t) and t.dim()]
    kind = {2: torch.int16, 4: torch.int32}[torch.empty(0, dtype=dtype).element_size()]
    return [t.detach().to(dtype).contiguous().view(kind).numpy().view(f"u{2 if kind is torch.int16 else 4}").ravel().copy() for t in found]


def nets(quick):
    width = 256 if quick else 1024
    yield "dense", torch.nn.Sequential(torch.nn.Linear(64, width), torch.nn.ReLU(), torch.nn.Linear(width, width), torch.nn.ReLU(),
                                       torch.nn.Linear(width, 10))
    layer = torch.nn.TransformerEncoderLayer(64 if quick else 256, 4, 4 * (64 if quick else 256), batch_first=True, dropout=0.0)
    yield "attention", torch.nn.Sequential(torch.nn.Unflatten(1, (8, 8)), torch.nn.Linear(8, 64 if quick else 256), layer, torch.nn.Flatten(),
                                           torch.nn.Linear(8 * (64 if quick else 256), 10))


def main():
    quick = "--quick" in sys.argv
    torch.set_num_threads(1)
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)
    print("net, optimizer, epochs between | numbers | raw bytes | packs as they are | with differences | saved")
    for optimizer_name, rate, epochs, apart in (("adam", 1e-3, (1, 20), 1), ("adam", 1e-5, (1, 20), 1), ("sgd", 1e-2, (1, 20), 1),
                                                ("sgd", 1e-4, (1, 20), 1)):
        torch.manual_seed(0)
        for name, model in nets(quick):
            optimizer = (torch.optim.Adam(model.parameters(), lr=rate) if optimizer_name == "adam"
                         else torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9))
            kept, types = {}, (torch.float32, torch.bfloat16, torch.float16)
            for epoch in range(1, max(epochs) + apart + 1):
                for batch in torch.randperm(len(x)).split(64):
                    optimizer.zero_grad()
                    torch.nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
                    optimizer.step()
                if any(epoch in (e, e + apart) for e in epochs):
                    kept[epoch] = {(t, w): tensors(model, optimizer, t, w) for t in types for w in (False, True)}
            for epoch in epochs:
                for t in types:
                    for w in (False, True):
                        old, new = kept[epoch][t, w], kept[epoch + apart][t, w]
                        raw = sum(a.nbytes for a in new)
                        alone, delta = sizes(old, new)
                        print(f"{name}, {optimizer_name} {rate:g}, after epoch {epoch}, {'weights' if w else 'weights and state'} | {str(t)[6:]} "
                              f"| {raw:,} | {alone / raw:.1%} | {delta / raw:.1%} | {1 - delta / max(alone, 1):.1%}", flush=True)


if __name__ == "__main__":
    main()
