"""Operators of each entry, or of two that stand at the same place."""

from __future__ import annotations

import numpy as np

from squeeze.tflite.node import Node
from squeeze.tflite.numbers import Params
from squeeze.tflite.plan import cut_by, limits, plan
from squeeze.tflite.windows import scalar_like
from squeeze.tflite.writing import Writing

_PAIRS = {"Add": "ADD", "Div": "DIV", "Mul": "MUL", "Sub": "SUB"}
_COMPARE = {
    "And": "LOGICAL_AND",
    "Equal": "EQUAL",
    "Greater": "GREATER",
    "GreaterOrEqual": "GREATER_EQUAL",
    "Less": "LESS",
    "LessOrEqual": "LESS_EQUAL",
    "Or": "LOGICAL_OR",
}
# No activation, and kernels for floats alone.
_ONE = {
    "Abs": "ABS",
    "Ceil": "CEIL",
    "Cos": "COS",
    "Exp": "EXP",
    "Floor": "FLOOR",
    "Log": "LOG",
    "Neg": "NEG",
    "Round": "ROUND",
    "Sign": "SIGN",
    "Sin": "SIN",
    "Sqrt": "SQRT",
}
_CUT = {"RELU": "RELU", "RELU6": "RELU6", "RELU_N1_TO_1": "RELU_N1_TO_1"}
# int8 outputs that TFLite has fixed: 0 to 1, and -1 to 1.
LOGISTIC = Params(1 / 256, -128)
TANH = Params(1 / 128, 0)
# Of what lies from 0 to 1, both included.
_UNIT = Params(float(np.float32(1 / 255)), -128)


def pair(w: Writing, node: Node) -> None:
    """Add, Sub, Mul, Div. A division by one constant number is a product in int8, where TFLite cannot divide."""
    a, b = node.inputs
    op = _PAIRS[node.op]
    if (
        op == "DIV"
        and w.graph.dtypes.get(b) == "float32"
        and (value := w.constant(b)) is not None
        and value.size == 1
    ):
        inverse = f"{b}/inverse"
        w.graph.constants[inverse], w.graph.shapes[inverse] = 1 / value, value.shape
        op, b = "MUL", inverse
    planned = plan(
        w, node, [a, b], fuse=w.graph.dtypes.get(node.outputs[0]) == "float32", int8=op != "DIV"
    )
    axes = w.wish(planned.output)
    given = [w.operand(name, axes, _params(w, name, planned.params)) for name in (a, b)]
    y = w.made(planned.output, axes, planned.params)
    options = {"fusedActivationFunction": planned.fused}
    w.write(op, given, [y], **options)


def sums(w: Writing, node: Node) -> None:
    """Sum of any number."""
    _chain(w, node, "ADD", same_params=False)


def least(w: Writing, node: Node) -> None:
    _chain(w, node, "MINIMUM", same_params=True)


def largest(w: Writing, node: Node) -> None:
    _chain(w, node, "MAXIMUM", same_params=True)


def _chain(w: Writing, node: Node, op: str, *, same_params: bool) -> None:
    planned = plan(w, node, node.inputs, int8=same_params or len(node.inputs) == 2)
    axes = w.wish(planned.output)
    common = planned.params if same_params else None
    taken = [
        w.operand(name, axes, common or _params(w, name, planned.params)) for name in node.inputs
    ]
    y = w.made(planned.output, axes, planned.params)
    total = taken[0]
    for i, one in enumerate(taken[1:], start=2):
        last = i == len(taken)
        out = y if last else w.between(f"{planned.output}/{i}", w.file.shapes[y], y)
        w.write(op, [total, one], [out])
        total = out
    if len(taken) == 1:
        w.reshape(total, y)


def compare(w: Writing, node: Node) -> None:
    """Two numbers, or two truths, to one truth."""
    plan(w, node, node.inputs, int8=False)
    axes = w.wish(node.outputs[0])
    given = [w.operand(name, axes, None) for name in node.inputs]
    w.write(_COMPARE[node.op], given, [w.made(node.outputs[0], axes, None)])


def negation(w: Writing, node: Node) -> None:
    axes = w.wish(node.outputs[0])
    given = w.take(node.inputs[0], axes)
    w.write("LOGICAL_NOT", [given], [w.made(node.outputs[0], axes, None)])


def power(w: Writing, node: Node) -> None:
    """A square is a product, a half a square root."""
    x, exponent = node.inputs
    value = w.constant(exponent)
    square = value is not None and value.size == 1 and float(value.reshape(())) == 2.0
    half = value is not None and value.size == 1 and float(value.reshape(())) == 0.5
    planned = plan(w, node, [x], int8=square)
    axes = w.wish(planned.output)
    given = w.operand(x, axes, _params(w, x, planned.params))
    y = w.made(planned.output, axes, planned.params)
    if square:
        w.write("MUL", [given, given], [y], fusedActivationFunction=0)
    elif half:
        w.write("SQRT", [given], [y])
    else:
        w.write("POW", [given, w.operand(exponent, axes, None)], [y])


def one(w: Writing, node: Node) -> None:
    _single(w, node, _ONE[node.op], int8=False)


def sigmoid(w: Writing, node: Node) -> None:
    _fixed(w, node, "LOGISTIC", LOGISTIC)


def tanh(w: Writing, node: Node) -> None:
    _fixed(w, node, "TANH", TANH)


def hard_swish(w: Writing, node: Node) -> None:
    _single(w, node, "HARD_SWISH", int8=True)


def elu(w: Writing, node: Node) -> None:
    if float(node.attributes.get("alpha", 1.0)) != 1.0:
        raise w.refused("its alpha is not 1, the only one that TFLite has")
    _single(w, node, "ELU", int8=True)


def gelu(w: Writing, node: Node) -> None:
    about = node.attributes.get("approximate", b"none") == b"tanh"
    _single(w, node, "GELU", int8=True, approximate=about)


def reciprocal(w: Writing, node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    plan(w, node, [x], int8=False)
    axes = w.wish(y)
    given = w.take(x, axes)
    w.write("DIV", [w.scalar(1.0, None), given], [w.made(y, axes, None)], fusedActivationFunction=0)


def leaky_relu(w: Writing, node: Node) -> None:
    _single(w, node, "LEAKY_RELU", int8=True, alpha=float(node.attributes.get("alpha", 0.01)))


def prelu(w: Writing, node: Node) -> None:
    """The slope has one number, or one for each channel; in int8 it is rounded to 127ths of the largest."""
    x, slope = node.inputs
    value = w.needed(slope, "slope")
    planned = plan(w, node, [x])
    axes = w.wish(planned.output)
    given = w.take(x, axes, _params(w, x, planned.params))
    own = w.operand_params(slope)
    if planned.params is not None and own is None:
        own = Params(float(np.float32(np.abs(value).max() / 127)), 0)
    by = w.operand(slope, axes, own if planned.params is not None else None)
    y = w.made(planned.output, axes, planned.params)
    stored = w.file.shapes[by]
    if len(stored) == len(axes) and stored[0] == 1:  # PRELU's slope has no batch
        w.file.reshaped(by, stored[1:])
    w.write("PRELU", [given, by], [y])


def relu(w: Writing, node: Node) -> None:
    """Relu and Clip where no operator before them takes them in."""
    x = node.inputs[0]
    low, high = limits(w, node)
    planned = plan(w, node, [x])
    name = cut_by(planned.params, low, high)
    axes = w.wish(planned.output)
    if name is not None and name != "NONE":
        given = w.take(x, axes, _params(w, x, planned.params))
        y = w.made(planned.output, axes, planned.params)
        w.write(_CUT[name], [given], [y])
        return
    given = w.take(x, axes, planned.params)
    if name == "NONE" or (low == -np.inf and high == np.inf):
        w.give(planned.output, given, axes, planned.params)
        return
    for op, limit in (("MAXIMUM", low), ("MINIMUM", high)):
        if np.isfinite(limit):
            made = w.between(planned.output, w.file.shapes[given], given)
            w.write(op, [given, scalar_like(w, limit, given)], [made])
            given = made
    w.give(planned.output, given, axes, planned.params)


def hard_sigmoid(w: Writing, node: Node) -> None:
    """max(0, min(1, alpha x + beta)); with alpha 1/6 as RELU6(x + beta / alpha) / 6, which has int8 kernels."""
    x = node.inputs[0]
    alpha = float(node.attributes.get("alpha", 0.2))
    beta = float(node.attributes.get("beta", 0.5))
    planned = plan(
        w, node, [x], int8=abs(alpha * 6 - 1) < 1e-5 and _goes_on(w, node), bounded=_UNIT
    )
    axes = w.wish(planned.output)
    given = w.take(x, axes, _params(w, x, planned.params))
    shape = w.file.shapes[given]
    if abs(alpha * 6 - 1) < 1e-5:
        wide = planned.params and Params(
            float(np.float32(planned.params.scale) * np.float32(6)), planned.params.zero
        )
        middle = w.file.tensor(f"{planned.output}/cut", shape, w.file.dtypes[given], wide)
        w.write("ADD", [given, w.scalar(beta / alpha, wide)], [middle], fusedActivationFunction=3)
        y = w.made(planned.output, axes, planned.params)
        w.write("MUL", [middle, w.scalar(1 / 6, wide)], [y], fusedActivationFunction=0)
        return
    line = w.between(f"{planned.output}/line", shape, given)
    added = w.between(f"{planned.output}/added", shape, given)
    low = w.between(f"{planned.output}/low", shape, given)
    y = w.made(planned.output, axes, None)
    w.write("MUL", [given, w.scalar(alpha, None)], [line], fusedActivationFunction=0)
    w.write("ADD", [line, w.scalar(beta, None)], [added], fusedActivationFunction=1)
    w.write("MINIMUM", [added, w.scalar(1.0, None)], [low])
    w.reshape(low, y)


def batch_norm(w: Writing, node: Node) -> None:
    """A product and a sum for each channel; a training that is to be deployed has folded it into the convolution."""
    x = node.inputs[0]
    scale, bias, mean, variance = (w.needed(name, "statistic") for name in node.inputs[1:5])
    factor = scale / np.sqrt(variance + np.float32(node.attributes.get("epsilon", 1e-5)))
    planned = plan(w, node, [x], int8=False)
    axes = w.wish(planned.output)
    given = w.take(x, axes)
    shape = [1] * len(axes)
    shape[axes.index(1)] = len(factor)
    middle = w.between(f"{planned.output}/scaled", w.file.shapes[given], given)
    y = w.made(planned.output, axes, None)
    by = w.file.constant(f"{planned.output}/factor", factor.astype(np.float32).reshape(shape))
    plus = w.file.constant(
        f"{planned.output}/offset", (bias - mean * factor).astype(np.float32).reshape(shape)
    )
    w.write("MUL", [given, by], [middle], fusedActivationFunction=0)
    w.write("ADD", [middle, plus], [y], fusedActivationFunction=0)


def cast(w: Writing, node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    axes = w.wish(y)
    given = w.take(x, axes)
    if (
        w.file.dtypes[given] == w.graph.dtypes[y]
    ):  # between half and single precision, which are one here
        w.give(y, given, axes)
        return
    made = w.made(y, axes, None)
    numbers = w.file.schema.TensorType
    types = [getattr(numbers, w.file.dtypes[i].upper()) for i in (given, made)]
    w.write("CAST", [given], [made], inDataType=types[0], outDataType=types[1])


def where(w: Writing, node: Node) -> None:
    planned = plan(w, node, node.inputs[1:], int8=False)
    axes = w.wish(planned.output)
    given = [w.operand(name, axes, None) for name in node.inputs]
    y = w.made(planned.output, axes, None)
    w.write("SELECT_V2", given, [y])


def _single(w: Writing, node: Node, op: str, *, int8: bool, **options: object) -> None:
    planned = plan(w, node, node.inputs[:1], int8=int8)
    axes = w.wish(planned.output)
    given = w.take(node.inputs[0], axes, _params(w, node.inputs[0], planned.params))
    y = w.made(planned.output, axes, planned.params)
    w.write(op, [given], [y], **options)


def _fixed(w: Writing, node: Node, op: str, fixed: Params) -> None:
    x = node.inputs[0]
    planned = plan(w, node, [x], int8=_goes_on(w, node), bounded=fixed)
    axes = w.wish(planned.output)
    given = w.take(x, axes, _params(w, x, planned.params))
    y = w.made(planned.output, axes, planned.params and fixed)
    w.write(op, [given], [y])


def _goes_on(w: Writing, node: Node) -> bool:
    """Whether the output is quantised, or read by products alone that are: x * sigmoid(x) has no Q between the two."""
    y = node.outputs[0]
    if w.wanted(y) is not None:
        return True
    readers = w.graph.readers.get(y, [])
    return (
        bool(readers)
        and y not in w.graph.outputs
        and all(
            reader.op == "Mul"
            and w.wanted(reader.outputs[0]) is not None
            and all(name == y or w.operand_params(name) is not None for name in reader.inputs)
            for reader in readers
        )
    )


def _params(w: Writing, name: str, wanted: Params | None) -> Params | None:
    """Those by which an input is taken: its own, where the operator is int8."""
    return w.operand_params(name) if wanted is not None else None
