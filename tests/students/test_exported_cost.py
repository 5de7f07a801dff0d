"""The cost that is computed without building a student equals what is weighed in its exported file."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from torch import nn

from squeeze import account, export, graph, students
from squeeze.search.genome import space_of
from squeeze.students.student_spec import StudentSpec, layout_of
from tests.feeds import interface_of

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.spec import ArchSpec

CASES: dict[str, tuple[str, tuple[int, ...], str]] = {
    "resnet": ("resnet", (3, 17, 16), "image"),
    "mbconv": ("mbconv", (16, 16, 3), "image"),
    "dsconv": ("dsconv", (2, 300), "signal"),
    "vit": ("vit", (1, 28, 28), "image"),
}


@pytest.mark.parametrize("case", CASES)
def test_cost_equals_that_of_the_exported_file(case: str, tmp_path: Path) -> None:
    family, shape, modality = CASES[case]
    spec = StudentSpec(input_shape=shape, outputs=5, layout=layout_of(modality, shape))
    space = space_of(family, spec)
    check(space.arch(space.mutate(space.smallest, random.Random(0))), shape, tmp_path)


@pytest.mark.parametrize(
    "genome",
    [
        {"patch": 4, "convolutions": 0, "width": 48, "depth": 2, "heads": 3, "class_tokens": 1},
        {"patch": 4, "convolutions": 1, "width": 32, "depth": 2, "heads": 1, "class_tokens": 0},
        {"patch": 4, "convolutions": 2, "width": 64, "depth": 1, "heads": 2, "class_tokens": 1},
    ],
)
def test_cost_of_a_transformer_equals_that_of_the_exported_file(
    genome: dict[str, int], tmp_path: Path
) -> None:
    spec = StudentSpec(input_shape=(3, 16, 24), outputs=5, layout="channels-first")
    check(students.arch_of("vit", spec, {**genome, "ratio": 2}), (3, 16, 24), tmp_path)


def check(arch: ArchSpec, shape: tuple[int, ...], folder: Path) -> None:
    example = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    student = students.build(arch).eval()
    for values in student.parameters():
        # A bias of zeros would not be in the file, and one normalisation of all that multiply by ones.
        if values.ndim == 1:
            nn.init.normal_(values)
    model = export.to_ir(student, example, input_name="x", output_name="logits")
    graph.optimise(model, {"x": example}, interface_of(model))
    graph.save(model, folder / "student.onnx")
    weighed = account.complexity(folder / "student.onnx", {"x": (1, *shape)})
    wanted = students.cost(arch)
    assert weighed.macs == wanted.macs
    assert weighed.params == wanted.params
    assert graph.count_ops(model).get("BatchNormalization", 0) == 0
