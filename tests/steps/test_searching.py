"""What a recipe wishes of a student, on devices with and without floats."""

from __future__ import annotations

from pathlib import Path

import pytest

from squeeze.device import connect
from squeeze.steps.searching import wished
from squeeze.target import load_target
from tests.steps.conftest import a_recipe


@pytest.mark.parametrize(
    ("target", "recipes", "there", "compilers"),
    [
        ("host", 8.0, 8.0, ()),
        ("ethos-u55-128", 8.0, 8 / 3, ("ai_edge_litert", "ethosu.vela")),
        ("mcu-cortex-m4", 2.0, 1.0, ("ai_edge_litert", "tflite_micro")),
    ],
)
def test_speedup_is_over_a_teacher_in_float(
    target: str, recipes: float, there: float, compilers: tuple[str, ...], tmp_path: Path
) -> None:
    for package in compilers:
        pytest.importorskip(package, reason=f"{package}: make runtimes")
    device = connect(load_target(target), tmp_path)
    assert wished(a_recipe(search={"speedup": recipes}), device).speedup == pytest.approx(there)
