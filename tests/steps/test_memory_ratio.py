"""What a change is worth on a device that tells memory alone: RAM and flash against what was there before."""

from __future__ import annotations

import pytest

from squeeze.runtimes.runtime import Cost
from squeeze.steps.costing import memory_ratio


def told(ram_bytes: int | None, flash_bytes: int | None, latency_ms: float | None = None) -> Cost:
    return Cost("static", latency_ms=latency_ms, ram_bytes=ram_bytes, flash_bytes=flash_bytes)


@pytest.mark.parametrize(
    ("model", "against", "ratio"),
    [
        ((100, 80), (100, 100), 0.8),  # layers beside the peak of RAM shrank
        ((50, 99), (100, 100), 0.5),
        ((60, 110), (100, 100), 1.1),  # less RAM for more flash is no gain as such
        ((130, 50), (100, 100), 1.3),
        ((100, None), (100, None), 1.0),
    ],
)
def test_what_fell_most_counts_where_nothing_grew(
    model: tuple[int, int], against: tuple[int, int], ratio: float
) -> None:
    assert memory_ratio({"model": told(*model), "against": told(*against)}) == pytest.approx(ratio)


def test_time_comes_before_memory() -> None:
    costs = {"model": told(50, 50, 2.0), "against": told(100, 100, 2.0)}
    assert memory_ratio(costs) is None
