"""Tables of embeddings in few bits, where a file has the operators of CodebookGather's body and not our node.

(levels of what Gather(codes, ids) holds) * Gather(scales, ids)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from squeeze.ops.signatures import GATHERS, PLANES


@dataclass(frozen=True)
class CodeTable:
    """codes: the tables of bytes, the one of the lower bits first; levels: [2^bits]; scales: [rows, 1]; read: names of
    all constants that are read for a row."""

    bits: int
    codes: tuple[TensorProto, ...]
    levels: TensorProto
    scales: TensorProto
    read: frozenset[str]

    @property
    def numbers(self) -> int:
        """How many the table has."""
        return int(math.prod(self.codes[0].dims)) * 8 // PLANES[self.bits][0]


def code_tables(graph: onnx.GraphProto, tensors: Mapping[str, TensorProto]) -> dict[str, CodeTable]:
    """Those of `graph`, by the names of the products that make their rows."""
    producers = {output: node for node in graph.node for output in node.output}
    found: dict[str, CodeTable] = {}
    for node in graph.node:
        table = code_table(node, producers, tensors)
        if table is not None:
            found.update(dict.fromkeys(node.output, table))
    return found


def code_table(
    product: onnx.NodeProto,
    producers: Mapping[str, onnx.NodeProto],
    tensors: Mapping[str, TensorProto],
) -> CodeTable | None:
    """The table whose rows `product`, a Mul, makes; None of any other. producers: the node of each value."""
    if product.op_type != "Mul" or len(product.input) != 2:
        return None
    scale = producers.get(product.input[1])
    scales = _table_of(scale, tensors, TensorProto.FLOAT)
    if scale is None or scales is None or list(scales.dims[1:]) != [1]:
        return None
    ids = scale.input[1]
    codes: dict[str, TensorProto] = {}
    levels: dict[str, TensorProto] = {}
    seen: set[str] = {product.input[1]}
    read = {scales.name}
    waiting = [product.input[0]]
    while waiting:
        name = waiting.pop()
        node = producers.get(name)
        read |= {name} & tensors.keys()
        if node is None or name in seen or name == ids:
            continue
        seen.add(name)
        waiting += node.input
        if (bytes_ := _table_of(node, tensors, TensorProto.UINT8)) and node.input[1] == ids:
            codes[bytes_.name] = bytes_
        elif (numbers := _table_of(node, tensors, TensorProto.FLOAT)) and len(numbers.dims) == 1:
            levels[numbers.name] = numbers
    found = sorted(codes.values(), key=lambda table: -table.dims[-1])
    if len(levels) != 1:
        return None
    (points,) = levels.values()
    bits = int(points.dims[0]).bit_length() - 1
    rows = {table.dims[0] for table in found}
    if bits not in GATHERS or len(found) != len(PLANES[bits]) or rows != {scales.dims[0]}:
        return None
    return CodeTable(bits, tuple(found), points, scales, frozenset(read))


def _table_of(
    node: onnx.NodeProto | None, tensors: Mapping[str, TensorProto], dtype: int
) -> TensorProto | None:
    """The constant of this type that a Gather looks up in."""
    if node is None or node.op_type != "Gather" or node.domain or len(node.input) != 2:
        return None
    table = tensors.get(node.input[0])
    return table if table is not None and table.data_type == dtype and table.dims else None
