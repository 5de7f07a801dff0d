"""Runs the passes over a float graph until none finds work, and checks after each that all outputs stayed.

The check runs ONNX Runtime with its own optimisations off, so that a defect of ours is not hidden by them, for one
sample and, where the model takes any number, for two at once.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from squeeze import runtimes
from squeeze.errors import MeasureError, PassError
from squeeze.feed import joined, part
from squeeze.graph.files import to_bytes
from squeeze.graph.passes import PASSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squeeze.feed import Array, Feed
    from squeeze.interface import Interface

logger = logging.getLogger(__name__)

# Folding changes the order of float32 sums; as a share of the largest number of an output.
RELATIVE_TOLERANCE = 1e-4
ABSOLUTE_TOLERANCE = 1e-6
# What such a change may tip over, where an output of integers is decided by which of two numbers is larger.
INTEGERS_CHANGED = 1e-3
MAX_ROUNDS = 5


def optimise(model: ir.Model, feed: Feed, interface: Interface) -> list[str]:
    """Rewrites `model` in place and returns the names of the passes that changed something, in order, each once.

    feed: one sample or more, of which the first is tried. A second call on the result changes nothing. Raises
    PassError, with the passes that ran before, when a pass breaks the graph, changes an output by more than 1e-4 of its
    largest number (by its last digit for half precision), or more than one in a thousand of the elements of an output
    of integers.
    """
    expected = _outputs(model, feed, interface)
    history: list[str] = []
    for _ in range(MAX_ROUNDS):
        changed = [name for name in PASSES if _run(name, model, feed, interface, expected, history)]
        if not changed:
            break
    return list(dict.fromkeys(history))


def _run(
    name: str,
    model: ir.Model,
    feed: Feed,
    interface: Interface,
    expected: Mapping[str, Array],
    history: list[str],
) -> bool:
    ShapeInferencePass(data_prop=True)(model)
    if not PASSES[name](model):
        return False
    after = f"after {', '.join(history)}" if history else "as the first pass"
    try:
        got = _outputs(model, feed, interface)
    except MeasureError as e:
        raise PassError(f"pass {name}, {after}: the graph is no longer valid: {e}") from e
    for output, wanted in expected.items():
        if why := _changed(wanted, got[output]):
            raise PassError(f"pass {name}, {after}: output '{output}' {why}")
    history.append(name)
    logger.info("pass %s changed the graph; its outputs stayed", name)
    return True


def _changed(expected: Array, got: Array) -> str | None:
    """What is wrong with `got`; None when it is as near to `expected` as it must be."""
    if (got.shape, got.dtype) != (expected.shape, expected.dtype):
        return f"is {got.dtype} {list(got.shape)}, it was {expected.dtype} {list(expected.shape)}"
    same = (got == expected) | ((got != got) & (expected != expected))  # NaN is not itself
    if got.dtype.kind != "f":
        share = float(1 - same.mean()) if same.size else 0.0
        words = (
            f"changed in {100 * share:.3g} % of its elements, allowed {100 * INTEGERS_CHANGED:g} %"
        )
        return words if share > INTEGERS_CHANGED else None
    wide, wide_got = (np.where(same, 0, x).astype(np.float64) for x in (expected, got))
    difference = float(np.abs(wide_got - wide).max(initial=0.0))
    finite = np.where(np.isfinite(expected), expected, 0).astype(np.float64)
    share = max(RELATIVE_TOLERANCE, float(np.finfo(expected.dtype).eps))
    allowed = ABSOLUTE_TOLERANCE + share * float(np.abs(finite).max(initial=0.0))
    if difference <= allowed:
        return None
    return f"changed by {difference:.3g} at most, allowed {allowed:.3g}"


def _outputs(model: ir.Model, feed: Feed, interface: Interface) -> dict[str, Array]:
    """The outputs for the first sample alone and for it twice in one batch, [3, ...] each."""
    session = runtimes.session(to_bytes(model), optimise=False)
    one = part(feed, 0, 1)
    return joined(runtimes.infer(session, x, interface) for x in (one, joined([one, one])))
