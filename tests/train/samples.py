"""Tiny real data and a tiny real teacher (an ONNX file run by ONNX Runtime) for the distillation tests."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from squeeze import teacher
from squeeze.calib import Calib, Preprocess, Split
from squeeze.spec import ArchSpec, DistillPart
from squeeze.teacher import Teacher

Modality = Literal["image", "spectrogram", "signal", "vector", "tokens"]

SHAPES: dict[Modality, tuple[int, ...]] = {
    "image": (1, 8, 8),
    "spectrogram": (1, 12, 8),
    "signal": (2, 40),
    "vector": (6,),
}


def calib(
    modality: Modality = "image",
    *,
    n: int = 200,
    shape: tuple[int, ...] | None = None,
    classes: int | None = 3,
    metric: str | None = "top1",
) -> Calib:
    """Blobs of `classes` kinds: a bump at a place of each class, and noise; raw values 0..255 for images."""
    shape = shape or SHAPES[modality]
    random = np.random.default_rng(7)
    kinds = random.normal(size=(classes or 3, *shape))
    image = modality == "image"
    splits = []
    for name, count in (("fit", n), ("calibrate", 60), ("evaluate", 60)):
        y = random.integers(0, len(kinds), count)
        x = kinds[y] + 0.5 * random.normal(size=(count, *shape))
        raw = (128 + 40 * x).clip(0, 255).astype(np.uint8) if image else x.astype(np.float32)
        splits.append(Split({"x": raw}, None if classes is None else y, f"{modality}-{name}-{n}"))
    known = {"layout": "as-is", "dtype": "float32"}
    pixels = {"scale": 1 / 255, "mean": (0.5,), "std": (0.25,)}
    preprocess = Preprocess.model_validate({**known, **(pixels if image else {"scale": 1.0})})
    return Calib(
        name="blobs",
        source="blobs",
        digest=f"{modality}-{n}",
        fit=splits[0],
        calibrate=splits[1],
        evaluate=splits[2],
        preprocesses={"x": preprocess},
        modality=modality,
        metric=metric,
        classes=classes,
    )


def linear_teacher(
    folder: Path,
    shape: tuple[int, ...],
    outputs: int = 3,
    *,
    gain: float = 1.0,
    offset: float = 0.0,
) -> Teacher:
    """logits = flatten(x) @ weight + bias, as an ONNX file in `folder`."""
    features = int(np.prod(shape))
    weight, bias = linear(features, outputs, gain, offset)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["flat"]),
            helper.make_node("Gemm", ["flat", "weight", "bias"], ["logits"]),
        ],
        "teacher",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", outputs])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    return _loaded(folder, graph, shape)


def convolutional_teacher(folder: Path, shape: tuple[int, ...], outputs: int = 3) -> Teacher:
    """A convolution of 12 channels, global pooling, a linear layer: it has a feature map and an embedding."""
    random = np.random.default_rng(13)
    kernel = random.normal(size=(12, shape[0], 3, 3)).astype(np.float32) / 3
    weight, bias = linear(12, outputs, gain=8.0)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "kernel"], ["conv"], pads=[1, 1, 1, 1], strides=[2, 2]),
            helper.make_node("Relu", ["conv"], ["map"]),
            helper.make_node("GlobalAveragePool", ["map"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("Gemm", ["flat", "weight", "bias"], ["logits"]),
        ],
        "teacher",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", outputs])],
        [
            numpy_helper.from_array(array, name)
            for name, array in (("kernel", kernel), ("weight", weight), ("bias", bias))
        ],
    )
    return _loaded(folder, graph, shape)


def map_teacher(folder: Path, shape: tuple[int, ...], classes: int = 3) -> Teacher:
    """Three convolutions, the last of one place: logits [n, classes, ...] of a class for each place."""
    random = np.random.default_rng(17)
    sizes = ((8, shape[0], 3, 3), (8, 8, 3, 3), (classes, 8, 1, 1))
    kernels = [random.normal(size=size) / np.sqrt(np.prod(size[1:])) for size in sizes]
    kernels[-1] *= 4
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "k0"], ["c0"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c0"], ["r0"]),
            helper.make_node("Conv", ["r0", "k1"], ["c1"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c1"], ["r1"]),
            helper.make_node("Conv", ["r1", "k2"], ["logits"]),
        ],
        "teacher",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes, *shape[1:]])],
        [
            numpy_helper.from_array(kernel.astype(np.float32), f"k{i}")
            for i, kernel in enumerate(kernels)
        ],
    )
    return _loaded(folder, graph, shape)


def linear(
    features: int, outputs: int, gain: float = 1.0, offset: float = 0.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The weights of `linear_teacher`, [features, outputs] and [outputs]."""
    random = np.random.default_rng(11)
    weight = gain * random.normal(size=(features, outputs)) / np.sqrt(features)
    bias = offset + gain * random.normal(size=outputs)
    return weight.astype(np.float32), bias.astype(np.float32)


def arch(shape: tuple[int, ...] = (1, 8, 8), outputs: int = 3, family: str = "resnet") -> ArchSpec:
    """The smallest student of a family."""
    known = {"input_shape": shape, "outputs": outputs, "output_activation": "none"}
    if family == "mlp":
        return ArchSpec(family="mlp", params={**known, "layout": "flat", "widths": (16,)})
    return ArchSpec(
        family="resnet",
        params={
            **known,
            "layout": "channels-first",
            "stem": 8,
            "stem_kernel": 3,
            "stem_stride": 1,
            "widths": (8, 8),
            "depths": (1, 1),
            "strides": (1, 2),
        },
    )


def _loaded(folder: Path, graph: onnx.GraphProto, shape: tuple[int, ...]) -> Teacher:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "teacher.onnx"
    onnx.save(model, path)
    example = np.zeros((3, *shape), np.float32)
    return teacher.load(str(path), weights=None, example=example, folder=folder / "teacher")


def part(**changes: object) -> DistillPart:
    """A short training."""
    return DistillPart.model_validate(
        {"steps": 30, "batch_size": 16, "views": 2, "lr": 0.05, "checkpoint_s": 0, **changes}
    )
