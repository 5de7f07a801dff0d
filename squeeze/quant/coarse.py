"""Where 256 levels are too few: int8 values behind which a function makes much of small differences.

    Conv -> Q -> DQ -> Log          of the values below one step nothing is left, and Log would spread them widest

Told by numbers, not by names: the function is run on the values that were seen, and on the same ones rounded to the
grid. The error behind it, as a share of what the function gives deviates, is what int8 costs there. A table of the
function would give the same numbers, so that it is no way out.

Cases: elementwise functions of one value (see `stretches`) with Log, Sqrt, Pow, Exp, Reciprocal or a division by what
       was computed; the node that makes the value stays float. A product of matrices counts as rounded in 8 bits also
       where its result is float: its operands are.
Left:  values that nothing int8 makes; functions with a divisor of their own, such as x / sum(x); values without a
       histogram (the observer minmax).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze import graph, runtimes
from squeeze.graph.values import constant, is_op
from squeeze.quant.place import Placement
from squeeze.quant.ranges.grid import Grid, params
from squeeze.quant.ranges.observers import Seen
from squeeze.quant.stretches import Stretch, stretch

# More than this of the deviation behind a function, and so many times the share in front of it, is too much.
MOST, TIMES = 0.1, 3.0
# As powers, they leave what they are given as it is or make large values count more.
_TAME_POWERS = (1.0, 2.0, 3.0)

Floats = NDArray[np.float64]


def suspects(placement: Placement) -> dict[str, tuple[ir.Node, Stretch]]:
    """Value that an int8 node makes -> that node, and the function behind the value which may mind 8 bits."""
    found: dict[str, tuple[ir.Node, Stretch]] = {}
    for node in placement.nodes:
        if node in placement.stretches:
            continue
        made = [v for v in placement.sources if placement.sources[v] is node.outputs[0]]
        value = made[0] if made else node.outputs[0]
        if value in placement.roots and placement.roots[value] is not value:
            continue  # it is as the one that it was moved from
        part = stretch(value, ())
        if part is not None and any(_minds(n) for n in part.nodes):
            found[str(value.name)] = node, part
    return found


def too_coarse(
    wanted: Mapping[str, tuple[ir.Node, Stretch]], seen: Mapping[str, Seen], grid: Grid, opset: int
) -> dict[str, float]:
    """First output of each node of `suspects` that had better stay float -> the error behind the function, as a share
    of its deviation."""
    found = {}
    for name, (node, part) in wanted.items():
        one = seen[name]
        if len(one.counts) and (error := _error(part, one, grid, opset)) is not None:
            found[str(node.outputs[0].name)] = error
    return found


def _minds(node: ir.Node) -> bool:
    if is_op(node, "Div"):
        return constant(node.inputs[1]) is None
    if is_op(node, "Pow"):
        power = constant(node.inputs[1])
        return power is None or not np.isin(power, _TAME_POWERS).all()
    return is_op(node, "Exp", "Log", "Reciprocal", "Sqrt")


def _error(part: Stretch, seen: Seen, grid: Grid, opset: int) -> float | None:
    """Of the results of the function on the grid of all values; None where it is small enough."""
    used = seen.counts > 0
    x, weight = seen.centres[used], seen.counts[used].astype(np.float64)
    scale = params(seen.low, seen.high, grid).scale
    on_grid = np.rint(x / scale) * scale
    exact, rounded = (_applied(part, values, opset) for values in (x, on_grid))
    there = np.isfinite(exact)
    if not there.any():
        return None
    if not np.isfinite(rounded[there]).all():
        return float("inf")
    weights = np.where(there, weight[:, None], 0.0)
    behind = _share(np.where(there, exact, 0.0), np.where(there, rounded, 0.0), weights)
    before = _share(x[:, None], on_grid[:, None], weight[:, None])
    return behind if behind > max(MOST, TIMES * before) else None


def _share(exact: Floats, rounded: Floats, weights: Floats) -> float:
    """The root mean square difference as a share of the deviation; [values, channels] each."""
    total = weights.sum()
    mean = (exact * weights).sum() / total
    deviation = (((exact - mean) ** 2) * weights).sum()
    moved = (((rounded - exact) ** 2) * weights).sum()
    return float(np.sqrt(moved / deviation)) if deviation > 0 else 0.0


def _applied(part: Stretch, values: Floats, opset: int) -> Floats:
    """The function of each value [k], with each of its constants per channel: [k, channels]."""
    start = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT))
    made: dict[ir.Value | None, ir.Value | None] = {None: None, part.start: start}
    constants: list[ir.Value] = []
    nodes: list[ir.Node] = []
    dims = 1
    for node in part.nodes:
        for value in node.inputs:
            if value not in made and value is not None and (array := constant(value)) is not None:
                held = ir.Value(name=f"c{len(constants)}", const_value=ir.tensor(array))
                made[value] = held
                constants.append(held)
                dims = max(dims, array.ndim + 1)
        copy = ir.Node("", node.op_type, [made[v] for v in node.inputs], node.attributes.values())
        copy.outputs[0].name = f"y{len(nodes)}"
        made[node.outputs[0]] = copy.outputs[0]
        nodes.append(copy)
    end = nodes[-1].outputs[0]
    end.type = ir.TensorType(ir.DataType.FLOAT)
    whole = ir.Graph(
        [start], [end], nodes=nodes, initializers=constants, opset_imports={"": opset}, name="f"
    )
    opened = runtimes.session(graph.to_bytes(ir.Model(whole, ir_version=8)))
    x = values.astype(np.float32).reshape(-1, *[1] * (dims - 1))
    found = np.asarray(opened.run(None, {"x": x})[0], np.float64)
    return found.reshape(len(values), -1)
