"""Finds a vision transformer of the kind of ViT and DeiT in a graph, whoever exported it: its sizes and its weights.

Taken: a convolution that cuts the image into patches -> tokens put before them, positions added -> layers that
       normalise before attention and before two linear layers with GELU or ReLU between, each added to what it was
       given -> a normalisation -> the first token, or the mean of all -> linear layers.
Left:  images with the channels last, patches that overlap, normalisation between positions and layers, factors on what
       is added (LayerScale), positions that are relative, the mean of some tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, TypeVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.encoder.ending import read_ending
from squeeze.graph.encoder.halves import Attention, Forward, attention, feed_forward
from squeeze.graph.encoder.lookups import MOVES, table_of
from squeeze.graph.encoder.parts import Norm, Weights, real_array
from squeeze.graph.qdq import Refused
from squeeze.graph.values import contents, integer, integers, is_op

Json = dict[str, Any]  # Any: JSON
_Half = TypeVar("_Half", Attention, Forward)


@dataclass(frozen=True)
class _Tokens:
    """rows: [tokens, width], what is added to the patches that `conv` makes, behind `before` other tokens."""

    conv: ir.Node
    rows: NDArray[np.float64]
    before: int


def read_images(graph: ir.Graph, norms: list[Norm]) -> tuple[Json, Weights]:
    """(parameters, state dict) of `students.Encoder`. norms: all of the graph. Raises Refused."""
    x, found = _first(norms)
    weights = {"position.weight": found.rows.astype(np.float32)}
    patches, made = _patches(found)
    weights |= made
    layers, sizes = 0, set[tuple[Any, ...]]()
    while (seen := _half(x, norms, attention)) is not None:
        norm1, x, attended = seen
        second = _half(x, norms, feed_forward)
        if second is None:
            raise Refused("no two linear layers follow its attention")
        norm2, x, forward = second
        parts = {**attended.weights, **norm1.arrays("norm1"), **forward.weights}
        parts |= norm2.arrays("norm2")
        weights |= {f"layers.{layers}.{part}": value for part, value in parts.items()}
        width = len(parts["query.bias"])
        size = (attended.heads, width // attended.heads, attended.scale)
        sizes.add((*size, forward.width, forward.activation))
        layers += 1
    if not layers:
        raise Refused("no layer of attention with normalisation before it follows its patches")
    if len(sizes) > 1:
        raise Refused("its layers have several sizes")
    last = [norm for norm in norms if norm.input is x]
    if len(last) != 1:
        raise Refused("no normalisation follows its last layer")
    ending, tail = read_ending(last[0].output, graph.outputs[0])
    heads, head_size, scale, ffn, activation = sizes.pop()
    params = {
        "inputs": [str(graph.inputs[0].name)],
        "ids": str(graph.inputs[0].name),
        "patches": patches,
        "norm_first": True,
        "vocabulary": 0,
        "positions": len(found.rows),
        "layers": layers,
        "hidden": found.rows.shape[1],
        "heads": heads,
        "head_size": head_size,
        "ffn": ffn,
        "activation": activation,
        "eps": last[0].eps,
        "scale": scale,
        **ending,
    }
    return params, weights | last[0].arrays("norm") | tail


def _first(norms: list[Norm]) -> tuple[ir.Value, _Tokens]:
    """What enters the first layer, and what it is made of."""
    for norm in norms:
        found = _tokens(norm.input)
        if found is not None:
            return norm.input, found
    raise Refused("no patches of an image with positions are normalised first")


def _tokens(value: ir.Value | None) -> _Tokens | None:
    """How tokens [n, s, width] come from patches alone; None where they do not."""
    node = None if value is None else value.producer()
    if node is None:
        return None
    if is_op(node, "Conv"):
        source, weight = node.inputs[0], contents(node.inputs[1])
        whole = node.outputs[0].shape
        if source is None or not source.is_graph_input() or weight is None or whole is None:
            return None
        places = prod(_sizes(whole))
        return _Tokens(node, np.zeros((places, len(weight)), np.float64), 0)
    if is_op(node, *MOVES, "Transpose", "Flatten"):
        return _tokens(node.inputs[0])
    if is_op(node, "Add"):
        for one, other in (tuple(node.inputs), tuple(node.inputs)[::-1]):
            found = _tokens(one)
            table = None if found is None or other is None else _rows(other, found)
            if found is not None and table is not None:
                return _Tokens(found.conv, found.rows + table, found.before)
    if is_op(node, "Pad") and (found := _tokens(node.inputs[0])) is not None:
        # Tokens of zeros; another number would be seen when outputs are compared.
        pads = contents(node.inputs[1]) if len(node.inputs) < 4 else None
        count = 0 if pads is None or pads.size != 6 else int(pads[1])
        if pads is None or count < 1 or pads.tolist() != [0, count, 0, 0, 0, 0]:
            return None
        rows = np.concatenate([np.zeros((count, found.rows.shape[1])), found.rows])
        return _Tokens(found.conv, rows, found.before + count)
    if is_op(node, "Concat") and integer(node, "axis", 0) in (1, -2):
        *first, last = node.inputs
        found = _tokens(last)
        tables = [_rows(v, found) for v in first if v is not None and found is not None]
        if found is not None and all(table is not None for table in tables):
            rows = np.concatenate([*tables, found.rows])
            return _Tokens(found.conv, rows, found.before + len(rows) - len(found.rows))
    return None


def _rows(value: ir.Value, beside: _Tokens) -> NDArray[np.float64] | None:
    """A constant as rows of the width of tokens."""
    width = beside.rows.shape[1]
    found = table_of(value, width)
    return None if found is None else np.asarray(found, np.float64).reshape(-1, width)


def _patches(found: _Tokens) -> tuple[Json, Weights]:
    """Sizes of the patches and the weights of their convolution."""
    conv = found.conv
    weight = contents(conv.inputs[1])
    bias = contents(conv.inputs[2]) if len(conv.inputs) > 2 else None
    whole = conv.inputs[0].shape if conv.inputs[0] is not None else None
    assert weight is not None  # seen by _tokens
    sides = list(weight.shape[2:])
    cut = (
        integers(conv, "strides") == sides
        and not any(integers(conv, "pads") or ())
        and set(integers(conv, "dilations") or (1,)) == {1}
        and integer(conv, "group", 1) == 1
    )
    size = _sizes(whole)
    if not cut or any(n % side for n, side in zip(size, sides, strict=True)):
        raise Refused("its patches overlap, or leave pixels out")
    bias = np.zeros(len(weight), np.float32) if bias is None else bias
    patches = {
        "channels": weight.shape[1],
        "size": size,
        "patch": sides,
        "class_tokens": found.before,
    }
    return patches, {"patch.weight": real_array(weight), "patch.bias": real_array(bias)}


def _sizes(shape: ir.Shape | None) -> list[int]:
    """Of [n, channels, height, width] the last two."""
    found = [] if shape is None else [n for n in shape[2:] if isinstance(n, int)]
    if len(found) != 2:
        raise Refused("the size of its images is not known")
    return found


def _half(
    x: ir.Value, norms: list[Norm], find: Callable[[ir.Value | None], _Half | None]
) -> tuple[Norm, ir.Value, _Half] | None:
    """(normalisation, sum, what `find` finds) where `x` is added to what comes of its normalisation."""
    for norm in (norm for norm in norms if norm.input is x):
        for use in x.uses():
            add = use.node
            if not is_op(add, "Add"):
                continue
            other = add.inputs[1] if add.inputs[0] is x else add.inputs[0]
            found = find(other)
            if found is not None and found.source is norm.output:
                return norm, add.outputs[0], found
    return None
