"""What a change is worth on a device that tells memory alone: RAM and flash against what was there before."""

from __future__ import annotations

import pytest

from squeeze.runtimes.runtime import Cost
from squeeze.steps.costing import memory_compared


def told(ram_bytes: int | None, flash_bytes: int | None) -> Cost:
    return Cost("static", ram_bytes=ram_bytes, flash_bytes=flash_bytes)


@pytest.mark.parametrize(
    ("model", "against", "ratio", "what"),
    [
        ((100, 80), (100, 100), 0.8, "flash"),  # layers beside the peak of RAM shrank
        ((50, 99), (100, 100), 0.5, "RAM"),
        ((60, 110), (100, 100), 1.1, "flash"),  # less RAM for more flash is no gain as such
        ((130, 50), (100, 100), 1.3, "RAM"),
        ((90, None), (100, None), 0.9, "RAM"),
    ],
)
def test_what_fell_most_counts_where_nothing_grew(
    model: tuple[int, int], against: tuple[int, int], ratio: float, what: str
) -> None:
    found = memory_compared(told(*model), told(*against))
    assert found.ratio == pytest.approx(ratio)
    assert found.said("the teacher") == f"{ratio:.2f}x the {what} of the teacher"
