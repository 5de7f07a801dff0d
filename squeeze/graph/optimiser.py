"""Runs the passes over a float graph until none finds work, and checks after each that the outputs stayed.

The check runs ONNX Runtime with its own optimisations off, so that a defect of ours is not hidden by them, for a
batch of one and, where the batch is dynamic, of two.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from squeeze import runtimes
from squeeze.errors import MeasureError, PassError
from squeeze.graph.files import to_bytes
from squeeze.graph.passes import PASSES

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

# Folding changes the order of float32 sums; as a share of the largest output.
RELATIVE_TOLERANCE = 1e-4
ABSOLUTE_TOLERANCE = 1e-6
MAX_ROUNDS = 5


def optimise(model: ir.Model, sample: NDArray[np.generic]) -> list[str]:  # sample: [n, ...]
    """Rewrites `model` in place and returns the names of the passes that changed something, in order, each once.

    A second call on the result changes nothing. Raises PassError, with the passes that ran before, when a pass breaks
    the graph or changes an output by more than 1e-4 of the largest one.
    """
    expected = _outputs(model, sample)
    history: list[str] = []
    for _ in range(MAX_ROUNDS):
        changed = [name for name in PASSES if _run(name, model, sample, expected, history)]
        if not changed:
            break
    return list(dict.fromkeys(history))


def _run(
    name: str,
    model: ir.Model,
    sample: NDArray[np.generic],
    expected: NDArray[np.float64],
    history: list[str],
) -> bool:
    ShapeInferencePass(data_prop=True)(model)
    if not PASSES[name](model):
        return False
    after = f"after {', '.join(history)}" if history else "as the first pass"
    try:
        got = _outputs(model, sample)
    except MeasureError as e:
        raise PassError(f"pass {name}, {after}: the graph is no longer valid: {e}") from e
    if got.shape != expected.shape:
        raise PassError(
            f"pass {name}, {after}: outputs have shape {got.shape}, they had {expected.shape}"
        )
    difference = float(np.abs(got - expected).max(initial=0.0))
    allowed = ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * float(np.abs(expected).max(initial=0.0))
    if not difference <= allowed:
        raise PassError(
            f"pass {name}, {after}: outputs changed by {difference:.3g} at most, allowed {allowed:.3g}"
        )
    history.append(name)
    logger.info("pass %s changed the graph; outputs within %.2g", name, difference)
    return True


def _outputs(model: ir.Model, sample: NDArray[np.generic]) -> NDArray[np.float64]:
    """The outputs for the first sample alone and for it twice in one batch, [3, ...]."""
    session = runtimes.session(to_bytes(model), optimise=False)
    one = sample[:1]
    runs = [runtimes.run(session, x) for x in (one, np.concatenate([one, one]))]
    return np.concatenate(runs).astype(np.float64)
