from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze import export, graph, quant, students
from squeeze.search import estimate
from squeeze.spec import ArchSpec, QuantPart
from tests.feeds import passes_of

SHAPE = (3, 16, 16)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("width", [16, 64])
def test_bytes_of_the_quantised_file_are_guessed(width: int, depth: int, tmp_path: Path) -> None:
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
    x = np.random.default_rng(0).random((4, *SHAPE), np.float32)
    model = export.to_ir(
        students.build(arch).eval(), x[:2], input_name="x", output_name="y", opset=20
    )
    part = QuantPart(samples=4, adaround=False, smooth=False)
    made = quant.quantize(model, passes_of(model, x), activations="uint8", part=part).model
    sizes = {}
    for name, form in (("nodes", made), ("fused", graph.lower(made)[0])):
        graph.compact(form)
        graph.save(form, tmp_path / f"{name}.onnx")
        sizes[name] = (tmp_path / f"{name}.onnx").stat().st_size
    guessed = estimate.int8_bytes(students.cost(arch))
    assert guessed == pytest.approx(sizes["nodes"], rel=0.05)
    # What is asked to be small holds with fused operators too.
    assert sizes["fused"] <= guessed
