"""Draws benchmarks/results/training.json: what students that inherit and students that begin anew lose.

    python -m benchmarks.training_figure

For each case a chart over the minutes that were trained, one over how much faster the int8 file is than the float
teacher, and one over how much smaller. A mark is the mean of the seeds of one method, bound and number of minutes; a
whisker is their least and most.
Writes docs/training.svg.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean
from typing import Any

from markupsafe import Markup

from benchmarks.cases import ROOT
from benchmarks.inherited import RESULTS
from squeeze.report import axes

FIGURE = ROOT / "docs/training.svg"
COLOURS = {"anew": "#b45309", "inherited": "#1d4ed8", "puzzle": "#047857"}
STYLE = """
svg { background: #fff; font: 12px system-ui, sans-serif; }
text { fill: #333; } .title { font-weight: 600; font-size: 13px; }
.grid { stroke: #e5e5e5; } .axis { stroke: #888; }
.whisker { stroke-width: 1.5; fill: none; } .line { stroke-width: 1.5; fill: none; }
"""
HEAD = 30

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Mark:
    """The seeds of one method, bound and number of minutes."""

    method: str
    bound: str
    minutes: float
    faster: float
    smaller: float
    lost: tuple[float, ...]  # points of top-1, of each seed


def marks(rows: list[Json]) -> list[Mark]:
    """In the order of minutes, those of one method and bound together."""
    kinds: dict[tuple[str, str, float], list[Json]] = {}
    for row in rows:
        kinds.setdefault((row["method"], row["case"], row["minutes"]), []).append(row)
    return [
        Mark(
            method,
            case.rpartition("-")[2],
            minutes,
            mean(row["teacher_latency_p50_ms"] / row["latency_p50_ms"] for row in found),
            mean(row["teacher_bytes"] / row["bytes"] for row in found),
            tuple(row["teacher_metric"] - row["metric"] for row in found),
        )
        for (method, case, minutes), found in sorted(kinds.items())
    ]


def chart(title: str, found: list[Mark], across: Callable[[Mark], float], name: str) -> Markup:
    """Points lost over what `across` gives; less is higher."""
    x = axes.across([across(m) for m in found], log=True)
    lost = [points for m in found for points in m.lost]
    y = axes.upwards([-points for points in (0.0, *lost)])
    parts = [
        axes.frame(x, y, name, "points of top-1 against the teacher", "{:g}".format),
        Markup('<text class="title" x="{}" y="4">{}</text>').format(axes.LEFT, title),
    ]
    for method, bound in dict.fromkeys((m.method, m.bound) for m in found):
        of_it = [m for m in found if (m.method, m.bound) == (method, bound)]
        line = " ".join(f"{x.at(across(m)):.1f},{y.at(-mean(m.lost)):.1f}" for m in of_it)
        colour = COLOURS[method]
        parts.append(
            Markup('<polyline class="line" stroke="{}" points="{}"/>').format(colour, line)
        )
        for m in of_it:
            at = x.at(across(m))
            parts.append(
                Markup('<path class="whisker" stroke="{}" d="M{:.1f} {:.1f}V{:.1f}"/>').format(
                    colour, at, y.at(-max(m.lost)), y.at(-min(m.lost))
                )
                + Markup('<circle fill="{}" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(
                    colour, at, y.at(-mean(m.lost))
                )
            )
        last = of_it[-1]
        end = x.at(across(last))
        near_end = end > axes.WIDTH / 2
        parts.append(
            Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
                end - 8 if near_end else end + 8,
                y.at(-mean(last.lost)) - 9,
                "end" if near_end else "start",
                f"{method}, {bound} asked",
            )
        )
    return Markup("\n").join(parts)


def figure(rows: list[Json]) -> str:
    """The whole picture: a row of three charts for each case."""
    cases = dict.fromkeys(row["case"].rpartition("-")[0] for row in rows)
    parts = []
    for i, case in enumerate(cases):
        found = marks([row for row in rows if row["case"].rpartition("-")[0] == case])
        seeds = max(len(m.lost) for m in found)
        title = f"{case}, {seeds} seed{'' if seeds == 1 else 's'}"
        charts = [
            chart(title, found, lambda m: m.minutes, "minutes of one core (log scale)"),
            chart(title, found, lambda m: m.faster, "times as fast as the teacher (log scale)"),
            chart(title, found, lambda m: m.smaller, "times as small as the teacher (log scale)"),
        ]
        for j, drawn in enumerate(charts):
            parts.append(
                Markup('<g transform="translate({} {})">\n{}\n</g>').format(
                    j * axes.WIDTH, HEAD / 2 + i * (axes.HEIGHT + HEAD), drawn
                )
            )
    width, height = 3 * axes.WIDTH, len(cases) * (axes.HEIGHT + HEAD)
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" width="{}" role="img" aria-label="{}">\n'
        "<style>{}</style>\n{}\n</svg>\n"
    ).format(
        width,
        height,
        width,
        "Points lost by students over minutes of training, over speed and over size",
        Markup(STYLE),
        Markup("\n").join(parts),
    )


def main() -> None:
    """Draws the committed rows."""
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]
    FIGURE.write_text(figure(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
