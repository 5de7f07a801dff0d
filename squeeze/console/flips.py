"""What changed answer by answer, for the last screen of `squeeze compile`: worst class, confidences, a line of flips.

Nothing for models whose answers are no classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze.metrics.per_class import CHANCE

if TYPE_CHECKING:
    from squeeze.console.accuracy import Row

Json = dict[str, Any]  # Any: JSON


def class_rows(manifest: Json, goal: str) -> list[Row]:
    """The recall of the class that loses most, and the calibration error, before and after; goal: what the goal says of
    the first."""
    rows: list[Row] = []
    worst = (manifest.get("flips") or {}).get("worst_class")
    if worst and (worst["drop"] > 0 or goal):
        before, after = (100 * worst[key] / worst["samples"] for key in ("before", "after"))
        chance = "within chance" if worst["chance"] > CHANCE and worst["drop"] > 0 else ""
        said = " · ".join(one for one in ("worst class", goal, chance) if one)
        what = f"recall of {class_name(worst)}, n={worst['samples']:,}"
        rows.append((what, f"{before:.2f} %", f"{after:.2f} %", _change(after - before), said))
    error = manifest.get("calibration_error") or {}
    if error.get("teacher") is not None and error.get("student") is not None:
        before, after = error["teacher"], error["student"]
        change = _change(after - before)
        rows.append(("calibration error", f"{before:.2f} %", f"{after:.2f} %", change, ""))
    return rows


def flip_lines(manifest: Json) -> list[str]:
    """How many answers became wrong and right, over all and from stage to stage."""
    flips = manifest.get("flips") or {}
    if not flips.get("steps"):
        return []
    whole = flips["whole"]
    wrong, right, other = (
        whole[key]["count"] for key in ("became_wrong", "became_right", "still_wrong")
    )
    line = (
        f"answers: of {flips['samples']:,} samples {wrong:,} became wrong, {right:,} right, "
        f"{other:,} wrong in another way"
    )
    if len(flips["steps"]) > 1:
        each = [
            f"{step['to']} {step['became_wrong']['count']:,} and {step['became_right']['count']:,}"
            for step in flips["steps"]
        ]
        line += f" (wrong and right at {', then '.join(each)})"
    return [line]


def class_name(worst: Json) -> str:
    """In quotes, or its number where it has no name."""
    return f"'{worst['name']}'" if worst.get("name") else f"class {worst['class']}"


def _change(points: float) -> str:
    return f"{round(points, 2) + 0.0:+.2f}"  # never '-0.00'
