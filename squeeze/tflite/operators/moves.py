"""Operators that only say how the same numbers are read: Reshape and its like, Transpose, Identity."""

from __future__ import annotations

import numpy as np

from squeeze.tflite.layout import Axes, channels_last, keeps_channels, keeps_order, plain
from squeeze.tflite.node import Node
from squeeze.tflite.writing import Writing


def identity(w: Writing, node: Node) -> None:
    w.alias(node.outputs[0], w.forms.get(node.inputs[0], []))


def transpose(w: Writing, node: Node) -> None:
    """Writes nothing: whoever reads the value in another order than it is stored in moves it."""
    rank = len(w.shape(node.inputs[0]))
    order = node.ints("perm", range(rank)[::-1])
    for form in w.forms.get(node.inputs[0], []):
        axes = tuple(order.index(axis) for axis in form.axes)
        w.give(node.outputs[0], form.index, axes, form.params)


def reshape(w: Writing, node: Node) -> None:
    """In the order of ONNX, but where channels stay what they are, or where a matrix behind it takes another order."""
    x, y = node.inputs[0], node.outputs[0]
    before, after = w.shape(x), w.shape(y)
    forms = [form for form in w.forms.get(x, []) if form.order is None]
    form = next((f for f in forms if f.params is not None), forms[0] if forms else None)
    if form is None:
        raise w.refused(f"'{x}' is made by nothing that could be written")
    last = channels_last(len(before)) if len(before) >= 3 else plain(len(before))
    if form.axes == last and keeps_channels(before, after) and _wishes_last(w, y):
        made = w.made(y, channels_last(len(after)), form.params, w.file.dtypes[form.index])
        w.reshape(form.index, made)
        return
    if (
        _flattens(before, after)
        and not keeps_order(form.axes, before)
        and _only_matrices_read(w, y)
    ):
        made = w.file.tensor(w.label(y), after, w.file.dtypes[form.index], form.params)
        w.reshape(form.index, made)
        places = np.arange(int(np.prod(before[1:]))).reshape(before[1:])
        order = places.transpose([axis - 1 for axis in form.axes[1:]]).reshape(-1)
        w.give(y, made, plain(2), form.params, tuple(int(i) for i in order))
        return
    stays = keeps_order(form.axes, before)
    given = form.index if stays else w.take(x, plain(len(before)), form.params)
    made = w.made(y, plain(len(after)), form.params, w.file.dtypes[given])
    w.reshape(given, made)


def _wishes_last(w: Writing, name: str) -> bool:
    """Whether a value is to be channels last, or is turned so that it is by a Transpose."""
    rank = len(w.shape(name))
    last: Axes = channels_last(rank)
    if w.wish(name) == last:
        return True
    readers = w.graph.readers.get(name, [])
    return bool(readers) and all(
        node.op == "Transpose" and node.ints("perm", range(rank)[::-1]) == list(last)
        for node in readers
    )


def _flattens(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    return len(before) >= 3 and len(after) == 2 and before[0] == after[0] == 1


def _only_matrices_read(w: Writing, name: str) -> bool:
    """As their first input, with constant weights, also behind Q and DQ."""
    if name in w.graph.outputs:
        return False
    readers = w.graph.readers.get(name, [])
    for node in readers:
        if node.op in ("QuantizeLinear", "DequantizeLinear", "Identity", "Dropout"):
            if not _only_matrices_read(w, node.outputs[0]):
                return False
        elif (
            node.op not in ("Gemm", "MatMul")
            or node.inputs[0] != name
            or node.inputs.count(name) > 1
            or node.inputs[1] not in w.graph.constants
            or node.attributes.get("transA")
        ):
            return False
    return bool(readers)
