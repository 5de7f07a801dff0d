"""Between a float ONNX graph and the network that is trained: in with weights and ranges, out with integers and scales.

network = network_of(model, batches)        the graph as it is, normalisation put back
... train ...
quantised = to_qdq(model, trained(network), "uint8")    the same integers, scales and biases in Q/DQ form
changed = to_float(model, network)          the trained weights in the float graph
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import onnx_ir as ir
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass
from torch import Tensor, nn

from squeeze import export
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.graph import with_sizes
from squeeze.graph.values import add_constant, is_op
from squeeze.quant.insert import Codes, insert
from squeeze.quant.keep import kept
from squeeze.quant.place import WEIGHTED, has_weights, place
from squeeze.quant.place import activations as activation_inputs
from squeeze.quant.ranges.grid import LARGEST_BIAS, Grid, Params
from squeeze.students.imported import with_shapes
from squeeze.students.network import Inputs
from squeeze.train.quantised.network import QuantNetwork
from squeeze.train.quantised.plan import plan

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Trained:
    """What a file needs of a trained network. weights: output of a weighted node -> integers, scales and bias with
    normalisation folded. grids: root of an activation -> (scale, zero point). floats: (output of a node, index of its
    constant input) -> what was learned in float there."""

    weights: dict[str, Codes]
    grids: dict[str, tuple[float, int]]
    floats: dict[tuple[str, int], NDArray[np.float32]] = field(default_factory=dict)


def network_of(
    model: ir.Model,
    batches: Callable[[], Iterable[Inputs]],
    keep_float: Collection[str] = (),
    *,
    activation_products: bool = False,
    integer_outputs: bool = False,
) -> QuantNetwork:
    """The trainable form of an optimised float graph, in eval mode; `model` stays as it is.

    keep_float: patterns of nodes that get no quantisers, see `squeeze.quant.keep`; activation_products: both inputs of
    products of two activations are on grids; integer_outputs: what the graph gives is on a grid too.
    batches: a fresh pass over preprocessed inputs [n, ...]; a few hundred samples are enough for the moments.
    Raises UnsupportedError when the graph has an operator that torch training does not know.
    """
    shaped = with_shapes(with_sizes(model, _sizes_of(model, batches)))
    found = plan(
        shaped,
        kept(shaped, keep_float),
        activation_products=activation_products,
        integer_outputs=integer_outputs,
    )
    params, arrays = export.from_ir(shaped)
    try:
        network = QuantNetwork(params, found)
    except ConfigError as e:
        raise UnsupportedError(str(e)) from e
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    biases = {}
    for layer in network.norms:
        given = weights.pop(f"layers.{layer}.bias", None)
        count = len(weights[f"layers.{layer}.weight"])
        biases[layer] = torch.zeros(count) if given is None else given
    network.load_state_dict(weights, strict=False)
    if biases:
        network.unfold(biases, batches())
    # torch's annotation of Module.to lacks the memory format.
    return network.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload, no-any-return]


def _sizes_of(model: ir.Model, batches: Callable[[], Iterable[Inputs]]) -> dict[str, int]:
    """Free sizes of the only input, but for its batch, as the samples have them. Of several inputs, which are tokens
    and masks, sizes stay free: batches are as wide as their longest sample."""
    if len(model.graph.inputs) > 1:
        return {}
    dims = model.graph.inputs[0].shape
    free = {i: str(d.value) for i, d in enumerate(dims or ()) if i and not isinstance(d, int)}
    if not free:
        return {}
    x = next(iter(batches()))
    assert isinstance(x, Tensor)  # of an only input
    return {name: x.shape[i] for i, name in free.items()}


@torch.no_grad()
def trained(network: QuantNetwork) -> Trained:
    """The integers, scales and biases of a network whose weighted layers all have quantisers."""
    weights = {}
    for layer, output in network.weighted.items():
        integers, scales = network.weight_quantisers[layer].integers(network.layers[layer].weight)  # type: ignore[operator]
        factor, bias = network.folded(layer)
        weights[output] = Codes(
            integers.to(torch.int8).cpu().contiguous().numpy(),
            (scales * factor).float().cpu().numpy(),
            bias.double().cpu().numpy(),
        )
    return Trained(weights, network.activation_grids(), _floats(network))


def to_qdq(
    model: ir.Model,
    found: Trained,
    activations: Literal["uint8", "int8"],
    keep_float: Collection[str] = (),
    *,
    activation_products: bool = False,
    integer_outputs: bool = False,
) -> ir.Model:
    """A new model: the graph of `model` with the integers and grids of a network that was trained with the same
    `keep_float`, `activation_products` and `integer_outputs`."""
    quantised = with_shapes(model)
    _set_floats(quantised.graph, found.floats)
    placement = place(
        quantised.graph,
        kept(quantised, keep_float),
        activation_products=activation_products,
        integer_outputs=integer_outputs,
    )
    params = {root: Params(float(np.float32(s)), z) for root, (s, z) in found.grids.items()}
    dtype = np.dtype(np.uint8) if activations == "uint8" else np.dtype(np.int8)
    codes = {
        str(node.outputs[0].name): _wide_enough(
            found.weights[str(node.outputs[0].name)],
            params[str(placement.roots[activation_inputs(node)[0]].name)].scale,
        )
        for node in placement.nodes
        if has_weights(node)
    }
    insert(quantised, placement, params, Grid(dtype), codes)
    return quantised


def to_float(model: ir.Model, network: QuantNetwork) -> ir.Model:
    """A new model: the graph of `model` with the network's weights as they are shadowed, normalisation folded."""
    copy = ir.serde.deserialize_model(ir.serde.serialize_model(model))
    layers = {output: layer for layer, output in network.weighted.items()}
    for node in copy.graph:
        layer = layers.get(str(node.outputs[0].name)) if is_op(node, *WEIGHTED) else None
        if layer is None:
            continue
        weight, bias = _folded_weights(network, layer)
        if isinstance(network.layers[layer], nn.Linear) and not _is_transposed(node):
            weight = weight.T
        _set(copy.graph, node, 1, weight)
        if not is_op(node, "MatMul"):
            _set(copy.graph, node, 2, bias)
    _set_floats(copy.graph, _floats(network))
    RemoveUnusedNodesPass()(copy)  # the weights that were replaced
    return copy


def _floats(network: QuantNetwork) -> dict[tuple[str, int], NDArray[np.float32]]:
    return {place: p.detach().cpu().numpy() for place, p in network.learned_floats().items()}


def _set_floats(graph: ir.Graph, floats: Mapping[tuple[str, int], NDArray[np.float32]]) -> None:
    """Replaces constants that were learned in float, in place."""
    nodes = {str(node.outputs[0].name): node for node in graph}
    for (output, index), array in floats.items():
        _set(graph, nodes[output], index, array)


def _folded_weights(
    network: QuantNetwork, layer: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    module = network.layers[layer]
    weight: Tensor = module.weight.detach()  # type: ignore[operator]
    factor, bias = network.folded(layer)
    wide = factor.reshape(-1, *[1] * (weight.ndim - 1))
    folded = (weight * wide).cpu().contiguous().numpy()
    return np.ascontiguousarray(folded), bias.float().cpu().numpy()


def _wide_enough(codes: Codes, x_scale: float) -> Codes:
    """With larger scales for channels that training switched off, whose bias would not fit into int32.

    On these their weights are next to nothing, as they are, but still of the values that the layer has, so that few
    values stay few.
    """
    assert codes.bias is not None  # `trained` always gives one
    least = np.abs(codes.bias) / (x_scale * LARGEST_BIAS)
    narrow = codes.scales < least
    if not narrow.any():
        return codes
    share = np.where(narrow, codes.scales / np.maximum(least, 1e-300), 1.0)
    wide = share.reshape(-1, *[1] * (codes.integers.ndim - 1))
    scales = np.maximum(codes.scales, least).astype(np.float32)
    values = np.unique(codes.integers)
    middles = (values[1:] + values[:-1].astype(np.float64)) / 2
    integers = values[np.searchsorted(middles, codes.integers * wide)]
    return Codes(np.where(wide < 1, integers, codes.integers), scales, codes.bias)


def _is_transposed(node: ir.Node) -> bool:
    return is_op(node, "Gemm") and bool(
        node.attributes["transB"].as_int() if "transB" in node.attributes else 0
    )


def _set(graph: ir.Graph, node: ir.Node, index: int, array: NDArray[np.float32]) -> None:
    kind = "weight" if index == 1 and not is_op(node, "Add") else "bias"
    name = f"{node.name or node.outputs[0].name}_{kind}"
    if len(node.inputs) <= index:
        node.resize_inputs(index + 1)
    node.replace_input_with(index, add_constant(graph, name, np.asarray(array, np.float32)))
