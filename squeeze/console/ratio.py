"""How many times faster or smaller."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def shown_ratio(ratio: float | None) -> str:
    """9.71 -> '9.7x'; below 2 two digits after the point, so that 1.04 is not '1.0x'. None -> '-'."""
    return "-" if ratio is None else f"{ratio:.{2 if ratio < 2 else 1}f}x"


def shown_spread(spread: Sequence[float]) -> str:
    """The 10th and the 90th percentile over the rounds of one measurement: (9.1, 10.2) -> '9.1x to 10.2x'."""
    low, high = spread
    return f"{shown_ratio(low)} to {shown_ratio(high)}"
