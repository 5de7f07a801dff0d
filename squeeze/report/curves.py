"""Training as it went: the loss, and how near the student came to the teacher, over steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from squeeze.report import axes, words

Json = dict[str, Any]  # Any: JSON
_NOT_QUALITY = {"epoch", "loss", "lr", "samples_per_s", "step"}


@dataclass(frozen=True)
class Curve:
    """One chart, and its last value in words."""

    name: str
    svg: Markup
    last: str


def charts(training: list[Json] | None) -> list[Curve]:
    """The loss first, then every other quality that was recorded; nothing without training."""
    rows = [r for r in training or [] if isinstance(r.get("step"), (int, float))]
    names = dict.fromkeys(k for r in rows for k in r if k not in _NOT_QUALITY)
    found = [_curve(rows, name) for name in ("loss", *names)]
    return [c for c in found if c is not None]


def _curve(rows: list[Json], key: str) -> Curve | None:
    points = [
        (float(r["step"]), float(r[key]))
        for r in rows
        if isinstance(r.get(key), (int, float)) and math.isfinite(r[key])
    ]
    if len(points) < 2:
        return None
    x = axes.across([0.0, *(step for step, _ in points)])
    y = axes.upwards([value for _, value in points])
    name = words.metric_name(key)
    line = " ".join(f"{x.at(step):.1f},{y.at(value):.1f}" for step, value in points)
    parts = [
        axes.frame(x, y, "step", name, "{:,g}".format),
        Markup('<polyline class="curve" points="{}"/>').format(line),
    ]
    parts += [
        Markup(
            '<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="3"><title>{}</title></circle>'
        ).format(x.at(step), y.at(value), f"step {step:,.0f}\n{name} {words.metric(key, value)}")
        for step, value in points
    ]
    svg = axes.svg(f"{name} over {len(points)} points of training", Markup("\n").join(parts))
    return Curve(name, svg, words.metric(key, points[-1][1]))
