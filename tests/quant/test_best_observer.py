"""Ranges by what comes out: rare large values stay where the output is made of them, are cut where they are noise."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from squeeze import graph, quant, runtimes
from squeeze.quant.prepared import TRIED
from squeeze.spec import QuantPart
from tests.feeds import passes_of
from tests.graph.small import Array, floats, model, node

WIDTH = 32


def samples(largest: float) -> Array:
    """Normal numbers, and a large one among 16,384."""
    x = floats(512, WIDTH, seed=3)
    x[0, 1] = largest
    return x


def detector() -> ir.Model:
    """Answers to large numbers alone, as the score of a detector does."""
    nodes = [
        node("MatMul", ["x", "a"], ["h"]),
        node("Add", ["h", "threshold"], ["t"]),
        node("Relu", ["t"], ["r"]),
        node("MatMul", ["r", "b"], ["y"]),
    ]
    weights = {
        "a": np.eye(WIDTH, dtype=np.float32),
        "threshold": np.float32([-20.0]),
        "b": floats(WIDTH, 4, seed=1),
    }
    return model(nodes, weights, (WIDTH,))


def squashing() -> ir.Model:
    """Answers to small differences: beyond 3 nothing changes any more."""
    nodes = [
        node("MatMul", ["x", "a"], ["h"]),
        node("Clip", ["h", "least", "most"], ["c"]),
        node("MatMul", ["c", "b"], ["y"]),
    ]
    weights = {
        "a": np.eye(WIDTH, dtype=np.float32),
        "least": np.float32(-3),
        "most": np.float32(3),
        "b": floats(WIDTH, 4, seed=1),
    }
    return model(nodes, weights, (WIDTH,))


def made(found: ir.Model, x: Array, observer: str) -> quant.Quantised:
    part = QuantPart(observer=observer, bias_correction=False, smooth=False)  # type: ignore[arg-type]
    return quant.quantize(
        found, passes_of(found, x), activations="uint8", part=part, reduce_range=True
    )


def error(found: ir.Model, x: Array, observer: str) -> float:
    wanted, got = (
        runtimes.run(runtimes.session(graph.to_bytes(one)), x)
        for one in (found, made(found, x, observer).model)
    )
    return float(np.sqrt(((got - wanted) ** 2).mean()))


@pytest.mark.parametrize("largest", [30.0, 300.0])
@pytest.mark.parametrize("network", [detector, squashing])
def test_best_is_as_near_as_the_nearest(network: type, largest: float) -> None:
    found, x = network(), samples(largest)
    errors = {observer: error(found, x, observer) for observer in TRIED}
    assert error(found, x, "best") <= 1.1 * min(errors.values())
    assert max(errors.values()) > 1.5 * min(errors.values())


def test_the_note_names_the_observer_that_was_chosen() -> None:
    found = detector()
    note = next(n for n in made(found, samples(300.0), "best").notes if n.name == "int8 placement")
    assert any(f"by {observer}" in note.why for observer in TRIED)
