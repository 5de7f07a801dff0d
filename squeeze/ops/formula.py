"""A float function of one number, such as x * Sigmoid(x), in operators of ONNX: it writes itself into a function body.

Equal functions are equal formulas, so that layers with the same function behind them share one body.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.ops.body import Body

Attribute = int | float | str
# How people write operators of two operands.
_SIGNS = {"Add": "+", "Div": "/", "Mul": "*", "Sub": "-", "Pow": "^"}


@dataclass(frozen=True)
class Number:
    """A constant in a formula."""

    dtype: str
    value: float | int

    def array(self) -> NDArray[Any]:  # Any: of the type `dtype`
        return np.asarray(self.value, self.dtype)


@dataclass(frozen=True)
class Step:
    """One operator. `inputs`: 0 is x, n the result of the nth step. `attributes`: by name, in the order of names."""

    op_type: str
    inputs: tuple[int | Number, ...]
    attributes: tuple[tuple[str, Attribute], ...] = ()


@dataclass(frozen=True)
class Formula:
    """`steps`, the last of which gives the result; without any it is x itself.

    `on_integers`: they are Clip and Relu alone and y is on the grid of x, so that the integers may be clipped.
    `biased`: the row `bias` is added to x first, by an op that has one.
    """

    steps: tuple[Step, ...] = ()
    on_integers: bool = False
    biased: bool = False

    @property
    def words(self) -> str:
        """The function as people write it down."""
        return self._words(len(self.steps))

    def write(self, body: Body, q: ir.Value, tensor: str) -> ir.Value:
        """The 8-bit y in a body, from the integers `q` on the grid of the inputs `tensor`_scale and _zero_point."""
        if self.on_integers:
            limits = [
                body.quantise(body.constant(np.float32(limit)), tensor) for limit in self.limits()
            ]
            return body.add("Clip", q, *limits)
        return body.quantise(self.results(body, body.dequantise(q, tensor))[-1], "y")

    def results(self, body: Body, x: ir.Value) -> list[ir.Value]:
        """The float `x` and what each step makes of it, in the body."""
        values = [x]
        for step in self.steps:
            inputs = [
                values[i] if isinstance(i, int) else body.constant(i.array()) for i in step.inputs
            ]
            attributes = ir.convenience.convert_attributes(dict(step.attributes))
            values.append(body.add(step.op_type, *inputs, attributes=attributes))
        return values

    def limits(self) -> tuple[float, float]:
        """The least and the largest result of a chain of Clip and Relu."""
        low, high = -np.inf, np.inf
        for step in self.steps:
            numbers = [i.value for i in step.inputs if isinstance(i, Number)]
            least = 0.0 if step.op_type == "Relu" else numbers[0]
            most = numbers[1] if len(numbers) > 1 else np.inf
            low, high = min(max(low, least), most), min(max(high, least), most)
        return float(low), float(high)

    def _words(self, index: int) -> str:
        if index == 0:
            return "x"
        step = self.steps[index - 1]
        operands = [self._words(i) if isinstance(i, int) else f"{i.value:.6g}" for i in step.inputs]
        if step.op_type in _SIGNS and len(operands) == 2:
            wrapped = [f"({o})" if " " in o and "(" not in o[:1] else o for o in operands]
            return f" {_SIGNS[step.op_type]} ".join(wrapped)
        options = [
            f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in step.attributes
        ]
        return f"{step.op_type}({', '.join([*operands, *options])})"
