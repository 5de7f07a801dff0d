"""Empirical bias correction (Nagel et al. 2019, section 4.2): rounding weights and activations shifts the mean of each
output channel; the shift is measured on calibration data and taken off the bias.

The float and the quantised network run side by side in one graph. Behind every weighted node the graph itself subtracts
the difference of the two channel means, so that each layer is measured with all layers before it already corrected, and
one pass over the samples does what a pass per layer would do. The corrections of the chunks are averaged. A MatMul has
no bias: what an Add behind it adds to each row is corrected.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import numpy_helper

from squeeze.graph.values import add_constant, only_user
from squeeze.quant.insert import Layer
from squeeze.quant.ranges.grid import quantise_bias
from squeeze.quant.runner import Runner, chunks, fitting, of_like_length
from squeeze.runtimes.concurrent import in_order

if TYPE_CHECKING:
    from squeeze.feed import Passes

PREFIX = "quantised/"
# A mean of fewer samples says too little of a layer behind which all others are then measured.
FEWEST_TOGETHER = 8
# ReduceMean takes its axes as an input since then.
AXES_INPUT_OPSET = 18


def mean_shifts(
    model: ir.Model, quantised: ir.Model, layers: Sequence[Layer], passes: Passes, samples: int
) -> list[NDArray[np.float64]]:
    """What to add to the bias of each layer, [o] each. There must be layers, each with a bias."""
    both = _side_by_side(model, quantised, layers)
    runner = Runner(both, passes.interface, whole_chunks=True)
    total = [np.zeros(len(layer.bias)) for layer in layers]
    count = 0
    # What is found for padding would count as much as what is found for tokens.
    whole = chunks(passes, samples, max(FEWEST_TOGETHER, fitting(passes.interface)))
    feeds = of_like_length(whole, passes)
    found = in_order(lambda feed: list(runner.run(feed)), feeds, passes.workers)
    for size, shifts in chain.from_iterable(found):
        for i, shift in enumerate(shifts):
            total[i] += shift.reshape(-1).astype(np.float64) * size
        count += size
    return [t / count for t in total]


def correct(
    quantised: ir.Model, layers: Sequence[Layer], shifts: Sequence[NDArray[np.float64]]
) -> ir.Model:
    """A copy of `quantised` with the shifts in its biases."""
    corrected = ir.serde.deserialize_model(ir.serde.serialize_model(quantised))
    made = {str(value.name): value for node in corrected.graph for value in node.outputs}
    for layer, shift in zip(layers, shifts, strict=True):
        if layer.added_name:
            _add(corrected.graph, made[layer.output], layer.added_name, shift)
            continue
        integers = quantise_bias(layer.bias + shift, layer.x_scale, layer.weight_scales)
        value = corrected.graph.initializers[layer.bias_name]
        value.const_value = ir.tensor(integers, name=layer.bias_name)
    return corrected


def _add(graph: ir.Graph, product: ir.Value, name: str, shift: NDArray[np.float64]) -> None:
    """Adds `shift` to the row called `name` that an Add adds behind `product`, and that others may read, too."""
    add, row = only_user(product), graph.initializers[name]
    assert add is not None  # a layer has it
    assert row.const_value is not None  # an initialiser has contents
    shifted = (row.const_value.numpy() + shift).astype(np.float32)
    add.replace_input_with(1 - add.inputs.index(product), add_constant(graph, name, shifted))
    if not row.uses():
        del graph.initializers[name]


def _side_by_side(model: ir.Model, quantised: ir.Model, layers: Sequence[Layer]) -> bytes:
    """Both networks on the same inputs; the only outputs are the mean shifts of the layers, in order."""
    left, right = ir.serde.serialize_model(model), ir.serde.serialize_model(quantised)
    opset = next(o.version for o in left.opset_import if o.domain == "")
    prefix = PREFIX
    while any(name.startswith(prefix) for node in left.graph.node for name in node.output):
        prefix = f"_{prefix}"
    _rename(right.graph, prefix, keep={"", *(i.name for i in left.graph.input)})
    by_output = {prefix + layer.output: layer for layer in layers}
    nodes, constants = list(left.graph.node), list[onnx.TensorProto]()
    for node in right.graph.node:
        nodes.append(node)
        if layer := by_output.get(node.output[0]):
            added, axes = _shift(node, layer, opset)
            nodes += added
            constants.append(axes)
    graph = onnx.helper.make_graph(
        nodes,
        "side_by_side",
        left.graph.input,
        [
            onnx.helper.make_tensor_value_info(f"{o}/shift", onnx.TensorProto.FLOAT, None)
            for o in by_output
        ],
        [*left.graph.initializer, *right.graph.initializer, *constants],
    )
    both = onnx.helper.make_model(graph, opset_imports=left.opset_import, functions=left.functions)
    both.ir_version = left.ir_version
    data: bytes = both.SerializeToString()
    return data


def _rename(graph: onnx.GraphProto, prefix: str, keep: Set[str]) -> None:
    def renamed(name: str) -> str:
        return name if name in keep else prefix + name

    for node in graph.node:
        node.ClearField("name")  # those of the left network are the same
        node.input[:] = [renamed(n) for n in node.input]
        node.output[:] = [renamed(n) for n in node.output]
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                _rename(inner, prefix, keep)
    for value in (*graph.initializer, *graph.input, *graph.output):
        value.name = renamed(value.name)


def _shift(
    node: onnx.NodeProto, layer: Layer, opset: int
) -> tuple[list[onnx.NodeProto], onnx.TensorProto]:
    """Takes the output of `node` over: mean of the float layer minus its own mean is added to it, per channel."""
    output = node.output[0]
    raw, shift = f"{output}/raw", f"{output}/shift"
    node.output[0] = raw
    axes = [a for a in range(layer.rank) if a != layer.channels]
    constant = numpy_helper.from_array(np.asarray(axes, np.int64), f"{output}/axes")
    added = []
    for source, mean in ((layer.float_output, f"{output}/float_mean"), (raw, f"{output}/mean")):
        if opset >= AXES_INPUT_OPSET:
            reduce = onnx.helper.make_node(
                "ReduceMean", [source, constant.name], [mean], keepdims=1
            )
        else:
            reduce = onnx.helper.make_node("ReduceMean", [source], [mean], keepdims=1, axes=axes)
        added.append(reduce)
    added.append(onnx.helper.make_node("Sub", [f"{output}/float_mean", f"{output}/mean"], [shift]))
    added.append(onnx.helper.make_node("Add", [raw, shift], [output]))
    return added, constant
