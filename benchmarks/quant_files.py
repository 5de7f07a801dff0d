"""The files of the quantisation benchmark: what training left in arrays, and post-training quantisation, as ONNX files.

Each file is written once into a folder that is kept, so that a run that was cut off goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from benchmarks.cases import ROOT, data
from benchmarks.feeds import passes_of
from squeeze import export, graph, quant
from squeeze.quant.insert import Codes
from squeeze.spec import QuantPart

STRUCTURES = ROOT / "build/bench/qat"
IMAGES = ROOT / "build/bench/qatdata"
# The newest training first; what it lacks comes from the older one.
TRAINED = (
    ROOT / "build/bench/qat-device",
    ROOT / "build/bench/qat-float",
    ROOT / "build/bench/qat-cpu",
)
FILES = ROOT / "build/bench/quantised"
SAMPLES = 512
TEACHERS = {
    "cifar": "teachers-cifar10/resnet56_jpeg.onnx",
    "fashion": "teacher-fashion/fashion_resnet.onnx",
}

Array = NDArray[np.generic]
Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Set:
    """Images as a teacher takes them: float32 [n, c, h, w]."""

    calibration: Array
    test: Array
    labels: Array


@dataclass(frozen=True)
class Given:
    """What training left of one network; arrays by their names without the network's."""

    name: str
    facts: Json
    arrays: dict[str, Array]

    @property
    def grids(self) -> dict[str, tuple[float, int]]:
        """Scale and zero point of each activation."""
        found = json.loads(bytes(self.arrays["grids"]))
        return {root: (scale, zero) for root, (scale, zero) in found.items()}


def domain(network: str) -> str:
    """Which images a network is for."""
    return "fashion" if network.startswith("fashion") else "cifar"


def teacher_path(network: str) -> Path:
    """The teacher of a network. Raises MissingData."""
    return data(TEACHERS[domain(network)])


@cache
def images(name: str) -> Set:
    """The set "cifar" or "fashion"."""
    with np.load(IMAGES / f"{name}.npz") as z:
        mean, std = (z[k].reshape(1, -1, 1, 1) for k in ("mean", "std"))

        def normal(x: NDArray[np.uint8]) -> Array:
            return np.asarray((x / 255 - mean) / std, np.float32)

        return Set(normal(z["x_train"][:SAMPLES]), normal(z["x_test"]), z["y_test"])


def trained() -> dict[str, Given]:
    """All networks that were trained: `network/method/bits/seed` -> what is left of it."""
    found: dict[str, dict[str, Array]] = {}
    for folder in TRAINED:
        here: dict[str, dict[str, Array]] = {}
        for path in sorted(folder.glob("*.npz")):
            with np.load(path) as z:
                for key in z.files:
                    parts = key.split("/", 4)
                    here.setdefault("/".join(parts[:4]), {})[parts[4]] = z[key]
        found = {**here, **found}
    return {
        name: Given(name, json.loads(bytes(arrays["facts"])), arrays)
        for name, arrays in found.items()
    }


def float_file(given: Given) -> Path:
    """The float student, normalisation folded."""
    import torch

    from squeeze.train.quantised.door import to_float
    from squeeze.train.quantised.network import QuantNetwork
    from squeeze.train.quantised.plan import plan

    def made() -> ir.Model:
        model = graph.load(STRUCTURES / f"{given.facts['network']}.onnx")
        network = QuantNetwork(export.from_ir(model)[0], plan(model))
        state = {
            key.removeprefix("state/"): torch.from_numpy(value.copy())
            for key, value in given.arrays.items()
            if key.startswith("state/")
        }
        network.load_state_dict(state)
        return without_unused(to_float(model, network.eval()))

    return _written(given.name, made)


def trained_file(given: Given) -> Path:
    """A student that was trained at quantised weights, lowered."""
    return _written(given.name, lambda: lowered(_quantised(given)))


def reference_file(given: Given) -> Path:
    """The same integers and grids in Q/DQ form: without a runtime's optimisations, float32 arithmetic on them."""
    return _written(f"{given.name}/qdq", lambda: _quantised(given))


def _quantised(given: Given) -> ir.Model:
    from squeeze.train.quantised.door import Trained, to_qdq

    codes = {
        key.removeprefix("integers/"): Codes(
            np.asarray(integers, np.int8),
            np.asarray(given.arrays[key.replace("integers", "scales", 1)], np.float32),
            np.asarray(given.arrays[key.replace("integers", "bias", 1)], np.float64),
        )
        for key, integers in given.arrays.items()
        if key.startswith("integers/")
    }
    model = graph.load(STRUCTURES / f"{given.facts['network']}.onnx")
    return to_qdq(model, Trained(codes, given.grids), "uint8")


def post_training_file(
    source: Path, name: str, calibration: Array, bits: int, *, adaround: bool
) -> Path:
    """A float file at `bits`, first and last layer at 8, lowered."""

    def made() -> ir.Model:
        model = graph.load(source)
        found = quant.quantize(
            model,
            passes_of(model, calibration),
            activations="uint8",
            part=QuantPart(samples=len(calibration), adaround=adaround),
            reduce_range=True,
            bits=bits,
        )
        return lowered(found.model)

    return _written(name, made)


def lowered(model: ir.Model) -> ir.Model:
    """With our int8 ops and packed codes, compact."""
    small, _ = graph.lower(model)
    graph.compact(small)
    return small


def without_unused(model: ir.Model) -> ir.Model:
    """Without the constants that nothing reads; changes `model`."""
    RemoveUnusedNodesPass()(model)
    return model


def _written(name: str, made: Callable[[], ir.Model]) -> Path:
    path = FILES / f"{name.replace('/', '-')}.onnx"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        graph.save(made(), path)
    return path
