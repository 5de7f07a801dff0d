"""Which node of the ONNX file an operator of its .tflite file is from, by the tensor that it makes.

    Conv -> c -> Relu -> r -> Q -> DQ      ->      CONV_2D that makes r, with the relu inside: it is the Conv

Tensors are called as the nodes that make them, or as in the ONNX file, where there are several of a name with a number
behind it. A compiler's own steps carry a tensor's name and more: 'y_softmax_3' is from y.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from squeeze.runtimes.tflite_file import is_tflite

# What an operator in front of them takes in; one of their own has these names in a .tflite file or in vela's table.
_TAKEN_IN = frozenset({"Clip", "DequantizeLinear", "Identity", "QuantizeLinear", "Relu"})
_THEIR_OWN = ("dequantize", "maximum", "minimum", "quantize", "relu")


@dataclass(frozen=True)
class _Maker:
    node: str
    op: str
    input: str


@dataclass(frozen=True)
class NodeNames:
    """Of one ONNX file; of none where the .tflite file is all that is known."""

    nodes: frozenset[str]
    makers: dict[str, _Maker]

    def of(self, tensor: str, op: str) -> str:
        """The node behind the operator `op` that makes `tensor`; the tensor's name where there is none with a name."""
        for end in range(len(tensor), 0, -1):
            if end == len(tensor) or tensor[end] in "_/:;":
                if tensor[:end] in self.nodes:
                    return tensor[:end]
                if tensor[:end] in self.makers:
                    return self._maker(tensor[:end], op).node or tensor
        return tensor

    def _maker(self, value: str, op: str) -> _Maker:
        maker = self.makers[value]
        if not op.lower().startswith(_THEIR_OWN):
            while maker.op in _TAKEN_IN and maker.input in self.makers:
                maker = self.makers[maker.input]
        return maker


NAMELESS = NodeNames(frozenset(), {})


def node_names(model: Path) -> NodeNames:
    """Of a file that was read before, so that it is a model; a .tflite file has no nodes."""
    if is_tflite(model):
        return NAMELESS
    graph = onnx.load(model, load_external_data=False).graph
    return NodeNames(
        frozenset(node.name for node in graph.node if node.name),
        {
            value: _Maker(node.name, node.op_type, node.input[0] if node.input else "")
            for node in graph.node
            for value in node.output
            if value
        },
    )
