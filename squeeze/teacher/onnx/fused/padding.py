"""The masks of the runtime's attention: what is added to the scores.

Cases: [n], the length of each text; [2 n], where each ends and begins; [3 n + 2], lengths and what packed texts need
       besides; [n, t] and [n, s, t], above 0 for what counts. What is left out gets mask_filter_value; in causal
       attention the keys behind a query get the lowest number instead.
Left:  masks of four axes, which the runtime does not compute either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from squeeze.teacher.onnx.fused.parts import Kept
from squeeze.teacher.onnx.fused.scores import LOWEST, no_later, places

if TYPE_CHECKING:
    from squeeze.teacher.onnx.fused.parts import Parts

_FILTER = -10_000.0


def added(parts: Parts, index: int, query: str, key: str, axis_of_key: int = 1) -> str | None:
    """[n, 1, 1 or s, t], or [s, t], of the mask that is input `index`; None where nothing is masked. The queries lie
    along axis 1."""
    mask = _padding(parts, index, key, axis_of_key) if parts.given(index) else None
    if not parts.attribute("unidirectional", 0):
        return mask
    causal = no_later(parts, query, key, 1, axis_of_key)
    seen = parts.constant(np.float32(0)) if mask is None else mask
    return parts.op("Where", causal, seen, parts.constant(np.float32(LOWEST)))


def _padding(parts: Parts, index: int, key: str, axis_of_key: int) -> str:
    mask, rank = str(parts.given(index)), len(parts.shape(index))
    if rank not in (1, 2, 3):
        raise Kept(f"a mask of {rank} axes")
    if rank == 1:
        counts = _within(parts, index, places(parts, key, axis_of_key))
    else:
        counts = parts.op("Greater", mask, parts.constant(np.asarray(0, np.int32)))
    wide = parts.op("Unsqueeze", counts, parts.constant([1] if rank == 3 else [1, 2]))
    left_out = parts.op("Cast", parts.op("Not", wide), to=TensorProto.FLOAT)
    filter_value = float(parts.attribute("mask_filter_value", _FILTER))
    return parts.op("Mul", left_out, parts.constant(filter_value))


def _within(parts: Parts, index: int, at: str) -> str:
    """[n, t]: which keys `at` [t] are within their text."""
    mask, (size,), samples = str(parts.given(index)), parts.shape(index), parts.shape(0)[0]
    numbers = parts.op("Cast", mask, to=TensorProto.INT64)
    if size == samples:
        return parts.op("Less", at, _column(parts, numbers))
    zero, count = parts.constant([0]), parts.op("Shape", parts.given(0), start=0, end=1)
    before_end = parts.op("Less", at, _column(parts, parts.op("Slice", numbers, zero, count, zero)))
    if size != 2 * samples:
        return before_end
    begins = parts.op("Slice", numbers, count, parts.constant([np.iinfo(np.int64).max]), zero)
    after_begin = parts.op("GreaterOrEqual", at, _column(parts, begins))
    return parts.op("And", before_end, after_begin)


def _column(parts: Parts, numbers: str) -> str:
    return parts.op("Unsqueeze", numbers, parts.constant([1]))
