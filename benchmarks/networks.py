"""Small int8 networks as squeeze makes them: built here with random weights, or trained ones from $SQUEEZE_DATA.

Random weights cost what trained ones do: no kernel of any contender looks at values. Each network is optimised and
quantised by squeeze itself, so the graph is the one that a user would get.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks.cases import data
from benchmarks.feeds import optimise, passes_of
from squeeze import graph, quant
from squeeze.spec import QuantPart

OPSET = 18
SAMPLES = 32
Shape = tuple[int, int, int]  # channels, height, width
Array = NDArray[Any]  # Any: several element types


class Net:
    """Writes a float network node by node; every convolution has its batch norm folded in."""

    def __init__(self, shape: Shape) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(0)
        self.shape = shape

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:  # Any: ONNX attributes
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"n_{name}", **attributes))
        return name

    def constant(self, value: Array) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    def conv(
        self,
        x: str,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int] = (3, 3),
        *,
        stride: int = 1,
        pads: tuple[int, int, int, int] | None = None,
        group: int = 1,
    ) -> str:
        fan_in = inputs // group * kernel[0] * kernel[1]
        w = self.rng.normal(size=(outputs, inputs // group, *kernel)) * np.sqrt(2 / fan_in)
        bias = self.rng.normal(size=outputs) * 0.1
        around = (kernel[0] // 2, kernel[1] // 2) * 2 if pads is None else pads
        return self.add(
            "Conv",
            x,
            self.constant(w),
            self.constant(bias),
            kernel_shape=kernel,
            strides=[stride, stride],
            pads=around,
            group=group,
        )

    def relu(self, x: str) -> str:
        return self.add("Relu", x)

    def classify(self, x: str, inputs: int, classes: int) -> bytes:
        """Average over the image and a fully connected layer; the serialised model."""
        x = self.add("Flatten", self.add("GlobalAveragePool", x))
        w = self.constant(self.rng.normal(size=(classes, inputs)) / np.sqrt(inputs))
        y = self.add("Gemm", x, w, self.constant(np.zeros(classes)), transB=1)
        model = helper.make_model(
            helper.make_graph(
                self.nodes,
                "net",
                [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *self.shape])],
                [helper.make_tensor_value_info(y, TensorProto.FLOAT, ["batch", classes])],
                self.constants,
            ),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=9,
        )
        written: bytes = model.SerializeToString()
        return written


def resnet(blocks: int) -> bytes:
    """The CIFAR ResNet with `blocks` blocks a stage; a strided block has a 1x1 convolution as its shortcut."""
    net = Net((3, 32, 32))
    x, channels = net.relu(net.conv("x", 3, 16)), 16
    for stage, outputs in enumerate((16, 32, 64)):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            branch = net.relu(net.conv(x, channels, outputs, stride=stride))
            branch = net.conv(branch, outputs, outputs)
            if stride == 2:
                x = net.conv(x, channels, outputs, (1, 1), stride=2)
            x, channels = net.relu(net.add("Add", branch, x)), outputs
    return net.classify(x, 64, 10)


def mobilenet() -> bytes:
    """MobileNetV1 of a quarter of the width on 96x96 images: MLPerf Tiny's visual wake words."""
    net = Net((3, 96, 96))
    x, channels = net.relu(net.conv("x", 3, 8, stride=2, pads=(0, 0, 1, 1))), 8
    plan = [
        (16, 1),
        (32, 2),
        (32, 1),
        (64, 2),
        (64, 1),
        (128, 2),
        *[(128, 1)] * 5,
        (256, 2),
        (256, 1),
    ]
    for outputs, stride in plan:
        pads = (1, 1, 1, 1) if stride == 1 else (0, 0, 1, 1)
        x = net.relu(net.conv(x, channels, channels, stride=stride, pads=pads, group=channels))
        x, channels = net.relu(net.conv(x, channels, outputs, (1, 1))), outputs
    return net.classify(x, 256, 2)


def dscnn() -> bytes:
    """The depthwise-separable network of MLPerf Tiny's keyword spotting."""
    net = Net((1, 49, 10))
    x = net.relu(net.conv("x", 1, 64, (10, 4), stride=2, pads=(4, 1, 5, 1)))
    for _ in range(4):
        x = net.relu(net.conv(x, 64, 64, group=64))
        x = net.relu(net.conv(x, 64, 64, (1, 1)))
    return net.classify(x, 64, 12)


def trained(path: str) -> Callable[[], bytes]:
    """A trained network of $SQUEEZE_DATA. What it returns raises MissingData."""
    return lambda: data(path).read_bytes()


NETWORKS: dict[str, Callable[[], bytes]] = {
    "resnet20-int8": lambda: resnet(3),
    "resnet56-int8": lambda: resnet(9),
    "mobilenetv1-025-int8": mobilenet,
    "dscnn-int8": dscnn,
    "mlperf-resnet8-int8": trained("teachers-mlperf-tiny/ic_resnet8.onnx"),
    "mlperf-mobilenetv1-int8": trained("teachers-mlperf-tiny/vww_mobilenetv1.onnx"),
    "cifar-resnet20-int8": trained("teachers-cifar10/resnet20.onnx"),
}


def samples(model: bytes, count: int = SAMPLES) -> NDArray[np.float32]:
    """Random inputs of a model with one input: ranges come out as they may, and cost the same."""
    shape = onnx.load_from_string(model).graph.input[0].type.tensor_type.shape.dim[1:]
    size = (count, *(d.dim_value for d in shape))
    return np.random.default_rng(1).normal(size=size).astype(np.float32)


def quantised(model: bytes, folder: Path) -> bytes:
    """The plain int8 graph (Q/DQ nodes) that squeeze makes of a float one."""
    path = folder / "float.onnx"
    path.write_bytes(model)
    x = samples(model)
    loaded = graph.load(path)
    optimise(loaded, x)
    part = QuantPart(samples=len(x), observer="minmax", bias_correction=False)
    made = quant.quantize(loaded, passes_of(loaded, x), activations="uint8", part=part)
    return graph.to_bytes(made.model)
