"""A rung of accuracy control is one only where something is gained by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from squeeze.goal import Lost
from squeeze.spec import Goal
from squeeze.steps.controlling import _few_enough, gains


@pytest.mark.parametrize(
    ("ratio", "size", "wanted"),
    [
        (1.2, 1000, False),  # all that matters is float again: slower, and Q and DQ take bytes
        (0.97, 1100, False),  # within the noise of a timing
        (1.2, 999, True),
        (0.8, 1100, True),
    ],
)
def test_file_gains_when_it_is_smaller_or_faster(
    tmp_path: Path, ratio: float, size: int, *, wanted: bool
) -> None:
    file, float_file = tmp_path / "rung.onnx", tmp_path / "float.onnx"
    file.write_bytes(bytes(size))
    float_file.write_bytes(bytes(1000))
    assert gains(ratio, file, float_file) is wanted


@pytest.mark.parametrize(
    ("most", "class_limit", "count"),
    # Ten nodes in float lose nothing, each one less a point of the worst class; two thirds of a limit are its margin.
    [(12, 3.0, 8), (7, 3.0, 7), (6, 3.0, None), (12, None, 1)],
    ids=["with the margin", "without it", "not enough", "no limit"],
)
def test_nodes_are_freed_until_the_worst_class_holds(
    most: int, class_limit: float | None, count: int | None
) -> None:
    limits = Goal(max_drop=1.0, max_worst_class_drop=class_limit)
    assert _few_enough(most, lambda count: Lost(0.0, 10.0 - count), limits) == count
