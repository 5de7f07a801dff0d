"""How an ONNX file is quantised already, in words for people: which operators say so, and of what type they are.

Kinds, the first that fits: dynamic (activations while it runs), operators (QLinearConv and the like), weights (these
alone), wide (16-bit activations), qdq (QuantizeLinear and DequantizeLinear around 8-bit activations).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from onnx import TensorProto

from squeeze.teacher.onnx.external import all_nodes

if TYPE_CHECKING:
    import onnx

_DYNAMIC = {
    "ConvInteger",
    "ConvIntegerToFloat",
    "DynamicQuantizeLSTM",
    "DynamicQuantizeLinear",
    "DynamicQuantizeMatMul",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "QAttention",
    "QEmbedLayerNormalization",
}
_WEIGHTS = {"GatherBlockQuantized", "MatMulBnb4", "MatMulNBits"}
_OURS = {"QConv", "QGemm"}
_PAIR = {"QuantizeLinear", "DequantizeLinear"}
_WIDE: dict[int, str] = {TensorProto.INT16: "int16", TensorProto.UINT16: "uint16"}

Kind = Literal["dynamic", "operators", "qdq", "weights", "wide"]


@dataclass(frozen=True)
class Quantised:
    """`words` go behind the name of the file."""

    kind: Kind
    words: str


def how_quantised(model: onnx.ModelProto) -> Quantised | None:
    """How `model` is quantised; None for a float one. Functions that it brings along are not looked into."""
    nodes = list(all_nodes(model.graph))
    counts = Counter(node.op_type for node in nodes)

    def listed(*names: str) -> str:
        return ", ".join(f"{counts[name]} {name}" for name in sorted(names))

    if found := counts.keys() & _DYNAMIC:
        return Quantised(
            "dynamic",
            f"weights are already int8, and activations are quantised while it runs ({listed(*found)})",
        )
    if found := {op for op in counts if op.startswith("QLinear")} | counts.keys() & _OURS:
        return Quantised(
            "operators", f"is quantised already, in operator format ({listed(*found)})"
        )
    pair = counts.keys() & _PAIR
    if found := counts.keys() & _WEIGHTS:
        return Quantised("weights", f"only its weights are quantised already ({listed(*found)})")
    if not pair:
        return None
    constants = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    constants |= {
        node.output[0]: a.t.data_type
        for node in nodes
        if node.op_type == "Constant"
        for a in node.attribute
        if a.name == "value"
    }
    wide = {w for node in nodes if node.op_type in _PAIR and (w := _wide(node, constants))}
    if wide:
        return Quantised(
            "wide",
            f"is quantised already, with activations of 16 bits ({', '.join(sorted(wide))} QuantizeLinear)",
        )
    computed = [n for n in nodes if n.op_type == "QuantizeLinear" and n.input[0] not in constants]
    if not computed:
        return Quantised("weights", f"only its weights are quantised already ({listed(*pair)})")
    return Quantised("qdq", f"is quantised already ({listed(*pair)})")


def _wide(node: onnx.NodeProto, constants: dict[str, int]) -> str | None:
    """The 16-bit type that a quantiser makes or reads, or None."""
    given = [constants.get(name, 0) for name in node.input]
    given += [a.i for a in node.attribute if a.name == "output_dtype"]
    return next((_WIDE[kind] for kind in given if kind in _WIDE), None)
