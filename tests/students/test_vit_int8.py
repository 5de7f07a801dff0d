"""What the int8 path makes of a vision transformer: attention and sums that are normalised run in our operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from squeeze import export, graph, quant, runtimes, students
from squeeze.graph.lower import made
from squeeze.spec import QuantPart
from squeeze.students.student_spec import StudentSpec
from tests.feeds import interface_of, passes_of

if TYPE_CHECKING:
    from pathlib import Path

SHAPE, DEPTH = (3, 16, 16), 3


def test_attention_and_sums_are_lowered_and_near_the_float_ones(tmp_path: Path) -> None:
    spec = StudentSpec(input_shape=SHAPE, outputs=5, layout="channels-first")
    sizes = {"patch": 4, "convolutions": 1, "width": 32, "heads": 2, "ratio": 2}
    arch = students.arch_of("vit", spec, {**sizes, "depth": DEPTH, "class_tokens": 0})
    student = students.build(arch, seed=1)
    x = np.random.default_rng(0).normal(size=(64, *SHAPE)).astype(np.float32)
    with torch.no_grad():
        for _ in range(20):  # normalisations see data
            student.train()(torch.from_numpy(x))
    model = export.to_ir(student.eval(), x[:3], input_name="x", output_name="y")
    graph.optimise(model, {"x": x[:3]}, interface_of(model))
    wanted = runtimes.run(runtimes.session(graph.to_bytes(model)), x)
    part = QuantPart(samples=64, activation_products=True)
    passes = passes_of(model, x, 32)
    quantised = quant.quantize(
        model, passes, activations="uint8", part=part, reduce_range=True
    ).model
    lowered, _ = graph.lower(quantised)
    counts = made(lowered)
    assert counts["QAttention"] == DEPTH
    # Sums behind attention and, but for the last, behind feed-forward layers: of the latter the mean is read in float.
    assert counts["QAddNorm"] == 2 * DEPTH - 1
    got = runtimes.run(runtimes.session(graph.to_bytes(lowered)), x)
    assert np.sqrt(np.mean((got - wanted) ** 2)) / wanted.std() < 0.1
