"""What each finished candidate keeps against what it takes: its metric over latency, and over bytes.

All are measured. Whiskers are the metric's 95 % interval; the shaded area is what the goal allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from squeeze.metrics import METRICS
from squeeze.report import axes, goal_area, judged, labels, words
from squeeze.report.costs import CostAxis, costs

Json = dict[str, Any]  # Any: JSON
_WIDE = 3.0  # times between the dearest and the cheapest, from which on the axis is logarithmic
_AROUND = 1.15  # times the dearest that the axis reaches at least
_NEAR = 8.0  # pixels within which marks have their names together


@dataclass(frozen=True)
class Point:
    """A candidate: its metric with its interval, what it takes, and whether its loss on the calibrate split is inside
    the goal (None: not known)."""

    name: str
    value: float
    low: float
    high: float
    cost: float
    holds: bool | None
    picked: bool


@dataclass(frozen=True)
class Tradeoffs:
    """The charts, one for each cost with its caption, and what their marks need explained."""

    charts: list[tuple[str, Markup]]
    has_goal: bool
    has_intervals: bool
    has_beyond: bool
    better: str


def charts(manifest: Json) -> Tradeoffs | None:
    """None where no two candidates differ in anything that they take."""
    metric = METRICS.get(judged.metric_name(manifest))
    floor = goal_area.floor(manifest)
    drawn, shown = [], list[Point]()
    for cost in costs(manifest):
        points = _points(manifest, cost)
        if len({p.cost for p in points}) > 1:
            drawn.append((_caption(manifest, cost), _chart(manifest, cost, points, floor)))
            shown += points
    if not drawn:
        return None
    return Tradeoffs(
        charts=drawn,
        has_goal=floor is not None,
        has_intervals=any(p.low < p.high for p in shown),
        has_beyond=any(p.holds is False for p in shown),
        better="" if metric is None else "up" if metric.higher_is_better else "down",
    )


def _caption(manifest: Json, cost: CostAxis) -> str:
    name = judged.metric_name(manifest)
    unit = METRICS[name].unit if name in METRICS else ""
    return f"{words.metric_name(name)}{f' ({unit})' if unit else ''} over {cost.name}"


def _points(manifest: Json, cost: CostAxis) -> list[Point]:
    found = []
    for name, m in judged.measured(manifest).items():
        value, taken = judged.value(manifest, m), m.get(cost.key)
        if not (words.is_number(value) and words.is_number(taken) and taken > 0):
            continue
        ends = [v for v in judged.interval(manifest, m) or [] if words.is_number(v)]
        split, drop = judged.chosen_on(manifest), judged.lost(manifest, name)
        found.append(
            Point(
                name=name,
                value=value,
                low=min([value, *ends]),
                high=max([value, *ends]),
                cost=taken,
                holds=judged.holds(manifest, name, drop, split),
                picked=name == judged.picked(manifest),
            )
        )
    # Drawn last is drawn on top, and named first: the teacher in front of others, the pick in front of all.
    return sorted(found, key=lambda p: (p.picked, p.name == judged.TEACHER))


def _chart(manifest: Json, cost: CostAxis, points: list[Point], floor: float | None) -> Markup:
    name = judged.metric_name(manifest)
    taken = [p.cost for p in points]
    log = max(taken) >= _WIDE * min(taken)
    # Costs that are nearly the same look so.
    around = [min(taken) / _AROUND, max(taken) * _AROUND, *([cost.limit] if cost.limit else [])]
    x = axes.across(around, log=log)
    ends = [v for p in points for v in (p.low, p.high)]
    y = axes.upwards(ends if floor is None else [*ends, floor])
    parts = [
        axes.frame(
            x,
            y,
            f"{cost.name}{' (log scale)' if log else ''}",
            "",
            cost.show,
        )
    ]
    parts += [_whisker(p, x, y) for p in points]
    marks = [labels.around(x.at(p.cost), y.at(p.value)) for p in points]
    whiskers = [_span(p, x, y) for p in points]
    if floor is not None:
        area, place = goal_area.drawn(cost, x, y, floor, METRICS[name], [*marks, *whiskers])
        parts.insert(0, area)
        marks.append(place)
    parts += [_mark(manifest, p, cost, x, y) for p in points]
    parts += _names(points, x, y, marks, whiskers)
    return axes.svg(_in_words(manifest, cost, points, floor), Markup("\n").join(parts))


def _span(p: Point, x: axes.Axis, y: axes.Axis) -> labels.Box:
    """The place of a whisker."""
    at = x.at(p.cost)
    top, bottom = sorted((y.at(p.high), y.at(p.low)))
    return labels.Box(at - 4, top, at + 4, bottom)


def _whisker(p: Point, x: axes.Axis, y: axes.Axis) -> Markup:
    if p.low == p.high:
        return Markup("")
    at, low, high = x.at(p.cost), y.at(p.low), y.at(p.high)
    return Markup(
        '<path class="whisker{}" d="M{:.1f} {:.1f}V{:.1f}M{:.1f} {:.1f}h8M{:.1f} {:.1f}h8"/>'
    ).format(" of-pick" if p.picked else "", at, low, high, at - 4, low, at - 4, high)


def _mark(manifest: Json, p: Point, cost: CostAxis, x: axes.Axis, y: axes.Axis) -> Markup:
    at, height = x.at(p.cost), y.at(p.value)
    said = Markup("<title>{}</title>").format(_told(manifest, p, cost))
    if p.name == judged.TEACHER:
        shape = Markup(
            '<rect class="candidate of-teacher" x="{:.1f}" y="{:.1f}" width="9" height="9">{}</rect>'
        )
        mark = shape.format(at - 4.5, height - 4.5, said)
    else:
        kind = "beyond" if p.holds is False else "inside"
        shape = Markup('<circle class="candidate {}" cx="{:.1f}" cy="{:.1f}" r="4.5">{}</circle>')
        mark = shape.format(kind, at, height, said)
    if p.picked:
        mark += Markup('<circle class="ring" cx="{:.1f}" cy="{:.1f}" r="9"/>').format(at, height)
    return mark


def _names(
    points: list[Point],
    x: axes.Axis,
    y: axes.Axis,
    marks: list[labels.Box],
    whiskers: list[labels.Box],
) -> list[Markup]:
    """The names of the marks; of those that lie on each other together."""
    groups: list[list[Point]] = []
    for p in reversed(points):
        near = (
            g
            for g in groups
            if abs(x.at(p.cost) - x.at(g[0].cost)) < _NEAR
            and abs(y.at(p.value) - y.at(g[0].value)) < _NEAR
        )
        group = next(near, None)
        if group is None:
            groups.append([p])
        else:
            group.append(p)
    return [
        labels.beside(
            x.at(group[0].cost),
            y.at(group[0].value),
            [f"{p.name} (shipped)" if p.picked else p.name for p in group],
            marks,
            whiskers,
            "label pick" if group[0].picked else "label",
        )
        for group in groups
    ]


def _told(manifest: Json, p: Point, cost: CostAxis) -> str:
    name = judged.metric_name(manifest)
    lines = [
        f"{p.name}{' (shipped)' if p.picked else ''}",
        f"{words.metric_name(name)} {words.metric(name, p.value)}",
    ]
    if p.low < p.high:
        lines.append(f"95 % interval {words.interval(name, [p.low, p.high])}")
    lines.append(f"{cost.name} {cost.show(p.cost)}")
    if p.holds is False:
        lines.append(f"beyond the goal on the {judged.chosen_on(manifest)} split")
    return "\n".join(lines)


def _in_words(manifest: Json, cost: CostAxis, points: list[Point], floor: float | None) -> str:
    """The chart for those who hear the page."""
    name = judged.metric_name(manifest)
    said = [
        f"{p.name}{' (shipped)' if p.picked else ''} {words.metric(name, p.value)} at {cost.show(p.cost)}"
        for p in reversed(points)
    ]
    goal = "" if floor is None else f"; the goal ends at {words.metric(name, floor)}"
    if cost.limit:
        goal += f" and {cost.show(cost.limit)}"
    return f"{words.metric_name(name)} against {cost.name}: {', '.join(said)}{goal}"
