"""Models of several layers of one shape, each with its own weights: the same arithmetic for every contender.

The time of one layer is (T(long) - T(short)) / (layers more), so that what a run costs by itself cancels. Layers
that keep the shape feed one another; others are branches that read one input and write an output each.

Activations are u8, channels-last at the model's borders, so that no contender has to turn them: the plain graph holds
the Transposes, which every runtime cancels against its own channels-last form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks.layers import Layer
from squeeze import ops
from squeeze.ops import qconv

SHORT, LONG = 3, 11
OPSET = 18
SCALE = 0.02
WEIGHT_LIMIT = 127
BITS = 4
Array = NDArray[Any]  # Any: several element types


@dataclass(frozen=True)
class Weights:
    """Constants of one layer. `codebook` [outputs, 2^BITS] and `indices` [count] give `w`."""

    w: Array  # int8 [o, i / group, kh, kw]
    scale: Array  # float32 [o]
    bias: Array  # int32 [o]
    codebook: Array  # int8
    indices: Array  # uint8, before packing


class Graph:
    """Writes one ONNX graph node by node."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Array, name: str) -> str:
        self.constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def add(
        self,
        op: str,
        inputs: list[str],
        output: str,
        domain: str = "",
        **attributes: Any,  # Any: of ONNX
    ) -> str:
        node = helper.make_node(op, inputs, [output], name=output, domain=domain, **attributes)
        self.nodes.append(node)
        return output

    def model(
        self, x: tuple[int, ...], outputs: list[str], y: tuple[int, ...], kinds: tuple[int, int]
    ) -> bytes:
        """Serialised; `kinds` are the element types of the input and of the outputs."""
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info("x", kinds[0], list(x))],
            [helper.make_tensor_value_info(name, kinds[1], list(y)) for name in outputs],
            self.constants,
        )
        domains = {"": OPSET, ops.DOMAIN: ops.VERSION, "com.microsoft": 1}
        used = {"", *(node.domain for node in self.nodes)}
        imports = [helper.make_opsetid(d, v) for d, v in domains.items() if d in used]
        model = helper.make_model(graph, opset_imports=imports, ir_version=9)
        data: bytes = model.SerializeToString()
        return data


def weights(shape: tuple[int, ...], index: int) -> Weights:
    """Random weights of layer `index` that are values of a codebook, scaled so that a chain keeps its spread."""
    rng = np.random.default_rng(index)
    outputs, fan_in = shape[0], int(np.prod(shape[1:]))
    codebook = np.sort(
        rng.integers(-WEIGHT_LIMIT, WEIGHT_LIMIT + 1, (outputs, 2**BITS), dtype=np.int8), axis=1
    )
    indices = rng.integers(0, 2**BITS, (outputs, fan_in), dtype=np.uint8)
    w = np.take_along_axis(codebook, indices.astype(np.int64), axis=1)
    # A Relu halves the mean square, which the factor of sqrt(2) makes up for.
    gain = np.sqrt(2 / np.sum(np.square(w, dtype=np.float64), axis=1) + 1e-12)
    return Weights(
        w=w.reshape(shape),
        scale=gain.astype(np.float32),
        bias=rng.integers(-500, 500, outputs, dtype=np.int32),
        codebook=codebook,
        indices=indices.reshape(-1),
    )


def packed(indices: Array, bits: int = BITS) -> Array:
    """The bit stream of indices of `bits` bits, least significant bit first."""
    bit = np.arange(bits, dtype=np.uint8)
    return np.packbits((indices[:, None] >> bit & 1).astype(np.uint8), bitorder="little")


def qdq(layer: Layer, count: int) -> bytes:
    """`count` layers in standard operators; every runtime fuses each to one int8 convolution."""
    graph = _start()
    x = graph.add("Transpose", ["x"], "planes", perm=qconv.FROM_NHWC)
    x = start = graph.add("DequantizeLinear", [x, "scale", "zero"], "start")
    outputs = []
    for i in range(count):
        made = weights(layer.weight_shape, i)
        w = graph.constant(made.w, f"w{i}"), graph.constant(made.scale, f"ws{i}")
        bias = (
            graph.constant(made.bias, f"b{i}"),
            graph.constant((made.scale * np.float32(SCALE)).astype(np.float32), f"bs{i}"),
        )
        real_w = graph.add("DequantizeLinear", list(w), f"rw{i}", axis=0)
        real_bias = graph.add("DequantizeLinear", list(bias), f"rb{i}", axis=0)
        y = graph.add("Conv", [x, real_w, real_bias], f"c{i}", **_attributes(layer))
        if layer.residual:
            y = graph.add("QuantizeLinear", [y, "scale", "middle"], f"cq{i}")
            y = graph.add("DequantizeLinear", [y, "scale", "middle"], f"cd{i}")
            y = graph.add("Add", [y, x], f"a{i}")
        y = graph.add("Relu", [y], f"r{i}")
        quantised = graph.add("QuantizeLinear", [y, "scale", "zero"], f"q{i}")
        last = i == count - 1
        if last or not layer.feeds_next:
            outputs.append(graph.add("Transpose", [quantised], f"y{i}", perm=qconv.TO_NHWC))
        if not last:
            x = (
                graph.add("DequantizeLinear", [quantised, "scale", "zero"], f"d{i}")
                if layer.feeds_next
                else start
            )
    return _images(graph, layer, outputs)


def native(layer: Layer, count: int) -> bytes:
    """The same as `count` QConv nodes, without their bodies: no runtime but ours can run it."""
    return _ours(layer, count, codebooks=False)


def codebook(layer: Layer, count: int) -> bytes:
    """The same as `count` QCodebookConv nodes, a codebook per output channel."""
    return _ours(layer, count, codebooks=True)


def _ours(layer: Layer, count: int, *, codebooks: bool) -> bytes:
    graph, x, outputs = _start(), "x", []
    attributes = _attributes(layer) | {"x_perm": qconv.FROM_NHWC, "y_perm": qconv.TO_NHWC}
    del attributes["kernel_shape"]
    if codebooks:
        attributes |= {"w_shape": layer.weight_shape, "bits": BITS, "bucket": layer.fan_in}
    for i in range(count):
        made = weights(layer.weight_shape, i)
        w = (
            [
                graph.constant(packed(made.indices), f"i{i}"),
                graph.constant(made.codebook, f"k{i}"),
            ]
            if codebooks
            else [graph.constant(made.w, f"w{i}")]
        )
        w += [graph.constant(made.scale, f"ws{i}"), graph.constant(made.bias, f"b{i}")]
        op = "QCodebookConv" if codebooks else "QConv"
        inputs = [x, "scale", "zero", *w, "scale", "zero"]
        if layer.residual:
            op += "Add"
            inputs = [
                x,
                "scale",
                "zero",
                *w,
                "scale",
                "middle",
                x,
                "scale",
                "zero",
                "scale",
                "zero",
            ]
        y = graph.add(op, inputs, f"y{i}", domain=ops.DOMAIN, **attributes)
        if layer.feeds_next:
            x, outputs = y, [y]
        else:
            outputs.append(y)
    return _images(graph, layer, outputs)


def _start() -> Graph:
    graph = Graph()
    graph.constant(np.asarray(np.float32(SCALE)), "scale")
    graph.constant(np.asarray(np.uint8(0)), "zero")
    graph.constant(np.asarray(np.uint8(128)), "middle")
    return graph


def _attributes(layer: Layer) -> dict[str, Any]:  # Any: of ONNX
    return {
        "kernel_shape": layer.kernel,
        "strides": [layer.stride] * 2,
        "pads": layer.pads,
        "dilations": [1, 1],
        "group": layer.inputs if layer.depthwise else 1,
    }


def _images(graph: Graph, layer: Layer, outputs: list[str]) -> bytes:
    x, y = (1, *layer.size, layer.inputs), (1, *layer.out_size, layer.outputs)
    return graph.model(x, outputs, y, (TensorProto.UINT8, TensorProto.UINT8))
