"""Reductions over axes, Softmax, LayerNormalization, ArgMax."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from squeeze.tflite.layout import Axes, plain
from squeeze.tflite.node import Node
from squeeze.tflite.numbers import Params
from squeeze.tflite.plan import plan
from squeeze.tflite.writing import Writing

_REDUCE = {
    "ReduceMax": "REDUCE_MAX",
    "ReduceMean": "MEAN",
    "ReduceMin": "REDUCE_MIN",
    "ReduceProd": "REDUCE_PROD",
    "ReduceSum": "SUM",
}
_SOFTMAX = Params(1 / 256, -128)


def reduce(w: Writing, node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    gone = _axes(w, node)
    if not gone:
        w.alias(y, w.forms.get(x, []))
        return
    keeps = bool(node.attributes.get("keepdims", 1))
    op = _REDUCE[node.op]
    same = op in ("REDUCE_MAX", "REDUCE_MIN")  # which only choose
    params = w.params(x)
    out = params if same else plan(w, node, [x], int8=op != "REDUCE_PROD").params
    axes = w.wish(x)
    given = w.take(x, axes, params if out is not None else None)
    along = w.ints(sorted(axes.index(axis) for axis in gone), "axes")
    made = w.made(y, axes if keeps else _left(axes, gone), out)
    if op == "SUM" and out is not None:
        # LiteRT's reference kernel of an int8 SUM is wrong (XNNPACK's is not): the mean, times how many there are.
        count = int(np.prod([w.shape(x)[axis] for axis in gone]))
        few = Params(float(np.float32(out.scale / count)), out.zero)
        mean = w.file.tensor(f"{w.label(y)}/mean", w.file.shapes[made], "int8", few)
        w.write("MEAN", [given, along], [mean], keepDims=keeps)
        w.write("MUL", [mean, w.scalar(float(count), few)], [made], fusedActivationFunction=0)
        return
    w.write(op, [given, along], [made], keepDims=keeps)


def length(w: Writing, node: Node) -> None:
    """ReduceL2, of floats: the root of the sum of squares."""
    x, y = node.inputs[0], node.outputs[0]
    gone = _axes(w, node)
    keeps = bool(node.attributes.get("keepdims", 1))
    plan(w, node, [x], int8=False)
    axes = w.wish(x)
    given = w.take(x, axes)
    square = w.between(f"{y}/square", w.file.shapes[given], given)
    made = w.made(y, axes if keeps else _left(axes, gone), None)
    total = w.between(f"{y}/sum", w.file.shapes[made], given)
    along = w.ints(sorted(axes.index(axis) for axis in gone), "axes")
    w.write("MUL", [given, given], [square], fusedActivationFunction=0)
    w.write("SUM", [square, along], [total], keepDims=keeps)
    w.write("SQRT", [total], [made])


def _axes(w: Writing, node: Node) -> list[int]:
    """Those that are reduced: all where none is named, none where the node says that this means none."""
    rank = len(w.shape(node.inputs[0]))
    gone = node.ints("axes", ())
    if node.input(1):
        gone = [int(axis) for axis in w.needed(node.input(1), "axes").reshape(-1)]
    if not gone and not node.attributes.get("noop_with_empty_axes"):
        gone = list(range(rank))
    return [axis % rank for axis in gone]


def _left(axes: Axes, gone: Sequence[int]) -> Axes:
    """The order of the axes that are left, by their new numbers."""
    kept = [axis for axis in axes if axis not in gone]
    numbers = sorted(kept)
    return tuple(numbers.index(axis) for axis in kept)


def softmax(w: Writing, node: Node) -> None:
    """Also its logarithm. Along the last axis of what is stored; int8 in 256ths, as TFLite has it fixed."""
    x, y = node.inputs[0], node.outputs[0]
    shape = w.shape(x)
    rank = len(shape)
    axis = int(node.attributes.get("axis", -1 if w.graph.opset >= 13 else 1)) % rank
    if w.graph.opset < 13 and np.prod(shape[axis + 1 :], dtype=int) != 1:
        raise w.refused(
            "it is over several axes, as before opset 13; convert the model to opset 13 or later"
        )
    axes = w.wish(y)
    if axes[-1] != axis:
        axes = (*(other for other in range(rank) if other != axis), axis)
    log = node.op == "LogSoftmax"
    planned = plan(w, node, [x], int8=not log)
    given = w.take(x, axes, w.params(x) if planned.params else None)
    made = w.made(y, axes, planned.params and _SOFTMAX)
    if log:
        w.write("LOG_SOFTMAX", [given], [made])
    else:
        w.write("SOFTMAX", [given], [made], beta=1.0)


def layer_norm(w: Writing, node: Node) -> None:
    """(x - mean) / sqrt(variance + epsilon) * scale + bias, of floats."""
    x, y = node.inputs[0], node.outputs[0]
    if any(name in w.graph.readers for name in node.outputs[1:]):
        raise w.refused("its mean or its deviation is read; compute them by ReduceMean")
    rank = len(w.shape(x))
    first = int(node.attributes.get("axis", -1)) % rank
    plan(w, node, [x], int8=False)
    given = w.take(x, plain(rank))
    shape = w.file.shapes[given]
    small = tuple(1 if axis >= first else size for axis, size in enumerate(shape))
    axes = w.ints(list(range(first, rank)), "axes")
    mean, centred, square, variance, shifted, by = (
        w.between(f"{y}/{name}", sizes, given)
        for name, sizes in (
            ("mean", small),
            ("centred", shape),
            ("square", shape),
            ("variance", small),
            ("shifted", small),
            ("by", small),
        )
    )
    w.write("MEAN", [given, axes], [mean], keepDims=True)
    w.write("SUB", [given, mean], [centred], fusedActivationFunction=0)
    w.write("MUL", [centred, centred], [square], fusedActivationFunction=0)
    w.write("MEAN", [square, axes], [variance], keepDims=True)
    epsilon = w.file.constant(
        "epsilon", np.asarray(node.attributes.get("epsilon", 1e-5), np.float32)
    )
    w.write("ADD", [variance, epsilon], [shifted], fusedActivationFunction=0)
    w.write("RSQRT", [shifted], [by])
    steps = [("normal", "MUL", by), ("scaled", "MUL", w.take(node.inputs[1]))]
    if node.input(2):
        steps.append(("moved", "ADD", w.take(node.inputs[2])))
    value = centred
    for i, (name, op, other) in enumerate(steps):
        last = i == len(steps) - 1
        out = w.made(y, plain(rank), None) if last else w.between(f"{y}/{name}", shape, given)
        w.write(op, [value, other], [out], fusedActivationFunction=0)
        value = out


def arg_max(w: Writing, node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    rank = len(w.shape(x))
    axis = int(node.attributes.get("axis", 0)) % rank
    if node.attributes.get("select_last_index"):
        raise w.refused("it takes the last of equals; TFLite takes the first")
    params = w.params(x)
    given = w.take(x, plain(rank), params)
    kept = [size for i, size in enumerate(w.shape(x)) if i != axis]
    op = "ARG_MAX" if node.op == "ArgMax" else "ARG_MIN"
    found = w.file.tensor(f"{y}/found", kept, "int64")
    w.write(op, [given, w.ints(axis, "axis")], [found], outputType=w.file.schema.TensorType.INT64)
    if node.attributes.get("keepdims", 1):
        w.reshape(found, w.made(y, plain(rank), None, "int64"))
    else:
        w.give(y, found, plain(rank - 1))
