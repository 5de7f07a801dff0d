from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from squeeze import export, graph, quant, students
from squeeze.search import estimate
from squeeze.spec import ArchSpec, QuantPart
from tests.feeds import passes_of

SHAPE = (3, 16, 16)


def residual(width: int, depth: int, x: np.ndarray) -> tuple[ArchSpec, ir.Model]:
    """An untrained residual student, and its float graph."""
    arch = ArchSpec(
        family="resnet",
        params={
            "input_shape": SHAPE,
            "outputs": 10,
            "output_activation": "none",
            "layout": "channels-first",
            "stem": width,
            "stem_kernel": 3,
            "stem_stride": 1,
            "widths": (width, width),
            "depths": (depth, depth),
            "strides": (1, 2),
        },
    )
    made = export.to_ir(
        students.build(arch).eval(), x[:2], input_name="x", output_name="y", opset=20
    )
    return arch, made


def size(model: ir.Model, file: Path) -> int:
    """Bytes of the compact file."""
    graph.compact(model)
    graph.save(model, file)
    return file.stat().st_size


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("width", [16, 64])
def test_bytes_of_the_quantised_file_are_guessed(width: int, depth: int, tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((4, *SHAPE), np.float32)
    arch, model = residual(width, depth, x)
    part = QuantPart(samples=4, adaround=False, smooth=False)
    made = quant.quantize(model, passes_of(model, x), activations="uint8", part=part).model
    file, guessed = tmp_path / "file.onnx", estimate.file_bytes(students.cost(arch))
    # Constants that are equal are kept once; how many are hangs on how the CPU rounds.
    assert guessed == pytest.approx(size(made, file), rel=0.08)
    # What is asked to be small holds with fused operators too.
    assert size(graph.lower(made)[0], file) <= guessed


@pytest.mark.parametrize("bits", [4, 3, 2])
@pytest.mark.parametrize(("width", "depth"), [(32, 1), (64, 1), (64, 3)])
def test_bytes_of_packed_weights_are_guessed(
    bits: int, width: int, depth: int, tmp_path: Path
) -> None:
    x = np.random.default_rng(0).random((4, *SHAPE), np.float32)
    arch, model = residual(width, depth, x)
    part = QuantPart(samples=4, adaround=False, smooth=False)
    made = quant.quantize(model, passes_of(model, x), activations="uint8", part=part, bits=bits)
    packed = size(graph.lower(made.model)[0], tmp_path / "file.onnx")
    guessed = estimate.file_bytes(students.cost(arch), estimate.stored(bits))
    assert guessed == pytest.approx(packed, rel=0.05)
