"""Detectors with SiLU or HardSwish, all int8: lowered to our operators, against the plain Q/DQ graph that they replace.

python -m benchmarks.detectors        results/detectors.json

`library` and `stock`: how many times as fast as the plain graph the lowered one is with our library and without, in
turns in one run, one thread. Nothing is kept in float for its accuracy here: it is the operators that are compared.
Networks: the sixth of $SQUEEZE_DATA/../cases, made by its script, and detectors that packages ship (`shipped_models`).
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from benchmarks import results_file
from benchmarks.browser import detector
from benchmarks.cases import MissingData
from benchmarks.interleave import alternate
from benchmarks.runners import OrtModel
from benchmarks.shipped_catalogue import MODELS
from benchmarks.shipped_packages import NotFetched
from squeeze import graph, quant, teacher
from squeeze.feed import Passes
from squeeze.graph.lower import lower
from squeeze.spec import QuantPart

RESULTS = Path(__file__).parent / "results" / "detectors.json"
SHIPPED = ("people-detector", "letter-detector")
SAMPLES, ROUNDS, TURN_US, MOST_CALLS = 16, 61, 20000.0, 15
Array = np.ndarray
Json = dict[str, Any]  # Any: JSON
logger = logging.getLogger(__name__)


def case() -> tuple[bytes, Array]:
    """The network and its samples. Raises MissingData."""
    with tempfile.TemporaryDirectory() as folder:
        model, samples = detector(Path(folder))
        return model.read_bytes(), np.load(samples)["x_train"][:SAMPLES].astype(np.float32)


def shipped(name: str) -> tuple[bytes, Array]:
    """Raises NotFetched."""
    model = MODELS[name]
    given = model.samples(np.random.default_rng(0), SAMPLES)
    feeds = [model.feed(given, i) for i in range(SAMPLES)]
    (taken,) = feeds[0]
    x = np.concatenate([feed[taken] for feed in feeds])
    proto = onnx.load(model.path())
    # Sizes that the file leaves open are those of the samples: all that are timed are given the same input.
    for dim, size in zip(
        proto.graph.input[0].type.tensor_type.shape.dim, (1, *x.shape[1:]), strict=True
    ):
        dim.dim_value = size
    return proto.SerializeToString(), x


def quantised(model: bytes, x: Array) -> bytes:
    """The plain int8 graph (Q/DQ nodes) that squeeze makes of a float one."""
    (name,) = (i.name for i in OrtModel(model, 1).session.get_inputs())
    feed = {name: x}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "float.onnx"
        path.write_bytes(model)
        taught = teacher.load(str(path), weights=None, example=feed, folder=Path(folder) / "taught")
        loaded = graph.load(taught.model)
        graph.optimise(loaded, {name: x[:1]}, taught.interface)
        passes = Passes(taught.interface, lambda: iter([feed]))
        part = QuantPart(samples=len(x), observer="minmax", bias_correction=False)
        made = quant.quantize(loaded, passes, activations="uint8", part=part)
    return graph.to_bytes(made.model)


def row(name: str, made: tuple[bytes, Array]) -> Json:
    """One interleaved run of the three."""
    plain = quantised(*made)
    lowered, _ = lower(ir.from_proto(onnx.load_from_string(plain)))
    data = graph.to_bytes(lowered)
    models = {
        "float": OrtModel(made[0], 1),
        "plain": OrtModel(plain, 1),
        "stock": OrtModel(data, 1),
        "library": OrtModel(data, 1, native=True),
    }
    turns = {
        n: partial(m.turn, int(np.clip(TURN_US / m.turn(1), 1, MOST_CALLS)))
        for n, m in models.items()
    }
    us: dict[str, Array] = {n: np.array(taken) for n, taken in alternate(turns, ROUNDS).items()}
    found: Json = {
        "case": name,
        "threads": 1,
        "rounds": ROUNDS,
        "float_us": round(float(np.median(us["float"])), 1),
        "plain_us": round(float(np.median(us["plain"])), 1),
    }
    for way in ("library", "stock"):
        for key, percent in ((way, 50), (f"{way}_p10", 10), (f"{way}_p90", 90)):
            found[key] = round(float(np.percentile(us["plain"] / us[way], percent)), 3)
    logger.info("%s", found)
    return found


def main() -> None:
    """Measures, writes the results."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logger.setLevel(logging.INFO)
    argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0]).parse_args()
    nets: dict[str, Callable[[], tuple[bytes, Array]]] = {
        "case-06": case,
        **{name: partial(shipped, name) for name in SHIPPED},
    }
    results_file.write(RESULTS, "python -m benchmarks.detectors", list(_rows(nets)))


def _rows(nets: dict[str, Callable[[], tuple[bytes, Array]]]) -> Iterator[Json]:
    for name, make in nets.items():
        try:
            yield row(name, make())
        except (MissingData, NotFetched) as e:
            logger.warning("%s: left out: %s", name, e)


if __name__ == "__main__":
    main()
