"""Layers with a function behind them, and functions alone: each function gets an op of its own name, or stays nodes.

A function body in a file belongs to the name of an op, and the body of a lookup repeats the function. So every function
takes one of the names that the library has its kernel under; those that come too late stay operators of ONNX.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from squeeze import ops
from squeeze.graph.layout import Planned, Unit
from squeeze.graph.product import limits_of, with_clip
from squeeze.graph.qdq import Reasons
from squeeze.ops.formula import Formula

Array = NDArray[Any]  # Any: constants of several element types
Inputs = Mapping[str, ir.Value | Array]

_KINDS = (ops.CONV_LOOKUPS, ops.GEMM_LOOKUPS, ops.LOOKUPS, ops.REAL_LOOKUPS)
# The name that a lookup is planned under -> those that it may get.
_NAMES = {names[0]: names for names in _KINDS}
_ALONE = (ops.LOOKUPS[0], ops.REAL_LOOKUPS[0])


def named(units: Iterable[Unit]) -> tuple[list[Unit], Reasons]:
    """The units with the names of their functions, the most frequent first; and what got none, with the reason."""
    given = list(units)
    names: dict[tuple[str, Formula], str] = {}
    for kind, known in _NAMES.items():
        lookups = [p.formula for u in given for p in u if p.op_type == kind and p.formula]
        # Equal counts stay in the order of the graph.
        wanted = [formula for formula, _ in Counter(lookups).most_common()]
        names |= {(kind, formula): name for formula, name in zip(wanted, known, strict=False)}
    left: Reasons = {}
    result: list[Unit] = []
    for unit in given:
        made: list[Planned] = []
        for plan in unit:
            if plan.formula is None:
                made.append(plan)
                continue
            if name := names.get((plan.op_type, plan.formula)):
                made.append(replace(plan, op_type=name))
            else:
                if plan.op_type not in _ALONE:  # those stay as the graph has it
                    made += apart(plan, plan.op_type.removesuffix("Lookup"))
                most = len(_NAMES[plan.op_type])
                left[plan.last] = f"{plan.formula.words}: one file has {most} functions at most"
        result.append(tuple(made))
    return result, left


def apart(plan: Planned, op_type: str) -> Unit:
    """A planned lookup as the layer `op_type`, to its rounded product, and its function in operators of ONNX."""
    product = next(
        n.removesuffix("_scale") for n in plan.inputs if n in ("conv_scale", "gemm_scale")
    )
    formula, y, image = plan.formula, plan.y, bool(plan.free)
    assert formula is not None
    own = {n: v for n, v in plan.inputs.items() if n in ops.SIGNATURES[op_type].inputs}
    grid = {part: plan.inputs[f"{product}_{part}"] for part in ("scale", "zero_point")}
    own |= {f"y_{part}": value for part, value in grid.items()}
    layer = replace(plan, op_type=op_type, inputs=own, formula=None)
    table = plan.inputs["table"]
    assert not isinstance(table, ir.Value)
    if formula.on_integers and (limits := limits_of(table)):
        return with_clip(layer, limits, image=image)
    byte = _between(y, "product", ir.DataType.UINT8)
    nodes = [replace(layer, y=byte)]

    def add(op: str, result: ir.Value, inputs: Inputs, **attributes: int | float | str) -> ir.Value:
        tied = tuple(n for n, v in inputs.items() if isinstance(v, ir.Value)) if image else ()
        name = f"{plan.name}_{op.lower()}_{len(nodes)}"
        nodes.append(
            Planned(
                plan.family, op, name, plan.last, result, inputs, attributes, tied=tied, domain=""
            )
        )
        return result

    def real(index: int) -> ir.Value:
        return _between(y, f"real_{index}", ir.DataType.FLOAT)

    values = [add("DequantizeLinear", real(0), {"x": byte, **grid})]
    for index, step in enumerate(formula.steps, 1):
        inputs = {
            f"input_{j}": values[i] if isinstance(i, int) else i.array()
            for j, i in enumerate(step.inputs)
        }
        values.append(add(step.op_type, real(index), inputs, **dict(step.attributes)))
    scale = {part: plan.inputs[f"y_{part}"] for part in ("scale", "zero_point")}
    add("QuantizeLinear", y, {"x": values[-1], **scale})
    return tuple(nodes)


def _between(y: ir.Value, name: str, dtype: ir.DataType) -> ir.Value:
    return ir.Value(name=f"{y.name}_{name}", type=ir.TensorType(dtype), shape=y.shape)
