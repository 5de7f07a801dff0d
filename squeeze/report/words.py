"""Numbers as the report writes them: with a unit and the digits that mean something; a dash for a missing one."""

from __future__ import annotations

import math
from typing import TypeGuard

from squeeze.metrics import METRICS
from squeeze.quantities import show_bytes, show_ms

MISSING = "–"
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value of a manifest can be drawn."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def metric_name(name: str) -> str:
    """'top1' -> 'top-1 accuracy'; a user's own metric keeps its name."""
    return METRICS[name].title if name in METRICS else name


def metric(name: str, value: float | None) -> str:
    """94.2 -> '94.20 %' for accuracies, '20.00 dB'; four significant digits for what has no unit."""
    if value is None:
        return MISSING
    unit = _unit(name)
    if not unit:
        return f"{value:.4g}"
    return f"{value:.2f}" if unit == "points" else f"{value:.2f} {unit}"


def interval(name: str, found: list[float] | None) -> str:
    """'93.20 % to 95.23 %'; empty where none is known."""
    return " to ".join(metric(name, value) for value in found) if found else ""


def metric_change(name: str, before: float | None, after: float | None) -> str:
    """The difference in points or dB, or in percent for an error without a unit."""
    if before is None or after is None:
        return MISSING
    if unit := _unit(name):
        return f"{signed(after - before, 2)} {'points' if unit == '%' else unit}"
    if before == 0:
        return signed(after - before, 4)
    return f"{signed(100 * (after - before) / abs(before), 1)} %"


def lost(name: str, value: float | None) -> str:
    """0.3 -> '0.30'; -0.2 -> '−0.20', a gain; with a percent sign for an error that is counted in percent."""
    if value is None or not math.isfinite(value):
        return MISSING
    return signed(value, 2).removeprefix("+") + (" %" if lost_in_percent(name) else "")


def lost_in_percent(name: str) -> bool:
    """Whether a loss is the growth of an error, in percent, and not a number of points."""
    return name in METRICS and METRICS[name].drop_in == "percent"


def _unit(name: str) -> str:
    return METRICS[name].unit if name in METRICS else ""


def signed(value: float, digits: int) -> str:
    """-0.79 with a true minus sign; zero has none."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return f"{MINUS if value < 0 else '+'}{text}"


def factor(before: float | None, after: float | None, better: str, worse: str) -> str:
    """'31.2x smaller', or '1.2x larger' where it went the wrong way."""
    if not before or not after:
        return MISSING
    ratio = before / after
    if is_one([max(ratio, 1 / ratio)]):
        return "no change"
    return times(ratio, better) if ratio > 1 else times(1 / ratio, worse)


def is_one(ratios: list[float]) -> bool:
    """Whether the ratios are written as no difference: a spread of them says nothing."""
    return all(f"{ratio:.2f}" == "1.00" for ratio in ratios)


def times(ratio: float, word: str = "") -> str:
    """26.04 -> '26.0x faster'."""
    digits = 2 if ratio < 10 else 1
    return f"{ratio:.{digits}f}{TIMES} {word}".strip()


def count(value: float | None) -> str:
    """1084010 -> '1.08 M'."""
    if value is None:
        return MISSING
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if value >= size:
            return f"{value / (1e3 if unit == 'k' else size):.3g} {unit}"
    return f"{value:,.0f}"


def several(number: int, word: str) -> str:
    """1, 'target' -> '1 target'; 3 -> '3 targets'."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def byte_size(value: float | None) -> str:
    """4340000 -> '4.34 MB'."""
    return MISSING if value is None else show_bytes(value)


def latency(value_ms: float | None) -> str:
    """0.0621 -> '0.0621 ms'."""
    return MISSING if value_ms is None else show_ms(value_ms)


def share(value: float | None) -> str:
    """0.1234 -> '12.3 %'."""
    return MISSING if value is None else f"{100 * value:.1f} %"


def plain(value: object) -> str:
    """A value of unknown kind in a list of facts: short numbers, words for yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(item) for item in value)
    if isinstance(value, dict):
        # What is not set says nothing.
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items() if item is not None)
    return MISSING if value is None else str(value)
