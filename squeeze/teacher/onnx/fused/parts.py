"""The standard nodes that stand for one fused node: built here, with names that nobody else has.

What several fused nodes compute alike, such as the mask of all layers, is there once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    import onnx
    from numpy.typing import NDArray

    Array = NDArray[Any]  # Any: of any element type

_SHARED = 64  # values of a constant that is looked for among others


class Kept(Exception):
    """A node stays as it is; the message says why, in a few words."""


@dataclass(frozen=True)
class Seen:
    """A value as it was in a run of one sample."""

    shape: tuple[int, ...]
    kind: str  # of its numbers, as NumPy has it: "f", "i", "b"


class Parts:
    """What becomes of `node`. seen: values that were asked for. stored: the graph's stored tensors, by name. made:
    values that the nodes before it made, by what makes them."""

    def __init__(
        self,
        node: onnx.NodeProto,
        stored: Mapping[str, onnx.TensorProto],
        seen: Mapping[str, Seen],
        made: Mapping[Hashable, str],
    ) -> None:
        self.node, self.seen = node, seen
        self.made = dict(made)
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self._stored = stored
        self._attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}

    def given(self, index: int) -> str | None:
        """The name of an input; None where it is left out."""
        return self.node.input[index] or None if index < len(self.node.input) else None

    def wanted(self, index: int) -> str | None:
        """The name of an output; None where it is left out."""
        return self.node.output[index] or None if index < len(self.node.output) else None

    def attribute(self, name: str, default: Any) -> Any:  # Any: of whatever type the attribute has
        """Its value, or what the runtime takes where it is not there."""
        return self._attributes.get(name, default)

    def shape(self, index: int) -> tuple[int, ...]:
        """Of an input that was asked for."""
        return self.seen[str(self.given(index))].shape

    def contents(self, name: str | None) -> Array | None:
        """The values of a stored tensor; None for what is computed."""
        tensor = self._stored.get(name or "")
        return None if tensor is None else numpy_helper.to_array(tensor)

    def constant(self, values: Array | float | list[int]) -> str:
        """The name of a stored tensor; Python's integers are int64, its floats float32."""
        array = np.asarray(values)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        key = ("", array.dtype.str, array.shape, array.tobytes())
        if array.size <= _SHARED and key in self.made:
            return self.made[key]
        name = self._name("constant", len(self.tensors))
        self.made[key] = name
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def op(
        self,
        op_type: str,
        *inputs: str | None,
        output: str | None = None,
        **attributes: Any,  # Any: of whatever type the attribute has
    ) -> str:
        """Adds a node and gives its output, called `output` where that is said."""
        key = (op_type, inputs, *((n, str(v)) for n, v in sorted(attributes.items())))
        if output is None and key in self.made:
            return self.made[key]
        name = output or self._name(op_type, len(self.nodes))
        self.made[key] = name
        made = helper.make_node(op_type, [i or "" for i in inputs], [name], **attributes)
        made.name = self._name(op_type, len(self.nodes))
        self.nodes.append(made)
        return name

    def plus(self, value: str, *others: str | None) -> str:
        """`value` and those of the others that there are, added one after the other."""
        for other in others:
            if other is not None:
                value = self.op("Add", value, other)
        return value

    def _name(self, kind: str, index: int) -> str:
        return f"{self.node.output[0]}/{kind.lower()}_{index}"
