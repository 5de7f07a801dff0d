"""A file being written: where each value of the ONNX graph is by now, and how an operator gets it as it needs it.

A value can be there in several forms: as floats or as int8 with `Params`, in one order of axes or another. `take` gives
the form that is asked for and writes QUANTIZE, DEQUANTIZE, TRANSPOSE or RESHAPE where it is not there yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from squeeze.errors import UnsupportedError
from squeeze.tflite.file import File
from squeeze.tflite.graph import Graph
from squeeze.tflite.layout import Axes, keeps_order, plain, wishes
from squeeze.tflite.node import Node
from squeeze.tflite.numbers import Array, Codes, Params, exact_codes

# Operators that only say how the same numbers are read.
MOVES = frozenset(
    {"Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)


@dataclass(frozen=True)
class Form:
    """One tensor that holds a value: transposed by `axes`. params: of int8 that stands for floats. order: of a value
    [1, k] whose entries are not in the order of ONNX: entry i is the ONNX entry order[i]."""

    index: int
    axes: Axes
    params: Params | None = None
    order: tuple[int, ...] | None = None


class Writing:
    """See the module. `node` is the one that is being written, for messages."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.file = File()
        self.wishes = wishes(graph)
        self.forms: dict[str, list[Form]] = {}
        self.done: set[Node] = set()
        self.in_float: list[str] = []
        self.node: Node | None = None

    # What is known of values.

    def shape(self, name: str) -> tuple[int, ...]:
        if name not in self.graph.shapes:
            raise self.refused(
                f"the shape of '{name}' depends on data; a .tflite file needs a fixed one"
            )
        return self.graph.shapes[name]

    def constant(self, name: str) -> Array | None:
        return self.graph.constants.get(name)

    def needed(self, name: str, what: str) -> Array:
        """A constant that has to be one."""
        value = self.graph.constants.get(name)
        if value is None:
            raise self.refused(
                f"its {what} is computed when the model runs; TFLite needs a constant"
            )
        return value

    def wish(self, name: str) -> Axes:
        return self.wishes.get(name, plain(len(self.shape(name))))

    def params(self, name: str) -> Params | None:
        """Of the int8 form of a value."""
        return next((f.params for f in self.forms.get(name, ()) if f.params is not None), None)

    def wanted(self, name: str) -> Params | None:
        """What a value is quantised to by all that read it; None where somebody reads floats."""
        if name in self.graph.outputs:
            return None
        found = {self._quantised_to(node) for node in self.graph.readers.get(name, ())}
        return found.pop() if len(found) == 1 else None

    def _quantised_to(self, node: Node) -> Params | None:
        if node.op in MOVES and not node.domain:
            return self.wanted(node.outputs[0])
        return self.said_params(node) if node.op == "QuantizeLinear" else None

    def said_params(self, node: Node) -> Params | None:
        """Of a QuantizeLinear or DequantizeLinear of one scale and of int8 or uint8; None for any other."""
        scale, zero = self.constant(node.inputs[1]), self.constant(node.input(2))
        if scale is None or scale.size != 1 or (node.input(2) and zero is None):
            return None
        name = (
            zero.dtype.name
            if zero is not None
            else self.graph.dtypes.get(
                node.outputs[0] if node.op == "QuantizeLinear" else node.inputs[0], "uint8"
            )
        )
        if name not in ("int8", "uint8"):
            return None
        point = int(zero.reshape(())) if zero is not None else 0
        return Params(float(np.float32(scale.reshape(()))), point - (128 if name == "uint8" else 0))

    def refused(self, why: str) -> UnsupportedError:
        """To be raised: why the present node cannot be written. Whoever catches it names the node."""
        return UnsupportedError(why)

    # Values as operators need them.

    def take(self, name: str, axes: Axes | None = None, params: Params | None = None) -> int:
        """The tensor of a value in an order of axes (default: that of ONNX), with exactly these params or as it is in
        ONNX (floats, whole numbers). Constants are made here too."""
        axes = plain(len(self.shape(name))) if axes is None else axes
        if name in self.graph.constants:
            return self._constant(name, axes, params)
        forms = self.forms.get(name)
        if not forms:
            raise self.refused(f"'{name}' is made by nothing that could be written")
        for form in forms:
            if form.axes == axes and form.params == params and form.order is None:
                return form.index
        same = [form for form in forms if form.params == params and form.order is None]
        if same:
            return self._moved(name, same[0], axes)
        form = next((f for f in forms if f.axes == axes), forms[0])
        return self._moved(name, self.coded(name, form, params), axes)

    def give(
        self,
        name: str,
        index: int,
        axes: Axes,
        params: Params | None = None,
        order: tuple[int, ...] | None = None,
    ) -> None:
        """Says where a value is."""
        self.forms.setdefault(name, []).append(Form(index, axes, params, order))

    def alias(self, name: str, forms: Sequence[Form]) -> None:
        self.forms.setdefault(name, []).extend(forms)

    def coded(self, name: str, form: Form, params: Params | None) -> Form:
        """With other params: QUANTIZE, or DEQUANTIZE for none."""
        shape = self.file.shapes[form.index]
        dtype = "float32" if params is None else "int8"
        if params is None and form.params is None:
            raise self.refused(f"'{name}' is not in floats")
        made = self.file.tensor(
            f"{name}/{'float' if params is None else 'int8'}", shape, dtype, params
        )
        self.file.operator("DEQUANTIZE" if params is None else "QUANTIZE", [form.index], [made])
        new = Form(made, form.axes, params, form.order)
        self.forms[name].append(new)
        return new

    def _moved(self, name: str, form: Form, axes: Axes) -> int:
        """In another order of axes."""
        if form.axes == axes:
            return form.index
        shape = self.shape(name)
        order = [form.axes.index(axis) for axis in axes]
        stored = [shape[axis] for axis in axes]
        made = self.file.tensor(f"{name}/moved", stored, self.file.dtypes[form.index], form.params)
        if keeps_order(tuple(order), self.file.shapes[form.index]):
            self.reshape(form.index, made)
        else:
            self.file.operator("TRANSPOSE", [form.index, self.ints(order)], [made])
        self.forms[name].append(Form(made, axes, form.params))
        return made

    def reshape(self, given: int, made: int) -> None:
        shape = list(self.file.shapes[made])
        self.file.operator("RESHAPE", [given, self.ints(shape)], [made], newShape=shape)

    def ints(
        self, values: Sequence[int] | Sequence[Sequence[int]] | Array | int, name: str = "sizes"
    ) -> int:
        return self.file.constant(name, np.asarray(values, np.int32))

    def scalar(self, value: float, params: Params | None) -> int:
        """A constant number beside a tensor with these params; int8 is the full scale of its own, which is exact."""
        if params is None:
            return self.file.constant("value", np.asarray(value, np.float32))
        made = self.file.constant("value", np.asarray(127, np.int8))
        self.file.quantised(made, Params(float(np.float32(value / 127)), 0))
        return made

    def _constant(self, name: str, axes: Axes, params: Params | None) -> int:
        value = self.graph.constants[name]
        if params is None:
            narrow = value.astype(np.int32) if value.dtype.name == "uint32" else value
            return self.file.constant(name, narrow.transpose(axes))
        codes = self.graph.codes.get(name)
        if codes is not None and codes.params == params:
            return self.file.codes(
                name, Codes(codes.values.transpose(axes), codes.scale, codes.zero, 0)
            )
        stored = np.clip(np.rint(value / np.float32(params.scale)) + params.zero, -128, 127)
        scale, zero = np.asarray([params.scale], np.float32), np.asarray([params.zero])
        return self.file.codes(name, Codes(stored.astype(np.int8).transpose(axes), scale, zero, 0))

    def operand_params(self, name: str) -> Params | None:
        """Params by which a value or a constant can be taken as int8; None where it cannot without loss."""
        if name not in self.graph.constants:
            return self.params(name)
        codes = self.graph.codes.get(name)
        if codes is None and self.graph.constants[name].dtype.kind == "f":
            codes = exact_codes(self.graph.constants[name])
        if codes is None or codes.values.dtype.name != "int8":
            return None
        return codes.params

    def operand(self, name: str, axes: Axes, params: Params | None) -> int:
        """An operand of fewer axes than `axes` has, in the order that it has beside one of all axes."""
        shape = self.shape(name)
        missing = len(axes) - len(shape)
        if not missing:
            return self.take(name, axes, params)
        if not shape or (name not in self.graph.constants and axes == plain(len(axes))):
            return self.take(name, plain(len(shape)), params)
        full = (1,) * missing + shape
        value = self.constant(name)
        if value is None:
            given = self.take(name, plain(len(shape)), params)
            made = self.file.tensor(
                f"{name}/wide", [full[a] for a in axes], self.file.dtypes[given], params
            )
            if not keeps_order(axes, full):
                wide = self.file.tensor(f"{name}/wide", full, self.file.dtypes[given], params)
                self.reshape(given, wide)
                self.file.operator("TRANSPOSE", [wide, self.ints(axes)], [made])
            else:
                self.reshape(given, made)
            return made
        widened = f"{name}/{'x'.join(map(str, full))}"
        self.graph.constants[widened], self.graph.shapes[widened] = value.reshape(full), full
        if (codes := self.graph.codes.get(name)) is not None and codes.params is not None:
            self.graph.codes[widened] = Codes(
                codes.values.reshape(full), codes.scale, codes.zero, 0
            )
        return self.take(widened, axes, params)

    # Outputs.

    def made(self, name: str, axes: Axes, params: Params | None, dtype: str = "") -> int:
        """A new tensor for a value, which is there from now on. It is called like the node, as reports name operators
        by what they make."""
        shape = self.shape(name)
        kind = "int8" if params is not None else dtype or self.graph.dtypes.get(name, "float32")
        index = self.file.tensor(self.label(name), [shape[axis] for axis in axes], kind, params)
        self.give(name, index, axes, params)
        return index

    def label(self, name: str) -> str:
        """What a tensor that the present node makes of a value is called."""
        return self.node.name if self.node is not None else name

    def between(self, name: str, shape: Sequence[int], like: int) -> int:
        """A new tensor of no value in the ONNX file, of the type and params of another one."""
        return self.file.tensor(name, shape, self.file.dtypes[like], self.file.params[like])

    def write(self, op: str, inputs: Sequence[int], outputs: Sequence[int], **options: Any) -> None:
        """See `File.operator`."""
        self.file.operator(op, inputs, outputs, **options)
