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

CASES: dict[str, tuple[str, tuple[int, ...], str]] = {
    "resnet": ("resnet", (3, 17, 16), "image"),
    "mbconv": ("mbconv", (16, 16, 3), "image"),
    "dsconv": ("dsconv", (2, 300), "signal"),
}


@pytest.mark.parametrize("case", CASES)
def test_cost_equals_that_of_the_exported_file(case: str, tmp_path: Path) -> None:
    family, shape, modality = CASES[case]
    spec = StudentSpec(input_shape=shape, outputs=5, layout=layout_of(modality, shape))
    space = space_of(family, spec)
    arch = space.arch(space.mutate(space.smallest, random.Random(0)))
    example = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    student = students.build(arch).eval()
    for name, values in student.named_parameters():
        if name.endswith("bias"):  # a bias of zeros would not be in the file
            nn.init.normal_(values)
    model = export.to_ir(student, example, input_name="x", output_name="logits")
    graph.optimise(model, {"x": example}, interface_of(model))
    graph.save(model, tmp_path / "student.onnx")
    weighed = account.complexity(tmp_path / "student.onnx", {"x": (1, *shape)})
    wanted = students.cost(arch)
    assert weighed.macs == wanted.macs
    assert weighed.params == wanted.params
    assert graph.count_ops(model).get("BatchNormalization", 0) == 0
