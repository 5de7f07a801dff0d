"""CodebookGather2, 3 and 4: rows of an embedding table in codes of 2, 3 or 4 bits, times a scale of each row.

    CodebookGather4(ids, codes, levels, scales) -> y            y[..., i] = levels[code i of row id] * scales[id]
    CodebookGather2(ids, codes, levels, scales) -> y
    CodebookGather3(ids, codes, high_codes, levels, scales) -> y

ids: int32 or int64, rank 0 to 7, from -rows to rows - 1 as in Gather; codes: uint8 [rows, n / parts], where a byte has
2 parts of 4 bits, else 4; levels: float32 [2^bits]; scales: float32 [rows, 1]; y: float32 [..., n]. Byte j of a row
holds codes j, j + n / parts, j + 2 n / parts, ..., the first in its lowest bits: what is taken out of all bytes at once
lies side by side. Of 3 bits the lower two are there; bits p and 4 + p of byte j in high_codes, uint8 [rows, n / 8], are
the third bits of code p of bytes j and j + n / 8.

The body has a table of the level that each byte stands for, for each part. GatherElements reads it: the runtime's
Gather copies number by number and takes eight times as long. The tables depend on constants alone, and the runtime
makes them when it loads the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.ops.body import AXIS_0, Body
from squeeze.ops.signatures import GATHERS, PLANES, SIGNATURES

LAST_AXIS = (ir.AttrInt64("axis", -1),)


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
    """The tables of codes for `indices` [rows, n]; n has to fill whole bytes of each."""
    rows, low = len(indices), _low(bits)
    columns = indices.reshape(rows, 8 // low, -1)  # [rows, parts, n / parts]
    found = [_joined((columns & ((1 << low) - 1)).astype(np.uint8), low)]
    if bits == 3:
        halves = (columns >> low).astype(np.uint8).reshape(rows, 8 // low, 2, -1).swapaxes(1, 2)
        found.append(_joined(halves.reshape(rows, 8, -1), 1))
    return found


def unpacked(planes: Sequence[NDArray[np.uint8]], bits: int) -> NDArray[np.uint8]:
    """The indices [rows, n] that are `packed` in these tables."""
    low = _low(bits)
    found = _columns(planes[0], low)
    if bits == 3:
        rows, n = found.shape
        # Bits p and 4 + p of byte j are of code p of bytes j and j + n / 8.
        thirds = _columns(planes[1], 1).reshape(rows, 2, 4, -1).swapaxes(1, 2)
        found = found | thirds.reshape(rows, n) << low
    return found


def gathered(body: Body, bits: int, opset: int) -> ir.Value:
    """The rows, of what `body` has under the names of the inputs; the node that makes them is the last."""
    low = _low(bits)
    codes = body.add("Gather", "codes", "ids", attributes=AXIS_0)
    shape = body.add("Shape", codes)
    index = _whole(body, codes)
    if bits == 3:
        index = body.add("Add", index, _third_bits(body, opset))
    each = _flat(body, index)
    columns = []
    for part in range(8 // low):
        places = _whole(body, body.constant(_part(part, low)))
        if bits == 3:  # a place has the lower bits, and above them the third ones of all parts
            thirds = (np.arange(16, dtype=np.int32)[:, None] >> part & 1) << low
            places = body.add("Add", places, body.constant(thirds))
        table = body.add("Gather", "levels", places, attributes=AXIS_0)
        table = _flat(body, table) if bits == 3 else table
        columns.append(_shaped(body, _taken(body, table, each), shape, opset))
    real = body.add("Concat", *columns, attributes=LAST_AXIS)
    return body.add("Mul", real, body.add("Gather", "scales", "ids", attributes=AXIS_0))


def _function(bits: int, domain: str, opset: int) -> ir.Function:
    name = GATHERS[bits]
    body = Body(SIGNATURES[name].names)
    return body.function(name, domain, opset, gathered(body, bits, opset))


def _low(bits: int) -> int:
    """Of `bits` those that are in codes."""
    return PLANES[bits][0]


def _joined(columns: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """[rows, parts, k] of so many bits as bytes [rows, k]."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    joined: NDArray[np.uint8] = np.bitwise_or.reduce(columns << shifts, axis=1)
    return joined


def _columns(table: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Bytes [rows, k] as [rows, parts * k] of so many bits, all first parts first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    parts: NDArray[np.uint8] = table[:, None, :] >> shifts & np.uint8((1 << bits) - 1)
    return parts.reshape(len(table), -1)


def _part(part: int, bits: int) -> NDArray[np.uint8]:
    """The code that each byte has there, [256]."""
    every = np.arange(256, dtype=np.uint8)
    return ((every >> (part * bits)) & ((1 << bits) - 1)).astype(np.uint8)


def _third_bits(body: Body, opset: int) -> ir.Value:
    """For each byte of codes the third bits of its four numbers, times 256."""
    high = body.add("Gather", "high_codes", "ids", attributes=AXIS_0)
    shape = body.add("Shape", high)
    each = _flat(body, _whole(body, high))
    halves = []
    for part in range(2):
        bits = _whole(body, body.constant(_part(part, 4)))
        table = body.add("Mul", bits, body.constant(np.array(256, np.int32)))
        halves.append(_shaped(body, _taken(body, table, each), shape, opset))
    return body.add("Concat", *halves, attributes=LAST_AXIS)


def _whole(body: Body, value: ir.Value) -> ir.Value:
    """As numbers that are places to the runtime."""
    return body.add("Cast", value, attributes=[ir.AttrInt64("to", int(ir.DataType.INT32))])


def _taken(body: Body, table: ir.Value, places: ir.Value) -> ir.Value:
    return body.add("GatherElements", table, places, attributes=AXIS_0)


def _flat(body: Body, value: ir.Value) -> ir.Value:
    return body.add("Reshape", value, body.constant(np.array([-1], np.int64)))


def _shaped(body: Body, flat: ir.Value, shape: ir.Value, opset: int) -> ir.Value:
    # Sizes of 0 are those of what has no ids; before this opset a Reshape does not know them.
    allowed = [ir.AttrInt64("allowzero", 1)] if opset >= 14 else []
    return body.add("Reshape", flat, shape, attributes=allowed)
