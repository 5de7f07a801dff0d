"""Scores of attention, from Softmax back to the product of queries and keys.

Factors and quantisers on the way are left out, since Softmax is computed in float; a mask is read as it was rounded.
What a mask of large numbers does to the steps of scores is looked at: tools that quantise the sum of both count from
-3e38 to 0 in 255 steps, of which all scores are the last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from squeeze.graph.heads import may_be
from squeeze.graph.qdq import Refused, dequantised, real_constant
from squeeze.graph.requantised import quantiser
from squeeze.graph.values import constant, is_op, only_user, producer

# A step of this size changes a probability by a factor of 50.
COARSEST = 4.0


@dataclass(frozen=True)
class Scores:
    """`factor` times the product of queries and keys, and perhaps a mask; `lost` where all scores are rounded to 0."""

    product: ir.Node
    mask: ir.Value | None
    factor: float
    lost: bool


def scores_of(value: ir.Value | None) -> Scores:
    """What a Softmax reads. Raises Refused."""
    mask: ir.Value | None = None
    masked, value = value, _unquantised(value)
    add = producer(value, "Add")
    lost = False
    if add is not None and value is not None:
        sides = [(a, b) for a, b in (add.inputs, add.inputs[::-1]) if _is_product(a)]
        if len(sides) != 1 or only_user(value) is None:
            raise Refused("its scores are not a product and a mask")
        (scores, mask), shape = sides[0], value.shape
        if not _fits(mask, scores):
            of_mask = None if mask is None else mask.shape
            raise Refused(f"its mask {of_mask} does not fit the scores, {shape}")
        lost = _are_lost(masked, scores)
        value = scores
    value, factor = unscaled(value, quantised=True)
    product = producer(value, "MatMul")
    if product is None or value is None or only_user(value) is None:
        raise Refused("its scores are not a product of two activations, or are read elsewhere")
    return Scores(product, mask, factor, lost)


def _are_lost(masked: ir.Value | None, scores: ir.Value | None) -> bool:
    """Whether the quantisers of scores with their mask make 0 of all scores, as where a mask of -3e38 has set the
    steps. Raises Refused for steps that leave a little of them, and for steps that are no number."""
    lost = False
    while (quantise := quantiser(masked)) is not None:
        step = constant(quantise.inputs[1])
        if step is None or step.size != 1 or not np.isfinite(step).all():
            raise Refused(
                "its scores with their mask have steps that are no number, so that the file has no attention"
            )
        coarse = float(step.item())
        if coarse > COARSEST:
            if _reach(scores) >= coarse / 2:
                raise Refused(
                    f"its scores with their mask have steps of {coarse:.3g}, which leave little of scores"
                )
            lost = True
        masked = quantise.inputs[0]
    return lost


def _reach(scores: ir.Value | None) -> float:
    """No rounded score is further from 0."""
    found = None if quantiser(scores) is None else dequantised(scores)
    if found is None:
        return float("inf")
    return max(abs(found.grid.real(end)) for end in (found.grid.least, found.grid.most))


def _is_product(value: ir.Value | None) -> bool:
    return producer(unscaled(value, quantised=True)[0], "MatMul") is not None


def _fits(mask: ir.Value | None, scores: ir.Value | None) -> bool:
    """Whether each size of the mask is 1 or that of the scores, as far as they are known: whoever lowers a file runs
    it."""
    if mask is None or scores is None or mask.shape is None or scores.shape is None:
        return False
    if mask.dtype != ir.DataType.FLOAT or not len(mask.shape) <= len(scores.shape) == 4:
        return False
    sizes = list(scores.shape)[4 - len(mask.shape) :]
    pairs = zip(mask.shape, sizes, strict=True)
    return all(a == 1 or may_be(a, b) for a, b in pairs)


def _unquantised(value: ir.Value | None) -> ir.Value | None:
    """What stands before quantisers that nobody else reads: Softmax is computed in float, without them."""
    while value is not None and (made := quantiser(value)) is not None:
        if only_user(value) is None or only_user(made.outputs[0]) is None:
            break
        value = made.inputs[0]
    return value


def unscaled(value: ir.Value | None, *, quantised: bool = False) -> tuple[ir.Value | None, float]:
    """What `value` is a multiple of, and the factor; also through quantisers, where `quantised`."""
    factor = 1.0
    value = _unquantised(value) if quantised else value
    while value is not None and (node := producer(value, "Mul", "Div")) is not None:
        if only_user(value) is None:
            break
        number = real_constant(node.inputs[1])
        if number is None or number.size != 1 or number.ndim > 4 or not number.all():
            break
        factor *= 1 / float(number.item()) if is_op(node, "Div") else float(number.item())
        value = _unquantised(node.inputs[0]) if quantised else node.inputs[0]
    return value, factor
