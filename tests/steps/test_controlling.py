"""A rung of accuracy control is one only where something is gained by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from squeeze.steps.controlling import gains


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
