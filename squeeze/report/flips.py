"""What was lost answer by answer: flips from stage to stage, the recall of each class before and after, confidences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from squeeze.metrics.intervals import wilson
from squeeze.metrics.per_class import CHANCE
from squeeze.report import words

Json = dict[str, Any]  # Any: JSON
SHOWN = 30  # classes, those that lose most; the manifest has all


@dataclass(frozen=True)
class Step:
    """A line of the table of flips: from one stage to the next, or over all."""

    name: str
    before: str
    wrong: str
    right: str
    other: str
    whole: bool


@dataclass(frozen=True)
class ClassRow:
    """A line of the table of classes; `interval`: of its recall in the shipped file."""

    name: str
    samples: str
    before: str
    after: str
    interval: str
    change: str
    worst: bool


@dataclass(frozen=True)
class Flips:
    """All of the section. `note`: what is to be thought of the worst class. `errors`: calibration errors, by name."""

    samples: str
    steps: list[Step]
    classes: list[ClassRow]
    left_out: int
    note: str
    errors: list[tuple[str, str]]


def flips(manifest: Json) -> Flips | None:
    """None where answers are no classes, or nothing was squeezed."""
    found = manifest.get("flips") or {}
    if not found.get("steps"):
        return None
    steps = [_step(step) for step in found["steps"]]
    if len(steps) > 1:
        steps.append(_step(found["whole"], whole=True))
    rows = _classes(found, (manifest.get("calib") or {}).get("class_names") or [])
    return Flips(
        samples=f"{found['samples']:,}",
        steps=steps,
        classes=rows[:SHOWN],
        left_out=max(0, len(rows) - SHOWN),
        note=_note(found["worst_class"]),
        errors=_errors(manifest.get("calibration_error") or {}),
    )


def _step(step: Json, *, whole: bool = False) -> Step:
    wrong, right, other = (
        f"{step[key]['count']:,}" for key in ("became_wrong", "became_right", "still_wrong")
    )
    return Step(step["to"], step["from"], wrong, right, other, whole)


def _classes(found: Json, names: list[str]) -> list[ClassRow]:
    """Those that lose most first; of those that lose alike the one with most samples."""
    table, (first, *_, last) = found["classes"], found["stages"]
    each = zip(
        table["number"],
        table["samples"],
        table["right"][first],
        table["right"][last],
        strict=True,
    )
    ordered = sorted(each, key=lambda one: ((one[3] - one[2]) / one[1], -one[1]))
    return [
        ClassRow(
            name=names[number] if number < len(names) else str(number),
            samples=f"{samples:,}",
            before=_percent(before, samples),
            after=_percent(after, samples),
            interval=" to ".join(f"{end:.1f} %" for end in wilson(after, samples)),
            change=words.signed(100 * (after - before) / samples, 2),
            worst=number == found["worst_class"]["class"] and after < before,
        )
        for number, samples, before, after in ordered
    ]


def _note(worst: Json) -> str:
    if worst["drop"] <= 0:
        return "No class loses recall."
    what = f"'{worst['name']}'" if worst.get("name") else f"Class {worst['class']}"
    lost, won = worst["became_wrong"], worst["became_right"]
    counted = (
        f"{what} loses most: {worst['drop']:.2f} points of recall. Of its "
        f"{words.several(worst['samples'], 'sample')} {lost:,} became wrong and {won:,} right"
    )
    if worst["chance"] > CHANCE:
        return (
            f"{counted}: no more than chance does to one of all classes without any loss "
            f"(p = {worst['chance']:.2g}, McNemar's test times the number of classes)."
        )
    return f"{counted}: more than chance does (p = {worst['chance']:.1g})."


def _errors(error: Json) -> list[tuple[str, str]]:
    names = (("teacher", "teacher"), ("squeezed", "student"))
    return [(name, f"{error[key]:.2f} %") for name, key in names if error.get(key) is not None]


def _percent(right: int, samples: int) -> str:
    return f"{100 * right / samples:.2f} %"
