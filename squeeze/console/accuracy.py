"""Accuracy before and after as rows of a table: one a judged number, or one an output where a model has several.

A row is (what, before, after, change, remarks). Where a 95 % interval is known, a change inside it is said to be within
noise: it is neither a gain nor a loss.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from squeeze.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Row = tuple[str, str, str, str, str]
Json = dict[str, Any]  # Any: JSON
# Points that are shown alike.
SAME = 0.005


@dataclass(frozen=True)
class Accuracy:
    """The judged metric of one file: `value` and the 95 % interval around it, in the metric's own points."""

    value: float | None
    interval: Sequence[float] | None = None


def accuracy_rows(
    metric: str,
    samples: int | None,
    before: Accuracy,
    after: Accuracy,
    *,
    outputs: Sequence[Json],
    goal: str,
) -> list[Row]:
    """Rows for the judged metric, or for each of `outputs` ({output, metric, teacher, student, interval, judged}) when
    there is more than one; below the judged one its intervals. `goal` is what the goal says of it, or ''."""
    units = {str(one.get("metric")): str(one.get("unit", "")) for one in outputs}
    if metric in METRICS and METRICS[metric].needs == "teacher":
        before = replace(before, interval=None)  # against itself it is exact
    count = "" if samples is None else f", n={samples:,}"
    intervals = _intervals(before, after)
    if len(outputs) < 2:
        unit = _unit(metric, units)
        points = _points(outputs[0], before, after) if outputs else ""
        return [_row(f"{_words(metric)}{count}", unit, before, after, points, goal), *intervals]
    judged = next((output for output in outputs if output.get("judged")), None)
    rows: list[Row] = []
    for output in outputs:
        name = str(output.get("metric", metric))
        what, unit = f"{output.get('output', '-')}, {_words(name)}", _unit(name, units)
        if output is judged:
            points = _points(output, before, after)
            rows += [
                _row(f"{what}{count}", unit, before, after, points, "judged", goal),
                *intervals,
            ]
        else:
            old = Accuracy(output.get("teacher"))
            new = Accuracy(output.get("student"), output.get("interval"))
            rows.append(_row(what, unit, old, new, _points(output, old, new)))
    return rows


def _points(output: Json, before: Accuracy, after: Accuracy) -> str:
    """The points that an output loses, which goals are in, where they are another number than the change."""
    drop = output.get("drop")
    if drop is None or before.value is None or after.value is None:
        return ""
    same = abs(abs(after.value - before.value) - abs(drop)) < SAME
    return "" if same else f"{round(drop, 2) + 0.0:.2f} points lost"


def likeness_rows(found: Json | None, other: str = "the other") -> list[tuple[str, str]]:
    """A row for each judged output of `squeeze.commands.likeness`: its metric against the answers of the other model,
    or against labels beside the other's. Nothing for None."""
    rows: list[tuple[str, str]] = []
    if found is None:
        return rows
    for one in found["outputs"]:
        known = {"metric": one["metric"], "unit": one["unit"]}
        (what, before, after, *_), *_ = accuracy_rows(
            one["metric"],
            found["samples"],
            Accuracy(one["against"]),
            Accuracy(one["value"]),
            outputs=[known],
            goal="",
        )
        where = f"{one['output']}: " if len(found["outputs"]) > 1 else ""
        low, high = one["interval"] or (None, None)
        spread = "" if low is None else f" ({low:.2f} to {high:.2f})"
        lost = f"{one['drop']:.2f} points lost"
        rows.append((f"{where}{what}", f"{after}{spread}; {other}'s {before}; {lost}"))
    return rows


def value_of(metric: str, value: float) -> str:
    """'top-1 94.10 %'; of a function of the user's without its unit."""
    return f"{_words(metric)} {_value(_unit(metric, {}), value)}"


def _row(what: str, unit: str, before: Accuracy, after: Accuracy, *remarks: str) -> Row:
    old, new = before.value, after.value
    change = "-" if old is None or new is None else _change(unit, new - old)
    noise = "within noise" if _within_noise(before, after) else ""
    said = " · ".join(remark for remark in (*remarks, noise) if remark)
    return what, _value(unit, old), _value(unit, new), change, said


def _intervals(before: Accuracy, after: Accuracy) -> list[Row]:
    if not (before.interval or after.interval):
        return []
    return [("  95 % interval", _interval(before), _interval(after), "", "")]


def _interval(accuracy: Accuracy) -> str:
    if not accuracy.interval:
        return "-"
    low, high = accuracy.interval
    return f"{low:.2f} to {high:.2f}"


def _within_noise(before: Accuracy, after: Accuracy) -> bool:
    """Whether one of the values is inside the interval of the other."""
    for one, other in ((before, after), (after, before)):
        if one.value is not None and other.interval:
            low, high = other.interval
            if low <= one.value <= high:
                return True
    return False


def _unit(metric: str, known: Mapping[str, str]) -> str:
    """Its unit; of a function of the user's the one that the manifest knows."""
    return METRICS[metric].unit if metric in METRICS else known.get(metric, "")


def _value(unit: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f} {unit}" if unit else f"{value:.4g}"


def _change(unit: str, change: float) -> str:
    if unit:
        return f"{round(change, 2) + 0.0:+.2f}"  # never '-0.00'
    return f"{change:+.3g}"


def _words(metric: str) -> str:
    """'top1' -> 'top-1', 'package.module:function' -> 'function'."""
    return METRICS[metric].name if metric in METRICS else metric.rpartition(":")[2]
