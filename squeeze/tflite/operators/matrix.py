"""Gemm and MatMul: FULLY_CONNECTED where the second matrix is constant, else BATCH_MATMUL."""

from __future__ import annotations

import numpy as np

from squeeze.tflite.layout import plain
from squeeze.tflite.node import Node
from squeeze.tflite.numbers import Array, Codes, Params
from squeeze.tflite.operators.convolution import bias_codes
from squeeze.tflite.plan import plan
from squeeze.tflite.writing import Form, Writing


def gemm(w: Writing, node: Node) -> None:
    if node.attributes.get("transA"):
        raise w.refused("it transposes its first matrix; put a Transpose before it")
    scale, added = float(node.attributes.get("alpha", 1.0)), float(node.attributes.get("beta", 1.0))
    matrix = w.needed(node.inputs[1], "second matrix")
    codes = _codes(w, node.inputs[1])
    if not node.attributes.get("transB"):
        matrix, codes = matrix.T, _transposed(codes)
    elif codes is not None and codes.scale.size > 1 and codes.axis != 0:
        codes = None
    bias = np.zeros(len(matrix), np.float32)
    if node.input(2):
        bias = np.broadcast_to(w.needed(node.input(2), "bias"), (1, len(matrix))).reshape(
            -1
        ) * np.float32(added)
    if scale != 1.0:
        matrix = matrix * np.float32(scale)
        codes = codes and Codes(codes.values, codes.scale * np.float32(scale), codes.zero, 0)
    _connected(w, node, matrix, bias, codes, node.input(2))


def matmul(w: Writing, node: Node) -> None:
    b = w.constant(node.inputs[1])
    if b is not None and b.ndim == 2 and len(w.shape(node.inputs[0])) >= 2:
        bias, name = _bias_behind(w, node, b.shape[1])
        _connected(w, node, b.T, bias, _transposed(_codes(w, node.inputs[1])), name)
        return
    ranks = [len(w.shape(name)) for name in node.inputs]
    if min(ranks) < 2:
        raise w.refused("one of its inputs is a vector; make it a matrix")
    planned = plan(w, node, node.inputs)
    taken, flips = [], []
    for name, rank in zip(node.inputs, ranks, strict=True):
        flipped = (*range(rank - 2), rank - 1, rank - 2)
        params = w.operand_params(name) if planned.params else None
        there = [form for form in w.forms.get(name, ()) if form.params == params]
        flip = bool(there) and all(form.axes != plain(rank) for form in there)
        flip = flip and any(form.axes == flipped for form in there)
        taken.append(w.take(name, flipped if flip else plain(rank), params))
        flips.append(flip)
    rank = len(w.shape(planned.output))
    y = w.made(planned.output, plain(rank), planned.params)
    w.write("BATCH_MATMUL", taken, [y], adjX=flips[0], adjY=flips[1])


def _connected(
    w: Writing, node: Node, matrix: Array, bias: Array, codes: Codes | None, bias_name: str
) -> None:
    """matrix: [m, k]; bias: [m]."""
    x = node.inputs[0]
    rank = len(w.shape(x))
    made = _made_by(w, node)
    planned = plan(w, made, [x], fuse=True, int8=codes is not None)
    params = w.params(x) if planned.params else None
    form = _disordered(w, x, params)
    if form is not None and form.order is not None:
        order = np.asarray(form.order)
        matrix = matrix[:, order]
        codes = codes and Codes(codes.values[:, order], codes.scale, codes.zero, codes.axis)
    given = form.index if form is not None else w.take(x, plain(rank), params)
    label = bias_name or f"{node.outputs[0]}/bias"
    if params is not None and codes is not None:
        kernel = w.file.codes(node.inputs[1], codes)
        added = w.file.codes(label, bias_codes(bias, params.scale, codes.scale))
    else:
        kernel = w.file.constant(node.inputs[1], matrix.astype(np.float32))
        added = w.file.constant(label, bias.astype(np.float32))
    y = w.made(planned.output, plain(rank), planned.params)
    w.write(
        "FULLY_CONNECTED",
        [given, kernel, added],
        [y],
        fusedActivationFunction=planned.fused,
        keepNumDims=rank > 2,
    )


def _disordered(w: Writing, name: str, params: Params | None) -> Form | None:
    """The form of a flattened image whose entries are in the order of the stored one."""
    forms = [form for form in w.forms.get(name, ()) if form.order is not None]
    if not forms:
        return None
    if (form := next((f for f in forms if f.params == params), None)) is not None:
        return form
    return w.coded(name, forms[0], params)


def _made_by(w: Writing, node: Node) -> Node:
    """The Add of a bias that was taken in, or the node itself."""
    readers = w.graph.readers.get(node.outputs[0], [])
    return readers[0] if len(readers) == 1 and readers[0] in w.done else node


def _bias_behind(w: Writing, node: Node, count: int) -> tuple[Array, str]:
    """Of an Add of a constant that alone reads the product; it is then done."""
    readers = w.graph.readers.get(node.outputs[0], [])
    if len(readers) == 1 and readers[0].op == "Add" and node.outputs[0] not in w.graph.outputs:
        other = next((name for name in readers[0].inputs if name != node.outputs[0]), "")
        value = w.constant(other)
        if (
            value is not None
            and value.size in (1, count)
            and value.shape[-1:] in ((), (1,), (count,))
        ):
            w.done.add(readers[0])
            return np.broadcast_to(value.reshape(-1), (count,)).astype(np.float32), other
    return np.zeros(count, np.float32), ""


def _codes(w: Writing, name: str) -> Codes | None:
    """Symmetric int8; None for all others."""
    codes = w.graph.codes.get(name)
    return (
        codes
        if codes is not None and codes.symmetric and codes.values.dtype.name == "int8"
        else None
    )


def _transposed(codes: Codes | None) -> Codes | None:
    """Of a matrix, with its scales along the outputs, which are the first axis then."""
    if codes is None or (codes.scale.size > 1 and codes.axis != 1):
        return None
    return Codes(codes.values.T, codes.scale, codes.zero, 0)
