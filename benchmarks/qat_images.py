"""The images of the quantisation benchmark as arrays: python -m benchmarks.qat_images [fashion] [cifar]

Writes build/bench/qatdata/NAME.npz with x_train, x_test (uint8 [n, c, h, w]), y_train, y_test, and the mean and the
deviation [c] that the teacher's inputs are brought to, of pixels in 0..1. Needs $SQUEEZE_DATA.
"""

from __future__ import annotations

import argparse
import gzip

import numpy as np

from benchmarks.cases import IMAGENET_MEAN, IMAGENET_STD, Arrays, cifar_jpeg, data
from benchmarks.quant_files import IMAGES

FASHION_MEAN, FASHION_STD = (0.2860,), (0.3530,)
IDX_HEADER = {"images": 16, "labels": 8}  # bytes before the first pixel or class


def fashion() -> Arrays:
    """All 70,000 images of Fashion-MNIST, from its four files."""
    found: Arrays = {}
    for part, name in (("train", "train"), ("test", "t10k")):
        found[f"x_{part}"] = _idx(f"{name}-images-idx3-ubyte.gz", "images").reshape(-1, 1, 28, 28)
        found[f"y_{part}"] = _idx(f"{name}-labels-idx1-ubyte.gz", "labels").astype(np.int64)
    return found | {"mean": np.array(FASHION_MEAN), "std": np.array(FASHION_STD)}


def cifar() -> Arrays:
    """The JPEG copy of all 60,000 images, which the teacher was fine-tuned to."""
    found = cifar_jpeg()
    for key in ("x_train", "x_test"):
        found[key] = np.ascontiguousarray(found[key].transpose(0, 3, 1, 2))
    return found | {"mean": np.array(IMAGENET_MEAN), "std": np.array(IMAGENET_STD)}


SETS = {"fashion": fashion, "cifar": cifar}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sets", nargs="*", choices=[*SETS, []], help="all, if none is named")
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name in parser.parse_args().sets or SETS:
        np.savez(IMAGES / f"{name}.npz", allow_pickle=False, **SETS[name]())


def _idx(name: str, kind: str) -> np.ndarray:
    with gzip.open(data(f"fashion-mnist/{name}")) as file:
        return np.frombuffer(file.read(), np.uint8, offset=IDX_HEADER[kind])


if __name__ == "__main__":
    main()
