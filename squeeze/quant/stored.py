"""Weights of layers that are computed in float, as int8 all the same: a quarter of the bytes, and float arithmetic.

    Conv(x, W)  ->  Conv(x, Cast(W') * scale)

Cases: LSTM, GRU and RNN, a scale for each row of each gate, which both directions share; Conv, ConvTranspose, Gemm and
       MatMul, a scale for each output channel. In any graph of the model: nobody has ranges for activations in the
       bodies of If, Loop and Scan.
Left:  weights of fewer than 4,096 numbers, those that anything else reads too, those that several graphs read, and
       those of a ConvTranspose in groups, which share their output channels' axis.

The runtime folds Cast and Mul of constants when it opens the file, so that a run takes what it took. It does not fold
DequantizeLinear, which would take its time in every run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.values import add_constant, contents, fresh, graph_of, integer, is_op, names
from squeeze.quant.ranges.grid import Grid, quantise_weights, weight_scales

LEAST_NUMBERS = 1 << 12
GRID = Grid(np.dtype(np.int8))
RECURRENT = ("LSTM", "GRU", "RNN")


def store_weights(graph: ir.Graph, float_outputs: Collection[str] = ()) -> dict[str, float]:
    """Replaces the weights in place; name of each -> its error as a share of its deviation. Who calls removes the old.

    float_outputs: first outputs of nodes whose weights stay.
    """
    taken = names(graph)
    readers: dict[ir.Value, list[tuple[ir.Node, int, int]]] = {}
    for one in (graph, *graph.subgraphs()):
        for node in one:
            if node.outputs and node.outputs[0].name in float_outputs:
                continue
            for position, axis in _weights(node):
                weights = node.inputs[position]
                if weights is not None:
                    readers.setdefault(weights, []).append((node, position, axis))
    errors: dict[str, float] = {}
    for weights, found in readers.items():
        array = None if weights.is_graph_output() else contents(weights)
        axes = {axis for _, _, axis in found}
        owners = {graph_of(node) for node, _, _ in found}
        if (
            array is None
            or array.dtype != np.float32
            or array.size < LEAST_NUMBERS
            or not np.isfinite(array).all()
            or len(axes) > 1
            or len(owners) > 1
            or array.ndim <= max(*axes, 1)
            or {(u.node, u.idx) for u in weights.uses()} != {(n, p) for n, p, _ in found}
        ):
            continue
        name = str(weights.name)
        errors[name] = _store(owners.pop(), weights, array, found, axes.pop(), taken)
    return errors


def stored_layers(graph: ir.Graph) -> frozenset[str]:
    """Outputs of the layers of `graph` itself that have weights which `store_weights` replaced."""
    layers = (n for n in graph if next(_weights(n), None) is not None)
    found = (n for n in layers if any(_is_stored(v) for v in n.inputs[1:3]))
    return frozenset(str(v.name) for n in found for v in n.outputs if v.name)


def _is_stored(weights: ir.Value | None) -> bool:
    real = None if weights is None else weights.producer()
    cast = None if real is None or not is_op(real, "Mul") else real.inputs[0]
    made = None if cast is None else cast.producer()
    if made is None or not is_op(made, "Cast"):
        return False
    return made.inputs[0] is not None and made.inputs[0].dtype == ir.DataType.INT8


def _weights(node: ir.Node) -> Iterator[tuple[int, int]]:
    """The inputs of a node that are weights, each with the axis of its output channels, -1 for the last."""
    if is_op(node, *RECURRENT):
        yield from ((1, 1), (2, 1))
    elif is_op(node, "Conv"):
        yield 1, 0
    elif is_op(node, "ConvTranspose") and integer(node, "group", 1) == 1:
        yield 1, 1
    elif is_op(node, "Gemm"):
        yield 1, 0 if integer(node, "transB", 0) else 1
    elif is_op(node, "MatMul"):
        yield 1, -1


def _store(
    owner: ir.Graph,
    weights: ir.Value,
    array: NDArray[np.generic],
    readers: list[tuple[ir.Node, int, int]],
    axis: int,
    taken: set[str],
) -> float:
    outputs = np.moveaxis(array.astype(np.float64), axis, 0)
    narrow = weight_scales(outputs, GRID)
    scales = narrow.reshape(-1, *[1] * (outputs.ndim - 1))  # beside outputs
    integers = quantise_weights(outputs, narrow, GRID)
    error = np.sqrt(np.mean((integers * scales.astype(np.float64) - outputs) ** 2))

    def unique(suffix: str) -> str:
        made = fresh(f"{weights.name}_{suffix}", taken)
        taken.add(made)
        return made

    # Beside their readers: the runtime has a rule for MatMul that does not find what is in the graph around it.
    stored = add_constant(owner, unique("int8"), np.moveaxis(integers, 0, axis))
    scale = add_constant(owner, unique("scales"), np.moveaxis(scales, 0, axis))
    for node, position, _ in readers:
        cast = ir.Node("", "Cast", [stored], [ir.AttrInt64("to", ir.DataType.FLOAT)])
        real = ir.Node("", "Mul", [cast.outputs[0], scale])
        for made, suffix in ((cast, "cast"), (real, "real")):
            made.name = made.outputs[0].name = unique(suffix)
            made.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
            made.outputs[0].shape = ir.Shape(array.shape)
        owner.insert_before(node, (cast, real))
        node.replace_input_with(position, real.outputs[0])
    return float(error / (outputs.std() or 1.0))
