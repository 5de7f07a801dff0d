"""Makes calib/fashion.npz, the bundled Fashion-MNIST subset, from the four original idx .gz files.

    python examples/fashion/make_calib.py FOLDER [OUT.npz]

FOLDER holds train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and
t10k-labels-idx1-ubyte.gz (https://github.com/zalandoresearch/fashion-mnist, MIT licence). Of every class 1,000 training
and 200 test images are drawn with a fixed seed and kept in their original order. The same files give the same bytes.
"""

from __future__ import annotations

import gzip
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

SEED = 20240
PER_CLASS = {"train": ("train", 1000), "test": ("t10k", 200)}
OUT = Path(__file__).resolve().parents[2] / "calib" / "fashion.npz"


def read_idx(path: Path) -> Bytes:
    """The array of an idx file of bytes: two zeros, type 8, rank, sizes as big-endian uint32, then the data."""
    data = gzip.decompress(path.read_bytes())
    zero, kind, rank = int.from_bytes(data[:2], "big"), data[2], data[3]
    if zero != 0 or kind != 8:
        raise SystemExit(f"{path}: not an idx file of unsigned bytes")
    shape = np.frombuffer(data, ">u4", count=rank, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def draw(labels: Bytes, per_class: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Indices of `per_class` samples of every class, ascending."""
    chosen = [
        rng.choice(np.flatnonzero(labels == c), per_class, replace=False) for c in np.unique(labels)
    ]
    return np.sort(np.concatenate(chosen))


def subset(folder: Path) -> dict[str, Bytes]:
    """x_train [10000, 28, 28], y_train [10000], x_test [2000, 28, 28], y_test [2000]."""
    rng = np.random.default_rng(SEED)
    arrays = {}
    for split, (prefix, per_class) in PER_CLASS.items():
        labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
        chosen = draw(labels, per_class, rng)
        arrays[f"x_{split}"] = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")[chosen]
        arrays[f"y_{split}"] = labels[chosen]
    return arrays


def write_npz(path: Path, arrays: dict[str, Bytes]) -> None:
    """Like np.savez_compressed, but without time stamps."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in sorted(arrays.items()):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            archive.writestr(info, member.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)


def main(arguments: list[str]) -> None:
    """FOLDER [OUT.npz]"""
    if not 1 <= len(arguments) <= 2:
        raise SystemExit(__doc__)
    write_npz(Path(arguments[1]) if len(arguments) == 2 else OUT, subset(Path(arguments[0])))


if __name__ == "__main__":
    main(sys.argv[1:])
