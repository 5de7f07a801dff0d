"""What convolutions and matrix products have in common: the bias, and what follows until the next 8-bit tensor.

Behind a product may stand: a QuantizeLinear; Relu or Clip and then it; any elementwise function of one tensor, in
float or on quantised numbers, which becomes a table of 256 bytes, and a formula for where our library is not; the
addition of a second quantised tensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph import functions
from squeeze.graph.extents import same_shape
from squeeze.graph.formulas import Bytes, applied, formula_of
from squeeze.graph.functions import Function
from squeeze.graph.layout import Attributes, Planned, Unit
from squeeze.graph.qdq import (
    Grid,
    Quantised,
    Refused,
    Weights,
    dequantised,
    grid_of,
    only_quantiser,
)
from squeeze.graph.values import is_op, only_user
from squeeze.ops.formula import Formula

Array = NDArray[Any]  # Any: constants of several element types

_BYTES = np.arange(256, dtype=np.uint8)
# Where a function is sampled to choose the grid of what goes into it.
_SAMPLES = 1 << 15


@dataclass(frozen=True)
class Product:
    """A convolution or matrix product, quantised to `grid`; then `function`, or `residual`; the result is `y`."""

    node: ir.Node
    last: ir.Node
    x: Quantised
    w: Weights
    bias: NDArray[np.int32]
    rounded_bias: bool
    grid: Grid
    y: Quantised
    function: tuple[Formula, Bytes] | None = None  # and its table: y at each of 256 bytes
    residual: Quantised | None = None
    # Smallest and largest result of an addition, where they are not those of the type.
    clip: tuple[int, int] | None = None

    def planned(
        self,
        family: str,
        op_type: str,
        names: tuple[str, str, str],  # of x, w and the product in the signature
        *,
        image: bool,
        attributes: Attributes,
    ) -> Unit:
        """The node, and one for `clip`."""
        x, w, product = names
        name = self.node.name or f"{self.y.value.name}_{op_type.lower()}"
        inputs = layer_inputs((x, w), self.x, self.w, self.bias)
        inputs |= grid_inputs("y" if self.is_plain else product, self.grid)
        formula = None
        if self.function is not None:
            formula, inputs["table"] = self.function
        if self.residual is not None:
            inputs["residual"] = self.residual.value
            inputs |= grid_inputs("residual", self.residual.grid)
        if not self.is_plain:
            inputs |= grid_inputs("y", self.y.grid)
        suffix = "" if self.is_plain else "Lookup" if self.residual is None else "Add"
        made = Planned(
            family,
            op_type + suffix,
            name,
            self.last,
            self.y.value,
            inputs,
            attributes,
            free=x if image else "",
            tied=("residual",) if image and self.residual is not None else (),
            rounded_bias=self.rounded_bias,
            formula=formula,
        )
        return with_clip(made, self.clip, image=image)

    @property
    def is_plain(self) -> bool:
        """Whether nothing follows the quantisation."""
        return self.function is None and self.residual is None


def grid_inputs(name: str, grid: Grid) -> dict[str, ir.Value | Array]:
    """The inputs that say what the integers of `name` mean."""
    scale, zero_point = grid.constants()
    return {f"{name}_scale": scale, f"{name}_zero_point": zero_point}


def layer_inputs(
    names: tuple[str, str], x: Quantised, w: Weights, bias: NDArray[np.int32]
) -> dict[str, ir.Value | Array]:
    """The inputs of a layer up to its product; `names`: of x and w in the signature."""
    return {
        names[0]: x.value,
        **grid_inputs(names[0], x.grid),
        names[1]: w.integers,
        f"{names[1]}_scale": w.scale,
        "bias": bias,
    }


def with_clip(made: Planned, clip: tuple[int, int] | None, *, image: bool) -> Unit:
    """The node, and behind it a Clip of the integers where there is one to be made."""
    if clip is None:
        return (made,)
    y = made.y
    wide = ir.Value(name=f"{y.name}_unclipped", type=y.type, shape=y.shape)
    least, most = (np.asarray(limit, np.uint8) for limit in clip)
    inputs: dict[str, ir.Value | Array] = {"input": wide, "min": least, "max": most}
    tied = ("input",) if image else ()
    after = Planned(
        made.family, "Clip", f"{made.name}_clip", made.last, y, inputs, tied=tied, domain=""
    )
    return replace(made, y=wide), after


def finish(
    node: ir.Node,
    x: Quantised,
    w: Weights,
    bias: tuple[NDArray[np.int32], bool],
    value: ir.Value,
    *,
    rounds: bool,
) -> Product:
    """The product and what follows its float result `value`. Raises Refused.

    rounds: a float function may follow, which the result is rounded to 8 bits for.
    """
    direct = only_quantiser(value)
    function: Function | None = None
    if direct is not None:
        last, grid = direct, grid_of(direct)
        assert grid is not None  # only_quantiser
    else:
        candidates = functions.find(value)
        if not candidates:
            raise Refused("its result is not quantised at once")
        function = candidates[0]
        last = function.end
        if not (rounds or function.is_clip):
            raise Refused(f"{function.words} follows in float")
        # Rounding keeps order, so clipping the integers is the same.
        grid = function.grid if function.is_clip else _fit(function, _reach(x, w, bias[0]))
    if further := functions.find(last.outputs[0]):
        longest = further[-1]
        last, function = longest.end, longest if function is None else longest.behind(function)
    y = Quantised(last.outputs[0], grid if function is None else function.grid)
    found = None if function is None else formula_of(function, grid)
    if found is not None and grid == y.grid and np.array_equal(found[1], _BYTES):
        found = None
    return Product(node, last, x, w, *bias, grid, y, function=found)


def with_residuals(products: Sequence[Product], order: Mapping[ir.Node, int]) -> list[Product]:
    """The products with the additions behind them. Of two before an addition the later takes it: the other one is
    then its finished residual."""
    taken: set[ir.Node] = set()
    joined: list[Product] = []
    for product in sorted(products, key=lambda p: order[p.node], reverse=True):
        added = _with_residual(product)
        if added is not None and added.last not in taken:
            taken.add(added.last)
            joined.append(added)
        else:
            joined.append(product)
    return joined


def sum_end(add: ir.Node) -> tuple[ir.Node, Quantised, tuple[int, int] | None]:
    """The quantiser behind an addition, what it makes, and the limits of Relu or Clip around it. Raises Refused."""
    value, clip = add.outputs[0], None
    last = only_quantiser(value)
    if last is None:
        candidates = functions.find(value)
        if not candidates:
            raise Refused("its sum is not quantised at once")
        first = candidates[0]
        if not first.is_clip:
            raise Refused(f"{first.words} stands between the sum and its quantiser")
        last, clip = first.end, limits_of(applied(first, first.grid.numbers()))
    grid = grid_of(last)
    assert grid is not None
    for further in functions.find(last.outputs[0])[::-1]:
        limits = limits_of(applied(further, _BYTES)) if further.grid == grid else None
        if limits is not None:
            low, high = (
                limits if clip is None else (max(limits[0], clip[0]), min(limits[1], clip[1]))
            )
            return further.end, Quantised(further.end.outputs[0], grid), _real_clip((low, high))
    return last, Quantised(last.outputs[0], grid), _real_clip(clip)


def limits_of(table: Bytes) -> tuple[int, int] | None:
    """(least, most) when the table does nothing but clip."""
    least, most = int(table.min()), int(table.max())
    return (least, most) if np.array_equal(table, np.clip(_BYTES, least, most)) else None


def _with_residual(product: Product) -> Product | None:
    """`product` with the addition behind it, or None if there is none that fits."""
    if product.function is not None:
        return None
    value = product.y.value
    dequantise = only_user(value)
    if dequantise is None or not is_op(dequantise, "DequantizeLinear"):
        return None
    if grid_of(dequantise) != product.y.grid:
        return None
    add = only_user(dequantise.outputs[0])
    if add is None or not is_op(add, "Add") or add.inputs[0] is add.inputs[1]:
        return None
    other = add.inputs[1] if add.inputs[0] is dequantise.outputs[0] else add.inputs[0]
    residual = dequantised(other)
    if residual is None or residual.grid.dtype != "uint8" or not same_shape(residual.value, value):
        return None
    try:
        last, y, clip = sum_end(add)
    except Refused:
        return None
    return replace(product, last=last, y=y, residual=residual, clip=clip)


def _real_clip(clip: tuple[int, int] | None) -> tuple[int, int] | None:
    return None if clip == (0, 255) else clip


def _reach(x: Quantised, w: Weights, bias: NDArray[np.int32]) -> float:
    """No result of the product lies further from zero."""
    farthest = max(x.grid.zero_point - x.grid.least, x.grid.most - x.grid.zero_point)
    sums = np.abs(w.integers.astype(np.int64)).reshape(len(w.integers), -1).sum(axis=1)
    steps = sums * farthest + np.abs(bias.astype(np.int64))
    return float((steps * (np.float64(x.grid.scale) * w.scale)).max(initial=0.0)) or 1.0


def _fit(function: Function, reach: float) -> Grid:
    """A grid for what goes into a float function, on which its result stays within one step. Raises Refused."""
    low, high = -reach, reach
    for tolerance in (0, 1):
        for _ in range(2):  # coarsely over all that can occur, then finely where something changes
            at = np.linspace(low, high, _SAMPLES).astype(np.float32)
            wanted = applied(function, at).astype(np.int64)
            first = int(np.argmax(np.abs(wanted - wanted[0]) > tolerance))
            end = _SAMPLES - 1 - int(np.argmax(np.abs(wanted - wanted[-1])[::-1] > tolerance))
            low, high = float(at[max(first - 1, 0)]), float(at[min(end + 1, _SAMPLES - 1)])
        bottom, top = min(low, 0.0), max(high, 0.0)
        scale = float(np.float32(max((top - bottom) / 255, 1e-12)))
        grid = Grid(scale, int(np.clip(np.rint(-bottom / scale), 0, 255)))
        table = applied(function, grid.numbers())
        at = np.concatenate([np.linspace(r * low, r * high, _SAMPLES) for r in (1.0, 2.0)])
        at = np.concatenate([at, [-reach, reach]]).clip(-reach, reach).astype(np.float32)
        found = np.rint(at / np.float32(scale)) + grid.zero_point
        got = table[found.clip(0, 255).astype(np.int64)].astype(np.int64)
        if np.abs(got - applied(function, at)).max() <= 1:
            return grid
        low, high = -reach, reach
    raise Refused(
        f"{function.words} follows in float, and no 8-bit grid before it keeps the result within a step"
    )
