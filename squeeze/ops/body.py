"""Builds the function body of a native op: standard operators that the stock runtime fuses as it fuses a QDQ graph.

An input is given by its name, any other value by the ir.Value that add() returned. ONNX Runtime reads a body
with the opset of the model, so that is the opset it has to be built for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

OUTPUT = "y"
AXIS_0 = (ir.AttrInt64("axis", 0),)


class Body:
    """Nodes of one function body over the named `inputs`."""

    def __init__(self, inputs: Sequence[str]) -> None:
        self.inputs = {name: ir.Value(name=name) for name in inputs}
        self.nodes: list[ir.Node] = []

    def add(
        self, op_type: str, *inputs: ir.Value | str, attributes: Sequence[ir.Attr] = ()
    ) -> ir.Value:
        values = [self.inputs[v] if isinstance(v, str) else v for v in inputs]
        output = ir.Value(name=f"{op_type.lower()}_{len(self.nodes)}")
        self.nodes.append(ir.Node("", op_type, values, list(attributes), outputs=[output]))
        return output

    def constant(self, array: NDArray[Any]) -> ir.Value:  # Any: of any element type
        value = ir.AttrTensor("value", ir.tensor(array))
        return self.add("Constant", attributes=[value])

    def transpose(self, value: ir.Value | str, attribute: str) -> ir.Value:
        """`value` with its axes in the order of the op's attribute."""
        perm = ir.RefAttr("perm", attribute, ir.AttributeType.INTS)
        return self.add("Transpose", value, attributes=[perm])

    def dequantise(self, value: ir.Value | str, tensor: str) -> ir.Value:
        """`value` as float32, by the inputs `tensor`_scale and `tensor`_zero_point."""
        return self.add("DequantizeLinear", value, f"{tensor}_scale", f"{tensor}_zero_point")

    def quantise(self, value: ir.Value | str, tensor: str) -> ir.Value:
        """`value` in 8 bits, by the inputs `tensor`_scale and `tensor`_zero_point."""
        return self.add("QuantizeLinear", value, f"{tensor}_scale", f"{tensor}_zero_point")

    def references(self, kinds: Mapping[str, ir.AttributeType]) -> list[ir.Attr]:
        """Attributes of a node in the body that are attributes of the op, under the same name."""
        return [ir.RefAttr(key, key, kind) for key, kind in kinds.items()]

    def function(
        self,
        name: str,
        domain: str,
        opset: int,
        output: ir.Value,
        attributes: Mapping[str, ir.AttributeType] | None = None,
        words: str | None = None,
        further: Mapping[str, ir.Value] | None = None,
    ) -> ir.Function:
        """The finished body, with `output` as the op's y, the op's required `attributes`, and `words` for people.

        further: name -> value of outputs behind y, in order.
        """
        outputs = {OUTPUT: output, **(further or {})}
        for key, value in outputs.items():
            value.name = key
        graph = ir.Graph(
            list(self.inputs.values()),
            list(outputs.values()),
            nodes=self.nodes,
            opset_imports={"": opset},
            name=name,
            doc_string=words,
        )
        declared = [ir.Attr(key, kind, None) for key, kind in (attributes or {}).items()]
        return ir.Function(domain, name, graph=graph, attributes=declared)
