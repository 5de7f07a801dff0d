"""A real teacher (pooling and a linear layer, run by ONNX Runtime) and real data, for searches.

What a search decides by (bytes, parameters, MACs, kinds of operators) is stated as that of a larger network, so that
there is something to undercut.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from squeeze import students, teacher
from squeeze.calib import Calib, Preprocess
from squeeze.calib.arrays import sealed
from squeeze.calib.modality import Modality
from squeeze.interface import Interface, TensorSpec
from squeeze.search.genome import space_of
from squeeze.search.score import Candidate
from squeeze.students.student_spec import StudentSpec
from squeeze.teacher import Teacher

Array = NDArray[np.generic]

CLASSES = 4
SAMPLES = 80


def large_teacher(
    folder: Path,
    shape: tuple[int, ...],
    outputs: int = CLASSES,
    *,
    dtype: str = "float32",
    output_shape: tuple[int, ...] | None = None,
    file_bytes: int = 2_000_000,
    census: dict[str, int] | None = None,
    params: int = 500_000,
    macs: int = 20_000_000,
) -> Teacher:
    """logits = mean of each channel @ weight. dtype, output_shape: of the interface, for those that no student fits."""
    found = _linear(folder, shape, outputs)
    path = folder / "large.onnx"
    path.write_bytes(_filled(onnx.load(found.model), file_bytes))
    takes, gives = found.input, found.output
    interface = Interface(
        (TensorSpec(takes.name, dtype, shape),),
        (TensorSpec(gives.name, "float32", output_shape or gives.shape),),
    )
    if output_shape == ():
        interface = replace(interface, outputs=(TensorSpec(gives.name, "float32", ()),))
    return replace(
        found,
        model=path,
        interface=interface,
        census=census or {"Conv": 10, "Gemm": 1},
        params=params,
        macs=macs,
    )


def calibration(
    shape: tuple[int, ...],
    modality: Modality = "image",
    y: Array | None = None,
    metric: str | None = "top1",
) -> Calib:
    """Random samples; all three splits are the same ones, of which a search sees the first."""
    x = np.random.default_rng(1).normal(size=(SAMPLES, *shape)).astype(np.float32)
    split = sealed({"x": x}, y)
    return Calib(
        name="random",
        source="random",
        digest=split.digest,
        fit=split,
        calibrate=split,
        evaluate=split,
        preprocesses={"x": Preprocess(layout="as-is", scale=1.0, dtype="float32")},
        modality=modality,
        metric=metric,
        classes=CLASSES if y is not None and y.dtype.kind == "i" else None,
    )


def candidate(
    *, values: dict[str, float] | None = None, ratio: float = 1.0, layers: int = 1
) -> Candidate:
    """An evaluated architecture: the smallest perceptron, with the numbers that count in a test stated."""
    space = space_of("mlp", StudentSpec(input_shape=(20,), outputs=CLASSES, layout="flat"))
    arch = space.arch(space.smallest)
    cost = students.cost(arch)
    return Candidate(
        space=space,
        genome=space.smallest,
        arch=arch,
        cost=replace(cost, layers=cost.layers[:1] * layers),
        bytes=1000,
        estimate_ratio=ratio,
        place=0,
        values=values or {},
    )


def _filled(proto: onnx.ModelProto, file_bytes: int) -> bytes:
    """The file with so many words that it has `file_bytes`; a few bytes more say how many words."""
    proto.ClearField("doc_string")
    size = len(proto.SerializeToString())
    for overhead in range(2, 7):
        proto.doc_string = "x" * (file_bytes - size - overhead)
        if len(data := proto.SerializeToString()) == file_bytes:
            return data
    raise ValueError(f"{file_bytes} bytes cannot be met from {size}")


def _linear(folder: Path, shape: tuple[int, ...], outputs: int) -> Teacher:
    weight = np.random.default_rng(0).normal(size=(shape[0], outputs)).astype(np.float32)
    pooled = [
        helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
    ]
    flat = "flat" if len(shape) > 1 else "x"
    graph = helper.make_graph(
        [
            *(pooled if len(shape) > 1 else []),
            helper.make_node("Gemm", [flat, "weight"], ["logits"]),
        ],
        "teacher",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", outputs])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "linear.onnx"
    onnx.save(model, path)
    example = np.zeros((3, *shape), np.float32)
    return teacher.load(str(path), weights=None, example=example, folder=folder / "teacher")
