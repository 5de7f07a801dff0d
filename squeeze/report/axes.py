"""The frame of a small chart: scales, round ticks and labels, as inline SVG that colours and prints with the page."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 440, 280
LEFT, RIGHT, TOP, BOTTOM = 50, 14, 14, 44


@dataclass(frozen=True)
class Axis:
    """Maps a value between `low` and `high` to a pixel between `start` and `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value."""
        low, high, v = self.low, self.high, value
        if self.log:
            low, high, v = math.log(low), math.log(high), math.log(value)
        return self.start + (self.end - self.start) * (v - low) / (high - low)

    def ticks(self) -> list[float]:
        """Round values inside the axis: 1, 2 and 5 times powers of ten; of a short log axis steps of one size."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            found = self._within([k * 10.0**e for e in range(first, last + 1) for k in (1, 2, 5)])
            if len(found) > 1:
                return found
        step = _round_step((self.high - self.low) / 6)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return self._within([k * step for k in range(first, last + 1)])

    def _within(self, values: list[float]) -> list[float]:
        edge = 1e-9 * (self.high - self.low)
        return [v for v in values if self.low - edge <= v <= self.high + edge]


def across(values: list[float], *, log: bool = False) -> Axis:
    """A horizontal axis around the values."""
    low, high = _around(values, log)
    return Axis(low, high, LEFT, WIDTH - RIGHT, log)


def upwards(values: list[float]) -> Axis:
    """A vertical axis around the values; pixels grow downwards."""
    low, high = _around(values, False)
    return Axis(low, high, HEIGHT - BOTTOM, TOP)


def frame(x: Axis, y: Axis, x_name: str, y_name: str, show_x: Callable[[float], str]) -> Markup:
    """Grid lines, tick labels and the names of the axes; `show_x` writes a value of the horizontal one."""
    parts = [
        Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
            LEFT, WIDTH - RIGHT, y.at(t), y.at(t)
        )
        + Markup('<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(
            LEFT - 6, y.at(t) + 4, _number(t)
        )
        for t in y.ticks()
    ]
    parts += [
        Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            x.at(t), HEIGHT - BOTTOM + 17, show_x(t)
        )
        for t in x.ticks()
    ]
    parts.append(
        Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM
        )
    )
    parts.append(
        Markup('<text class="name" x="{}" y="{}" text-anchor="end">{}</text>').format(
            WIDTH - RIGHT, HEIGHT - 7, x_name
        )
    )
    parts.append(
        Markup('<text class="name" transform="translate(12 {}) rotate(-90)">{}</text>').format(
            HEIGHT - BOTTOM, y_name
        )
    )
    return Markup("\n").join(parts)


def svg(label: str, content: Markup) -> Markup:
    """A chart; `label` is read to those who cannot see it."""
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">\n{}\n</svg>').format(
        WIDTH, HEIGHT, label, content
    )


def _around(values: list[float], log: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if log:
        return low / 1.2, high * 1.2
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(k * power for k in (1, 2, 5, 10) if k * power >= step * 0.999)


def _number(value: float) -> str:
    text = f"{value:.4g}"
    return "0" if float(text) == 0 or abs(value) < 1e-12 else text
