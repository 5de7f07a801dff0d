"""Removes what exporters put around Softmax in attention and what does nothing there.

Cases: Add of a mask that is 0 everywhere: a constant, or Where whose condition is the same everywhere, also behind
       Expand; Where(IsNaN(p), 0, p) behind p = Softmax(...) where no query can be without keys: its scores are a
       product of two activations, to which nothing is added, or a mask that is finite, or a constant mask without a
       row of -inf.
Left:  masks that hang on an input and have -inf, masks of other sizes than the scores, products that overflow: their
       NaN would be 0 with the guard.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from squeeze.graph.nan_guard import nan_guard
from squeeze.graph.values import constant, is_op, producer, replace

_FINITE = np.finfo(np.float32)
# A way to a constant is not longer.
_DEEPEST = 8


def drop_idle_masks(model: ir.Model) -> bool:
    """True when something was removed."""
    changed = False
    for softmax in tuple(model.graph):
        if not is_op(softmax, "Softmax"):
            continue
        masked = _masked(softmax.inputs[0])
        if masked is not None and _everywhere(masked[1]) == 0 and _is_within(masked[1], masked[0]):
            softmax.replace_input_with(0, masked[0])
            changed = True
        guard = nan_guard(softmax)
        if guard is not None and _has_keys(softmax.inputs[0]):
            replace(guard.outputs[0], softmax.outputs[0])
            changed = True
    return changed


def _masked(value: ir.Value | None) -> tuple[ir.Value, ir.Value] | None:
    """The scores and the mask that are added up to `value`, or None."""
    add = producer(value, "Add")
    if add is None:
        return None
    sides = [(a, b) for a, b in (add.inputs, add.inputs[::-1]) if _is_score(a)]
    if len(sides) != 1:
        return None
    ((scores, mask),) = sides
    return None if scores is None or mask is None else (scores, mask)


def _is_score(value: ir.Value | None) -> bool:
    """Whether it is a product of two activations, or a multiple of one."""
    scale = producer(value, "Mul", "Div")
    if scale is not None and (number := constant(scale.inputs[1])) is not None and number.size == 1:
        value = scale.inputs[0]
    product = producer(value, "MatMul")
    return product is not None and all(constant(v) is None for v in product.inputs)


def _everywhere(value: ir.Value | None, depth: int = 0) -> float | None:
    """The number that all elements of `value` are, or None."""
    found = constant(value)
    if found is not None:
        same = found.size > 0 and bool((found == found.flat[0]).all())
        return float(found.flat[0]) if same else None
    node = None if value is None else value.producer()
    if node is None or depth == _DEEPEST:
        return None
    if is_op(node, "Expand", "Identity", "Reshape", "Unsqueeze"):
        return _everywhere(node.inputs[0], depth + 1)
    if is_op(node, "Where"):
        condition = _everywhere(node.inputs[0], depth + 1)
        if condition is not None:
            return _everywhere(node.inputs[1 if condition else 2], depth + 1)
    return None


def _is_within(mask: ir.Value, scores: ir.Value) -> bool:
    """Whether the sum of both has the shape of the scores. The first axis is the samples', which both have."""
    if mask.shape is None or scores.shape is None or len(mask.shape) > len(scores.shape):
        return False
    sizes = list(scores.shape)[len(scores.shape) - len(mask.shape) :]
    first = len(mask.shape) == len(scores.shape)
    pairs = list(zip(mask.shape, sizes, strict=True))[1 if first else 0 :]
    return all(a == 1 or (isinstance(a, int) and a == b) for a, b in pairs)


def _has_keys(value: ir.Value | None) -> bool:
    """Whether no row of these scores can be -inf all along."""
    masked = _masked(value)
    if masked is None:
        return _is_score(value)
    mask = masked[1]
    found = constant(mask)
    if found is not None:
        return found.ndim > 0 and bool((found.max(axis=-1) >= _FINITE.min).all())
    where = producer(mask, "Where")
    if where is None:
        return False
    sides = [constant(v) for v in where.inputs[1:]]
    return all(side is not None and bool(np.isfinite(side).all()) for side in sides)
