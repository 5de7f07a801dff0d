"""Writes Q/DQ nodes, int8 weights and int32 biases into a graph, in the form that ONNX Runtime's selectors fuse.

    x -> Q -> DQ -+
       int8 W -> DQ -> Conv -> Q -> DQ -> ...
     int32 b -> DQ -+

One Q and one DQ per tensor, whoever reads it, but for layers that stay float behind int8 (`float_input`). Activations
that the quantiser absorbs are removed. A Pad works on the integers themselves, since the runtime has no rule for it
between DQ and Q.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from squeeze.graph.values import (
    add_constant,
    constant,
    fresh,
    integer,
    is_op,
    names,
    only_user,
    producer,
    rank,
    replace,
)
from squeeze.quant.place import Placement, activations, has_weights
from squeeze.quant.ranges.grid import Grid, Params, quantise_bias
from squeeze.quant.weights.levels import FULL_BITS
from squeeze.quant.weights.weighted import Codes, Known, Weighted, read

__all__ = ["Codes", "Layer", "insert"]

FLOAT_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True)
class Layer:
    """A weighted node: its output of `rank` dimensions, `channels` the one of the output channels, in the float and in
    the quantised graph, the names of its constants, and the float bias that the integers came from. MatMul has no bias:
    its names are "", and `added_name` is the row of floats that an Add behind it adds.

    Nodes that read one constant have the same `weight_name` and `scale_name` when their integers are the same.
    """

    float_output: str
    output: str
    rank: int
    channels: int
    axis: int  # of the output channels in the weights
    weight_name: str
    scale_name: str
    bias_name: str
    bias_scale_name: str
    bias: NDArray[np.float64]  # [o]
    x_scale: float
    weight_scales: NDArray[np.float32]  # [o]
    added_name: str = ""

    @property
    def is_biased(self) -> bool:
        """Whether there is a bias that can be corrected."""
        return bool(self.bias_name or self.added_name)


def insert(
    model: ir.Model,
    placement: Placement,
    params: Mapping[str, Params],
    grid: Grid,
    codes: Mapping[str, Codes] | None = None,
) -> list[Layer]:
    """Rewrites `model` in place. `params` has the name of every root of `placement`. Returns the weighted nodes.

    codes: name of a weighted node's float output -> its weights, where they are not to be rounded here.
    """
    work = _Insertion(model.graph, placement, params, grid, codes or {})
    outputs = {node: str(node.outputs[0].name) for node in placement.nodes}
    for value in placement.sources:
        work.quantise(value)
    layers = [work.weights(node, outputs[node]) for node in placement.nodes if has_weights(node)]
    for node in placement.nodes:
        if node in placement.stretches:
            continue
        if is_op(node, "Relu"):
            work.to_leaky_relu(node)
        elif is_op(node, "Pad"):
            work.pad_integers(node)
    for node in tuple(model.graph):
        if is_op(node, *FLOAT_LAYERS) and node not in work.nodes:
            work.float_input(node)
    RemoveUnusedNodesPass()(model)
    return layers


class _Insertion:
    def __init__(
        self,
        graph: ir.Graph,
        placement: Placement,
        params: Mapping[str, Params],
        grid: Grid,
        codes: Mapping[str, Codes],
    ) -> None:
        self.graph, self.placement, self.grid = graph, placement, grid
        self.params, self.codes = params, codes
        self._constants: dict[ir.Value, tuple[ir.Value, ir.Value]] = {}
        self._zeros: dict[tuple[str, int], ir.Value] = {}
        self._known: Known = {}
        # Weights that are in the graph already, by the constant that they were made of and its axis.
        self._weights: dict[
            tuple[ir.Value | None, int], list[tuple[Codes, ir.Value, ir.Value]]
        ] = {}
        self.nodes = set(placement.nodes)
        self._taken = names(graph)

    def quantise(self, value: ir.Value) -> None:
        """Puts Q and DQ behind the source of `value`; readers in int8, or all if it is made in int8, take the DQ."""
        source = self.placement.sources[value]
        made = source.producer()
        scale, zero_point = self._scale(value)
        integers = ir.Node("", "QuantizeLinear", [source, scale, zero_point])
        real = ir.Node("", "DequantizeLinear", [integers.outputs[0], scale, zero_point])
        nodes = (integers, real)
        for node, suffix in zip(nodes, ("quantised", "dequantised"), strict=True):
            node.name = node.outputs[0].name = self._name(f"{value.name}_{suffix}")
            node.outputs[0].shape = value.shape
        integers.outputs[0].type = ir.TensorType(ir.DataType.from_numpy(self.grid.dtype))
        real.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        if made is None:
            self.graph.insert_before(self.graph[0], nodes)
        else:
            self.graph.insert_after(made, nodes)
        if made in self.nodes:
            self._take_over(value, real.outputs[0], integers)
        else:
            for user, index in tuple(value.uses()):
                if user in self.nodes and value in activations(user) and user is not integers:
                    user.replace_input_with(index, real.outputs[0])

    def _take_over(self, value: ir.Value, new: ir.Value, quantiser: ir.Node) -> None:
        source = self.placement.sources[value]
        users = [(u, i) for u, i in value.uses() if u is not quantiser]
        if value.is_graph_output():
            new.name, value.name = value.name, self._name(f"{value.name}_float")
            new.type, new.shape = value.type, value.shape
            for i, output in enumerate(self.graph.outputs):
                if output is value:
                    self.graph.outputs[i] = new
        for user, index in users:
            user.replace_input_with(index, new)
        if source is not value:
            self._remove_absorbed(source, value, quantiser)

    def _remove_absorbed(self, source: ir.Value, value: ir.Value, quantiser: ir.Node) -> None:
        while value is not source:
            node = value.producer()
            if node is None or node.inputs[0] is None:
                raise ValueError(f"no activation leads from {source.name} to {value.name}")
            value = node.inputs[0]
            self.graph.remove(node, safe=True)

    def _scale(self, value: ir.Value) -> tuple[ir.Value, ir.Value]:
        root = self.placement.roots[value]
        if root not in self._constants:
            found = self.params[str(root.name)]
            self._constants[root] = (
                self._constant(f"{root.name}_scale", np.asarray(found.scale, np.float32)),
                self._constant(
                    f"{root.name}_zero_point", np.asarray(found.zero_point, self.grid.dtype)
                ),
            )
        return self._constants[root]

    def weights(self, node: ir.Node, float_output: str) -> Layer:
        """Replaces weights and bias of a weighted node by integers and DQ nodes."""
        dequantise = node.inputs[0].producer() if node.inputs[0] is not None else None
        if dequantise is None:
            raise ValueError(f"{node.name}: its input is not quantised")
        layer = read(node, self._x_scale(dequantise), self._known, float_output)
        axis, x_scale = layer.shared.axis, layer.x_scale
        known = self.codes.get(float_output) or layer.to_nearest(FULL_BITS, "uniform", self.grid)
        scales = known.scales
        bias = layer.bias if known.bias is None else known.bias
        prefix = node.name or str(node.outputs[0].name)
        quantised, scale = self._integers(node, layer, known, prefix)
        zero_point = self._zero_points(np.zeros_like(scales, np.int8))
        node.replace_input_with(1, self._dequantise(node, quantised, scale, zero_point, axis))
        bias_name = bias_scale_name = ""
        if layer.biased:
            steps = quantise_bias(bias, x_scale, scales)
            bias_integers = self._constant(f"{prefix}_bias", steps)
            bias_scale = self._constant(f"{prefix}_bias_scale", np.float32(x_scale) * scales)
            node.resize_inputs(3)
            zero = self._zero_points(np.zeros_like(steps))
            node.replace_input_with(2, self._dequantise(node, bias_integers, bias_scale, zero, 0))
            bias_name, bias_scale_name = str(bias_integers.name), str(bias_scale.name)
        is_matmul = is_op(node, "MatMul")
        dims = rank(node.outputs[0]) if is_matmul else known.integers.ndim
        return Layer(
            float_output=float_output,
            output=str(node.outputs[0].name),
            rank=dims or 0,
            channels=(dims or 0) - 1 if is_matmul else 1,
            axis=axis,
            weight_name=str(quantised.name),
            scale_name=str(scale.name),
            bias_name=bias_name,
            bias_scale_name=bias_scale_name,
            bias=bias,
            x_scale=x_scale,
            weight_scales=scales,
            added_name=_added(node, len(scales)) if is_matmul and dims else "",
        )

    def _integers(
        self, node: ir.Node, layer: Weighted, codes: Codes, prefix: str
    ) -> tuple[ir.Value, ir.Value]:
        """The constants of weights and scales: those of another node that reads the same ones, where they are equal."""
        axis = layer.shared.axis
        there = self._weights.setdefault((node.inputs[1], axis), [])
        for other, quantised, scale in there:
            if other is codes or _equal(other, codes):
                return quantised, scale
        integers = np.moveaxis(codes.integers, 0, axis)
        quantised = self._constant(f"{prefix}_weight", integers)
        scale = self._constant(f"{prefix}_weight_scale", codes.scales)
        there.append((codes, quantised, scale))
        return quantised, scale

    def _zero_points(self, zeros: NDArray[np.generic]) -> ir.Value:
        """Layers of equal width share them: runtimes want them written out, but all are zero."""
        key = (str(zeros.dtype), len(zeros))
        if key not in self._zeros:
            self._zeros[key] = self._constant(f"zero_{key[0]}_{key[1]}", zeros)
        return self._zeros[key]

    def _x_scale(self, dequantise: ir.Node) -> float:
        scale = constant(dequantise.inputs[1])
        if scale is None:
            raise ValueError(f"{dequantise.name}: its scale is not constant")
        return float(scale.item())

    def _dequantise(
        self,
        node: ir.Node,
        integers: ir.Value,
        scale: ir.Value,
        zero_point: ir.Value,
        axis: int,
    ) -> ir.Value:
        real = ir.Node(
            "",
            "DequantizeLinear",
            [integers, scale, zero_point],
            [ir.AttrInt64("axis", axis)],
            name=self._name(f"{integers.name}_dequantised"),
        )
        real.outputs[0].name = real.name
        real.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        real.outputs[0].shape = integers.shape
        self.graph.insert_before(node, real)
        return real.outputs[0]

    def to_leaky_relu(self, relu: ir.Node) -> None:
        """A Relu whose input others read too: the runtime has an int8 kernel for LeakyRelu, and for Relu none."""
        slope = ir.AttrFloat32("alpha", 0.0)
        leaky = ir.Node("", "LeakyRelu", list(relu.inputs), [slope], name=relu.name)
        self._put(leaky, "leaky", instead_of=relu.outputs[0], before=relu)
        self.graph.remove(relu, safe=True)

    def pad_integers(self, pad: ir.Node) -> None:
        """DQ -> Pad -> Q on one scale becomes Pad of the integers, which fills in the zero point."""
        dequantise = pad.inputs[0].producer() if pad.inputs[0] is not None else None
        quantise = only_user(pad.outputs[0])
        if dequantise is None or quantise is None:
            raise ValueError(f"{pad.name} is not between DequantizeLinear and QuantizeLinear")
        inputs = [dequantise.inputs[0], pad.inputs[1], dequantise.inputs[2], *pad.inputs[3:]]
        moved = ir.Node("", "Pad", inputs, pad.attributes.values(), name=pad.name)
        self._put(moved, "padded", instead_of=quantise.outputs[0], before=pad)
        self.graph.remove([quantise, pad], safe=True)

    def float_input(self, node: ir.Node) -> None:
        """Gives a float layer behind a DequantizeLinear one of its own, with its scale for each channel.

        ONNX Runtime (seen in 1.31.1) rounds the weights of any Conv, ConvTranspose and Gemm behind a DequantizeLinear
        of one scale, with one scale for all of them. A product and its addition become a Gemm there. An input of one
        channel has one scale in either form, and cannot be helped.
        """
        dequantise = producer(node.inputs[0], "DequantizeLinear")
        scale, zero = (None, None) if dequantise is None else map(constant, dequantise.inputs[1:3])
        weights = constant(node.inputs[1])
        source = None if dequantise is None else dequantise.inputs[0]
        if source is None or scale is None or zero is None or scale.ndim or weights is None:
            return
        channels, axis = _input_channels(node, weights)
        each = [np.full(channels, numbers) for numbers in (scale, zero)]
        scales = self._constant(f"{source.name}_scales", each[0])
        zeros = self._constant(f"{source.name}_zero_points", each[1])
        real = self._dequantise(node, source, scales, zeros, axis)
        node.replace_input_with(0, real)

    def _put(self, node: ir.Node, suffix: str, *, instead_of: ir.Value, before: ir.Node) -> None:
        old, new = instead_of, node.outputs[0]
        new.name = self._name(f"{old.name}_{suffix}")
        new.type, new.shape = old.type, old.shape
        self.graph.insert_before(before, node)
        replace(old, new)

    def _constant(self, name: str, array: NDArray[np.generic]) -> ir.Value:
        return add_constant(self.graph, self._name(name), array)

    def _name(self, name: str) -> str:
        """A name that nothing in the graph has."""
        unique = fresh(name, self._taken)
        self._taken.add(unique)
        return unique


def _input_channels(node: ir.Node, weights: NDArray[np.generic]) -> tuple[int, int]:
    """How many channels the input of a layer has, and along which axis."""
    if is_op(node, "Conv"):
        return weights.shape[1] * integer(node, "group", 1), 1
    if is_op(node, "ConvTranspose"):
        return weights.shape[0], 1
    if is_op(node, "Gemm"):
        return weights.shape[integer(node, "transB", 0)], 1 - integer(node, "transA", 0)
    return weights.shape[-2], -1


def _equal(one: Codes, other: Codes) -> bool:
    return np.array_equal(one.scales, other.scales) and np.array_equal(one.integers, other.integers)


def _added(product: ir.Node, width: int) -> str:
    """The name of the row that an Add behind a product adds to what it gives, where nobody else reads that."""
    add = only_user(product.outputs[0])
    if add is None or not is_op(add, "Add"):
        return ""
    row = add.inputs[1] if add.inputs[0] is product.outputs[0] else add.inputs[0]
    found = constant(row)
    if row is None or found is None:
        return ""
    return str(row.name) if found.dtype == np.float32 and found.shape == (width,) else ""
