"""SmoothQuant (Xiao et al. 2023): moves large activation channels into the weights that read them, in the float graph.

Behind a normalisation some channels are many times larger than the rest, and the one scale of the tensor is theirs.
Each channel j is divided by s_j = max|X_j|^a / max|W_j|^(1 - a) with a = 0.5 in the gain and the shift of the
normalisation, and the weights that read it are multiplied: the network computes what it did, and max|X_j| / s_j =
max|W_j| s_j. Where several products read the same values (query, key and value), max|W_j| is over all their weights.

Cases: LayerNormalization over the last axis with constant gain, or a constant Mul or Add per channel (also both), read
       by MatMul and Gemm with constant weights. What else reads behind a LayerNormalization, such as the residual of
       BERT, whose normalisations come last, reads it times s: one Mul, in float, for each normalisation.
Left:  values that something else reads behind a constant Mul or Add, or that are outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.values import add_constant, constant, fresh, integer, is_op, names
from squeeze.quant.repair.channels import Wide, largest, scale

if TYPE_CHECKING:
    from squeeze.feed import Passes

ALPHA = 0.5
SMALLEST = 1e-5


@dataclass(frozen=True)
class _Place:
    """A value, the constants per channel that make it, the products that read it, and what else does."""

    value: ir.Value
    makers: list[tuple[ir.Node, int]]  # node and index of its constant input
    readers: list[ir.Node]
    others: list[tuple[ir.Node, int]]  # node and index of the input that is `value`
    channels: int


@dataclass(frozen=True)
class Smoothed:
    """count: of places that were changed; added: nodes that undo it for what else reads there."""

    model: ir.Model
    count: int
    added: int


def smooth(
    model: ir.Model,
    passes: Passes,
    samples: int,
    alpha: float = ALPHA,
    *,
    residuals: bool = False,
    known: Mapping[str, Wide] | None = None,
) -> Smoothed:
    """A new model that computes the same. residuals: also where anything but products reads. known: how large the
    channels of values are, of those that were seen already.

    Raises ConfigError when there are no samples or they are not finite.
    """
    copy = ir.serde.deserialize_model(ir.serde.serialize_model(model))
    chosen = [place for place in _places(copy.graph) if residuals or not place.others]
    if not chosen:
        return Smoothed(copy, 0, 0)
    values = list(dict.fromkeys(str(place.value.name) for place in chosen))
    sizes = dict(known or {})
    if unknown := [name for name in values if name not in sizes]:
        sizes |= largest(model, unknown, passes, samples, axis=-1)
    for place in chosen:
        s = factors(sizes[str(place.value.name)], _weights_largest(place.readers), alpha)
        for node, index in place.makers:
            scale(node, index, 1 / s, "smooth")
        for node in place.readers:
            axis = 1 if is_op(node, "Gemm") and integer(node, "transB", 0) else 0
            scale(node, 1, s if axis else s[:, None], "smooth")
        if place.others:
            _undo(copy.graph, place, s)
    return Smoothed(copy, len(chosen), sum(bool(place.others) for place in chosen))


def _undo(graph: ir.Graph, place: _Place, s: Wide) -> None:
    """Gives what else reads the value as it was."""
    value, taken = place.value, names(graph)
    factor = add_constant(graph, fresh(f"{value.name}_smooth", taken), s.astype(np.float32))
    times = ir.Node("", "Mul", [value, factor], name=fresh(f"{value.name}_unsmoothed", taken))
    times.outputs[0].name = times.name
    times.outputs[0].type, times.outputs[0].shape = value.type, value.shape
    maker = value.producer()
    assert maker is not None
    graph.insert_after(maker, times)
    for node, index in place.others:
        node.replace_input_with(index, times.outputs[0])


def places(model: ir.Model) -> tuple[int, int]:
    """How many places there are to smooth where products alone read, and where something else reads, too."""
    found = _places(model.graph)
    beside = sum(bool(place.others) for place in found)
    return len(found) - beside, beside


def values_of(model: ir.Model) -> list[str]:
    """The names of the values behind which there are places."""
    return list(dict.fromkeys(str(place.value.name) for place in _places(model.graph)))


def factors(x_largest: Wide, weights_largest: Wide, alpha: float = ALPHA) -> Wide:
    """s [k] from the largest magnitudes of each channel, [k] each; 1 where one of them is zero."""
    used = (x_largest > 0) & (weights_largest > 0)
    x, w = np.where(used, x_largest, 1.0), np.where(used, weights_largest, 1.0)
    s: Wide = np.maximum(x**alpha / w ** (1 - alpha), SMALLEST)
    return np.where(used, s, 1.0)


def _places(graph: ir.Graph) -> list[_Place]:
    found = []
    for node in graph:
        value = node.outputs[0]
        uses = [] if value.is_graph_output() else list(value.uses())
        users = list(dict.fromkeys(u for u, _ in uses if _reads(u, value)))
        others = [(u, index) for u, index in uses if u not in users]
        if not users or (others and not is_op(node, "LayerNormalization")):
            continue
        if any(user.graph is not graph for user, _ in uses):
            continue  # in the body of an If or a Loop
        weights = constant(users[0].inputs[1])
        channels = 0 if weights is None else _rows(users[0], weights).shape[0]
        if makers := _makers(node, channels):
            found.append(_Place(value, makers, users, others, channels))
    return found


def _reads(node: ir.Node, value: ir.Value) -> bool:
    """Whether `node` multiplies `value` by constant weights, and does nothing else with it."""
    if not is_op(node, "MatMul", "Gemm") or list(node.inputs).count(value) != 1:
        return False
    weights = constant(node.inputs[1])
    return (
        node.inputs[0] is value
        and weights is not None
        and weights.ndim == 2
        and not integer(node, "transA", 0)
    )


def _makers(node: ir.Node, channels: int) -> list[tuple[ir.Node, int]]:
    """The constants that scale each of the channels of the output of `node`, all of them; [] where some cannot be."""
    if is_op(node, "LayerNormalization"):
        if integer(node, "axis", -1) not in (-1, _rank(node) - 1) or len(node.outputs) > 1:
            return []
        indices = [i for i in (1, 2) if len(node.inputs) > i and node.inputs[i] is not None]
        fit = all(_per_channel(node.inputs[i], channels) for i in indices)
        return [(node, i) for i in indices] if indices and fit else []
    if not is_op(node, "Mul", "Add") or len(node.inputs) != 2:
        return []
    for index in (0, 1):
        if not _per_channel(node.inputs[index], channels):
            continue
        if is_op(node, "Mul"):
            return [(node, index)]
        other = node.inputs[1 - index]
        before = other.producer() if other is not None else None
        if other is None or before is None or len(list(other.uses())) != 1:
            return []
        behind = [] if other.is_graph_output() else _makers(before, channels)
        return [*behind, (node, index)] if behind else []
    return []


def _per_channel(value: ir.Value | None, channels: int) -> bool:
    found = constant(value)
    return found is not None and found.dtype == np.float32 and found.shape == (channels,)


def _rank(node: ir.Node) -> int:
    shape = node.outputs[0].shape
    return 0 if shape is None else len(shape)


def _rows(node: ir.Node, weights: NDArray[np.generic]) -> NDArray[np.generic]:
    """The weights of a product with the channels that it reads first, [k, n]."""
    return weights.T if is_op(node, "Gemm") and integer(node, "transB", 0) else weights


def _weights_largest(readers: list[ir.Node]) -> Wide:
    found = []
    for node in readers:
        weights = constant(node.inputs[1])
        if weights is None:
            raise ValueError(f"{node.name}: its weights are not constant")
        found.append(np.abs(_rows(node, weights).astype(np.float64)).max(axis=1))
    together: Wide = np.max(found, axis=0)
    return together
