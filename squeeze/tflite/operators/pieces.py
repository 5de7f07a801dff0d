"""Operators that put tensors together or take them apart: Concat, Split, Slice, Pad, Gather, Expand, Tile."""

from __future__ import annotations

import numpy as np

from squeeze.tflite.layout import plain
from squeeze.tflite.node import Node
from squeeze.tflite.numbers import Array, Params
from squeeze.tflite.plan import plan
from squeeze.tflite.windows import scalar_like
from squeeze.tflite.writing import Form, Writing


def concat(w: Writing, node: Node) -> None:
    """In int8 all of one scale: inputs of others get a QUANTIZE."""
    y = node.outputs[0]
    shape, axes = w.shape(y), w.wish(y)
    names = [name for name in node.inputs if 0 not in w.shape(name)]
    int8 = all(w.operand_params(name) is not None for name in names)
    params = w.wanted(y) or (_shared(w, names) if int8 else None)
    planned = params if int8 else None
    if planned is None and any(w.params(name) is not None for name in names):
        w.in_float.append(node.name)
    taken = [w.take(name, axes, planned) for name in names]
    made = w.made(y, axes, planned)
    axis = axes.index(int(node.attributes["axis"]) % len(shape))
    w.write("CONCATENATION", taken, [made], axis=axis, fusedActivationFunction=0)


def _shared(w: Writing, names: list[str]) -> Params | None:
    found = {w.operand_params(name) for name in names}
    return found.pop() if len(found) == 1 else None


def split(w: Writing, node: Node) -> None:
    x = node.inputs[0]
    form = _stored(w, x)
    axis = int(node.attributes.get("axis", 0)) % len(w.shape(x))
    sizes = [w.shape(name)[axis] for name in node.outputs]
    made = [_like(w, name, form) for name in node.outputs]
    w.write(
        "SPLIT_V",
        [form.index, w.ints(sizes), w.ints(form.axes.index(axis))],
        made,
        numSplits=len(sizes),
    )


def cut(w: Writing, node: Node) -> None:
    """Slice."""
    x, y = node.inputs[0], node.outputs[0]
    shape = w.shape(x)
    if len(node.inputs) > 1:
        starts, ends = (w.needed(node.inputs[i], "range").reshape(-1) for i in (1, 2))
        along = (
            w.needed(node.input(3), "axes").reshape(-1) if node.input(3) else np.arange(len(starts))
        )
        steps = (
            w.needed(node.input(4), "steps").reshape(-1)
            if node.input(4)
            else np.ones(len(starts), np.int64)
        )
    else:  # before opset 10
        starts, ends = np.asarray(node.ints("starts", ())), np.asarray(node.ints("ends", ()))
        along = np.asarray(node.ints("axes", range(len(starts))))
        steps = np.ones(len(starts), np.int64)
    form = _stored(w, x)
    bounds = _bounds(form, shape, along, starts, ends, steps)
    made = _like(w, y, form)
    if all(s == 1 for _, _, s in bounds):
        begins = [a for a, _, _ in bounds]
        w.write("SLICE", [form.index, w.ints(begins), w.ints(w.file.shapes[made])], [made])
        return
    begins, ends_, strides = ([bound[i] for bound in bounds] for i in range(3))
    # An end before the first entry, of a step backwards, can only be said by the mask.
    mask = sum(1 << i for i, end in enumerate(ends_) if end < 0)
    w.write(
        "STRIDED_SLICE",
        [form.index, w.ints(begins), w.ints([max(end, 0) for end in ends_]), w.ints(strides)],
        [made],
        endMask=mask,
    )


def _bounds(
    form: Form, shape: tuple[int, ...], along: Array, starts: Array, ends: Array, steps: Array
) -> list[tuple[int, int, int]]:
    """(start, end, step) of each stored axis."""
    found = {axis: (0, size, 1) for axis, size in enumerate(shape)}
    for axis, a, b, s in zip(
        along.tolist(), starts.tolist(), ends.tolist(), steps.tolist(), strict=True
    ):
        own = axis % len(shape)
        limit = slice(a, b, s).indices(shape[own])
        found[own] = (limit[0], limit[1], limit[2])
    return [found[axis] for axis in form.axes]


def pad(w: Writing, node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    rank = len(w.shape(x))
    pads = (
        w.needed(node.inputs[1], "pads").reshape(-1).tolist()
        if len(node.inputs) > 1
        else node.ints("pads", ())
    )
    along = list(range(rank))
    if node.input(3):
        along = [int(axis) % rank for axis in w.needed(node.input(3), "axes").reshape(-1)]
    each = {axis: (int(pads[i]), int(pads[i + len(along)])) for i, axis in enumerate(along)}
    if any(n < 0 for both in each.values() for n in both):
        raise w.refused("one of its pads is negative; write it as a Slice")
    mode = node.attributes.get("mode", b"constant").decode()
    form = _stored(w, x)
    sizes = w.ints([each.get(axis, (0, 0)) for axis in form.axes])
    made = _like(w, y, form)
    if mode == "reflect":
        w.write("MIRROR_PAD", [form.index, sizes], [made], mode=0)
        return
    if mode != "constant":
        raise w.refused(f"its mode is {mode}; TFLite has constant and reflect")
    value = (
        float(w.needed(node.inputs[2], "value").reshape(()))
        if node.input(2)
        else float(node.attributes.get("value", 0.0))
    )
    if value == 0.0:
        w.write("PAD", [form.index, sizes], [made])
    else:
        w.write("PADV2", [form.index, sizes, scalar_like(w, value, form.index)], [made])


def gather(w: Writing, node: Node) -> None:
    """Rows of a table, or the same places of every sample."""
    x, places = node.inputs
    y = node.outputs[0]
    shape = w.shape(x)
    axis = int(node.attributes.get("axis", 0)) % len(shape)
    chosen = w.constant(places)
    if x in w.graph.constants:
        params = (
            w.graph.codes[x].params
            if x in w.graph.codes and w.graph.codes[x].values.dtype.name == "int8"
            else None
        )
        table = w.take(x, plain(len(shape)), params)
        index = w.take(places)
        made = w.made(y, plain(len(w.shape(y))), params)
        w.write("GATHER", [table, index], [made], axis=axis, batchDims=0)
        return
    form = _stored(w, x)
    given = (
        form.index if form.axes == plain(len(shape)) else w.take(x, plain(len(shape)), form.params)
    )
    index = (
        w.ints(np.where(chosen < 0, chosen + shape[axis], chosen), "places")
        if chosen is not None
        else w.take(places)
    )
    made = w.made(y, plain(len(w.shape(y))), form.params, w.file.dtypes[given])
    w.write("GATHER", [given, index], [made], axis=axis, batchDims=0)


def expand(w: Writing, node: Node) -> None:
    planned = plan(w, node, node.inputs[:1], int8=False)
    y = planned.output
    rank = len(w.shape(y))
    given = w.operand(node.inputs[0], plain(rank), None)
    made = w.made(y, plain(rank), None)
    w.write("BROADCAST_TO", [given, w.ints(w.shape(y))], [made])


def tile(w: Writing, node: Node) -> None:
    form = _stored(w, node.inputs[0])
    counts = w.needed(node.inputs[1], "repeats").reshape(-1)
    made = _like(w, node.outputs[0], form)
    w.write("TILE", [form.index, w.ints([int(counts[axis]) for axis in form.axes])], [made])


def depth_to_space(w: Writing, node: Node) -> None:
    """Channels [.., block, block, c] (DCR) are what TFLite has; those of CRD are brought into that order."""
    x, y = node.inputs[0], node.outputs[0]
    block = int(node.attributes["blocksize"])
    params = w.params(x)
    given = w.take(x, (0, 2, 3, 1), params)
    if node.attributes.get("mode", b"DCR") == b"CRD":
        channels = w.file.shapes[given][3]
        order = np.arange(channels).reshape(-1, block * block).T.reshape(-1)
        moved = w.between(f"{y}/channels", w.file.shapes[given], given)
        w.write("GATHER", [given, w.ints(order)], [moved], axis=3, batchDims=0)
        given = moved
    w.write("DEPTH_TO_SPACE", [given], [w.made(y, (0, 2, 3, 1), params)], blockSize=block)


def space_to_depth(w: Writing, node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    params = w.params(x)
    given = w.take(x, (0, 2, 3, 1), params)
    made = w.made(y, (0, 2, 3, 1), params)
    w.write("SPACE_TO_DEPTH", [given], [made], blockSize=int(node.attributes["blocksize"]))


def _stored(w: Writing, name: str) -> Form:
    """As it is stored: in int8 where it is, in the order that it has."""
    forms = [form for form in w.forms.get(name, []) if form.order is None]
    if not forms:
        if name in w.graph.constants:
            axes = plain(len(w.shape(name)))
            return Form(w.take(name, axes), axes)
        raise w.refused(f"'{name}' is made by nothing that could be written")
    coded = [form for form in forms if form.params is not None] or forms
    wish = w.wish(name)
    return next((form for form in coded if form.axes == wish), coded[0])


def _like(w: Writing, name: str, form: Form) -> int:
    """A tensor of a value in the order, type and params of another."""
    return w.made(name, form.axes, form.params, w.file.dtypes[form.index])
