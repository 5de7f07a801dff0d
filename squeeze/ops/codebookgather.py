"""CodebookGather2, 3 and 4: rows of an embedding table in codes of 2, 3 or 4 bits, times a scale of each row.

    CodebookGather4(ids, codes, levels, scales) -> y                  y[..., i] = levels[code i of row id] * scales[id]
    CodebookGather2(ids, codes, levels, scales) -> y
    CodebookGather3(ids, codes, high_codes, levels, scales) -> y

ids: int32 or int64, rank 0 to 7, from -rows to rows - 1 as in Gather; codes: uint8 [rows, n * bits / 8]; levels:
float32 [2^bits]; scales: float32 [rows, 1]; y: float32 [..., n]. Code i of a row is its bits i * bits to i * bits +
bits - 1, least significant first. Of 3 bits the lower two are in codes [rows, n / 4], and the third is bit i of the row
in high_codes [rows, n / 8].

The body looks up all codes of a byte at once: what the runtime's Gather takes goes by the number of its copies. Its
tables of what each byte stands for depend on constants alone, and the runtime makes them when it loads the model.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.ops.body import AXIS_0, Body
from squeeze.ops.signatures import GATHERS, PLANES, SIGNATURES


def codebook_gather_2(domain: str, opset: int) -> ir.Function:
    """The body of CodebookGather2 in standard operators of `opset`."""
    return _function(2, domain, opset)


def codebook_gather_3(domain: str, opset: int) -> ir.Function:
    """The same for CodebookGather3."""
    return _function(3, domain, opset)


def codebook_gather_4(domain: str, opset: int) -> ir.Function:
    """The same for CodebookGather4."""
    return _function(4, domain, opset)


def packed(indices: NDArray[np.uint8], bits: int) -> list[NDArray[np.uint8]]:
    """The tables of codes for `indices` [rows, n], as many as PLANES has; n has to fill whole bytes of each."""
    found: list[NDArray[np.uint8]] = []
    rest = indices
    for low in PLANES[bits]:
        columns = (rest & ((1 << low) - 1)).reshape(len(rest), -1, 8 // low)
        found.append(np.bitwise_or.reduce(columns << _shifts(low), axis=-1).astype(np.uint8))
        rest = (rest >> low).astype(np.uint8)
    return found


def gathered(body: Body, bits: int) -> ir.Value:
    """The rows, of what `body` has under the names of the inputs; the node that makes them is the last."""
    low = PLANES[bits][0]
    codes = _whole(body, body.add("Gather", "codes", "ids", attributes=AXIS_0))
    places = _whole(body, body.constant(_columns(low)))
    shape = _shape(body, low)
    real = _spread(body, "levels", places, codes, shape)
    if bits == 3:
        upper = body.add("Add", places, body.constant(np.array(1 << low, np.int32)))
        real_upper = _spread(body, "levels", upper, codes, shape)
        high = _whole(body, body.add("Gather", "high_codes", "ids", attributes=AXIS_0))
        lasts = body.add(
            "Gather", body.constant(_columns(1).astype(np.bool_)), high, attributes=AXIS_0
        )
        real = body.add("Where", body.add("Reshape", lasts, shape), real_upper, real)
    return body.add("Mul", real, body.add("Gather", "scales", "ids", attributes=AXIS_0))


def _function(bits: int, domain: str, opset: int) -> ir.Function:
    name = GATHERS[bits]
    body = Body(SIGNATURES[name].names)
    return body.function(name, domain, opset, gathered(body, bits))


def _shifts(bits: int) -> NDArray[np.uint8]:
    return np.arange(0, 8, bits, dtype=np.uint8)


def _columns(bits: int) -> NDArray[np.uint8]:
    """The codes of `bits` that each byte holds, [256, 8 / bits]."""
    every = np.arange(256, dtype=np.uint8)[:, None]
    return ((every >> _shifts(bits)) & ((1 << bits) - 1)).astype(np.uint8)


def _whole(body: Body, value: ir.Value) -> ir.Value:
    """As numbers that Gather takes for places."""
    return body.add("Cast", value, attributes=[ir.AttrInt64("to", int(ir.DataType.INT32))])


def _shape(body: Body, bits: int) -> ir.Value:
    """That of the rows; not with a -1, which no runtime finds where there are no ids."""
    second = body.constant(np.array([1], np.int64))
    row_bytes = body.add("Gather", body.add("Shape", "codes"), second, attributes=AXIS_0)
    width = body.add("Mul", row_bytes, body.constant(np.array([8 // bits], np.int64)))
    return body.add("Concat", body.add("Shape", "ids"), width, attributes=AXIS_0)


def _spread(
    body: Body, levels: str, places: ir.Value, codes: ir.Value, shape: ir.Value
) -> ir.Value:
    """The levels at `places` [256, columns of a byte], for each byte of `codes`, as rows."""
    each = body.add("Gather", levels, places, attributes=AXIS_0)
    return body.add("Reshape", body.add("Gather", each, codes, attributes=AXIS_0), shape)
