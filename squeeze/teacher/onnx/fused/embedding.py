"""EmbedLayerNormalization: the rows of words, places and types, added and normalised; and the length of each text.

The length is the number of ones in the mask, 0 without one. The places are 0, 1, ... where none are given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

if TYPE_CHECKING:
    from squeeze.teacher.onnx.fused.parts import Parts

_EPSILON = 1e-12


def embed_layer_normalization(parts: Parts) -> None:
    """Inputs: ids, types, table of words, of places, of types, gamma, beta, mask, places. Outputs: y, lengths, sum."""
    ids, types = str(parts.given(0)), parts.given(1)
    words = parts.op("Gather", parts.given(2), ids)
    places = _places(parts, ids)
    rows = parts.op("Gather", parts.given(4), types) if types and parts.given(4) else None
    total = parts.plus(words, rows)
    total = parts.op("Add", total, places, output=parts.wanted(2))
    parts.op(
        "LayerNormalization",
        *(total, parts.given(5), parts.given(6)),
        output=parts.wanted(0),
        axis=-1,
        epsilon=parts.attribute("epsilon", _EPSILON),
    )
    if parts.wanted(1):
        _lengths(parts, ids)


def _places(parts: Parts, ids: str) -> str:
    """The rows of the places that are given, or of 0 .. t - 1 of ids [n, t]."""
    table, given = parts.given(3), parts.given(8)
    if given is not None:
        return parts.op("Gather", table, given)
    # The runtime makes a Slice that it then refuses of Gather by Range.
    zero, length = parts.constant([0]), parts.op("Shape", ids, start=1, end=2)
    return parts.op("Slice", table, zero, length, zero)


def _lengths(parts: Parts, ids: str) -> None:
    """[n] int32."""
    mask = parts.given(7)
    axis = parts.constant([1])
    if mask is None:
        zeros = parts.op("Mul", ids, parts.constant(np.asarray(0, np.int32)))
        parts.op("ReduceSum", zeros, axis, output=parts.wanted(1), keepdims=0)
        return
    ones = parts.op("Equal", mask, parts.constant(np.asarray(1, np.int32)))
    counted = parts.op("Cast", ones, to=TensorProto.INT32)
    parts.op("ReduceSum", counted, axis, output=parts.wanted(1), keepdims=0)
