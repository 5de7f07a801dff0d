"""Values of metrics as the page writes them, by their unit."""

from __future__ import annotations

import pytest

from squeeze.report import words


@pytest.mark.parametrize(
    ("metric", "before", "after", "value", "change"),
    [
        ("top1", 94.0, 93.5, "93.50 %", "−0.50 points"),
        ("cosine", 100.0, 99.0, "99.00", "−1.00 points"),
        ("si_sdr", 30.0, 28.0, "28.00 dB", "−2.00 dB"),
        ("mse", 0.5, 0.75, "0.75", "+50.0 %"),
    ],
)
def test_metric_is_written_with_its_unit(
    metric: str, before: float, after: float, value: str, change: str
) -> None:
    assert words.metric(metric, after) == value
    assert words.metric_change(metric, before, after) == change.replace("−", words.MINUS)
