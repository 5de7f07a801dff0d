"""Which of the finished candidates is shipped, and does it meet the goal? Pure functions of measurements."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from squeeze.quantities import show_bytes, show_ms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squeeze.spec import Goal, Measurement

Json = dict[str, Any]  # Any: JSON


def checks(goal: Goal, measurement: Measurement, drop: float) -> list[Json]:
    """Each limit of the goal, what was measured, and whether it holds. `drop` is in points of the metric."""
    found: list[Json] = [_check("drop", goal.max_drop, drop)]
    if goal.max_latency_ms is not None:
        found.append(_check("latency_ms", goal.max_latency_ms, measurement.latency_p50_ms))
    if goal.max_bytes is not None:
        found.append(_check("bytes", goal.max_bytes, measurement.file_bytes))
    return found


def pick(
    goal: Goal, measurements: Mapping[str, Measurement], drops: Mapping[str, float]
) -> tuple[str, str]:
    """The name of the candidate to ship, and the reason.

    Among those inside the goal the objective decides; when none is, the one whose excess over the limits is smallest.
    """

    def order(name: str) -> tuple[float, float, str]:
        excess = sum(_excess(c) for c in checks(goal, measurements[name], drops[name]))
        return excess, _objective(goal, measurements[name]), name

    best = min(measurements, key=order)
    inside = [n for n in measurements if order(n)[0] == 0]
    if not inside:
        return best, "no candidate is inside the goal; this one is the nearest"
    word = {"fastest": "fastest", "smallest": "smallest", "balanced": "best latency times bytes"}
    return best, f"{word[goal.objective]} of {len(inside)} candidates inside the goal"


def missed(name: str, failed: list[Json], everything: Mapping[str, list[Json]]) -> str:
    """One or two lines for a goal that was not met: the best reached, and the nearest goal that would be."""
    said = ", ".join(
        f"{_show(c['what'], c['got'])} (goal {_show(c['what'], c['goal'])})" for c in failed
    )
    others = [
        n
        for n, found in everything.items()
        if n != name and all(c["ok"] for c in found if c["what"] in {f["what"] for f in failed})
    ]
    text = f"goal missed: the best reached is {said} with '{name}'"
    if others:
        costs = "; ".join(
            f"'{n}' reaches it with "
            + ", ".join(f"{_show(c['what'], c['got'])}" for c in everything[n] if not c["ok"])
            for n in others[:2]
        )
        text += f". {costs}"
    return text


def _check(what: str, goal: float, got: float) -> Json:
    # Half a hundredth of a point is the resolution that a drop is printed with.
    return {
        "what": what,
        "goal": goal,
        "got": got,
        "ok": got <= goal + (0.005 if what == "drop" else 0),
    }


def _excess(check: Json) -> float:
    if check["ok"]:
        return 0.0
    if check["what"] == "drop":
        # Points lost beyond the goal weigh as much as the same number of tenths of a limit.
        return float(check["got"] - check["goal"]) / 2
    return math.log(check["got"] / check["goal"])


def _objective(goal: Goal, m: Measurement) -> float:
    if goal.objective == "fastest":
        return m.latency_p50_ms
    if goal.objective == "smallest":
        return float(m.file_bytes)
    return m.latency_p50_ms * m.file_bytes


def _show(what: str, value: float) -> str:
    if what == "bytes":
        return show_bytes(value)
    if what == "latency_ms":
        return show_ms(value)
    return f"{value:.2f} points lost"
