"""Is a limit of the goal held, by how much is it missed, and what does one say then? Pure functions of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from squeeze.quantities import show_bytes, show_ms

if TYPE_CHECKING:
    from squeeze.spec import Goal, Recipe

Json = dict[str, Any]  # Any: JSON
What = Literal[
    "bits", "bytes", "class_drop", "drop", "flash_bytes", "latency_ms", "ram_bytes", "runs"
]

_OF: dict[What, str] = {"ram_bytes": " of RAM", "flash_bytes": " of flash"}
# Beyond any limit that is missed: what does not run cannot be shipped.
_REFUSED = 1e6
# Half a hundredth of a point is the resolution that a drop is printed with; all who ask whether one holds ask here.
DROP_RESOLUTION = 0.005


@dataclass(frozen=True)
class Lost:
    """What a file loses on a split: points of the worst output, and points of recall of the class that loses most; None
    where answers are no classes."""

    drop: float
    class_drop: float | None = None

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Lost:  # Any: JSON
        """From the result of a step, as `to_json` put it there."""
        return cls(found["drop"], found.get("class_drop"))

    def to_json(self) -> Json:
        """For the result of a step."""
        return {"drop": self.drop, "class_drop": self.class_drop}


@dataclass(frozen=True)
class Reached:
    """What a file does: points lost, milliseconds of the median run, bytes, bits of most weights.

    latency_ms: None on a device without a clock of ours. work: what is made small for speed, where that is not the
    latency. ram_bytes, flash_bytes: None where nobody says them. runs: whether the device takes the file at all.
    class_drop: as of `Lost`.
    """

    drop: float
    latency_ms: float | None
    bytes: int
    bits: int = 32
    work: float | None = None
    ram_bytes: int | None = None
    flash_bytes: int | None = None
    runs: bool = True
    class_drop: float | None = None

    @property
    def speed(self) -> float:
        """What is made small for speed: milliseconds, or `work`; endless for a file that does not run."""
        if not self.runs:
            return math.inf
        found = self.latency_ms if self.work is None else self.work
        return math.inf if found is None else found


@dataclass(frozen=True)
class Check:
    """One limit, what was reached, whether it holds."""

    what: What
    goal: float
    got: float
    ok: bool


def of(recipe: Recipe) -> Goal:
    """What the recipe wants reached; fewer bits that are asked for are a part of it."""
    bits = recipe.quant.bits
    return recipe.goal.model_copy(update={"max_bits": bits if bits < 8 else None})


def about_bytes(goal: Goal) -> bool:
    """Whether a file counts that is smaller and not faster: for each objective but "fastest"."""
    return goal.max_bytes is not None or goal.objective != "fastest"


def holds_drop(goal: Goal, drop: float) -> bool:
    """Whether a drop in points is inside the goal."""
    return drop <= goal.max_drop + DROP_RESOLUTION


def holds_class_drop(goal: Goal, class_drop: float | None) -> bool:
    """Whether what the worst class loses is inside the goal; what nobody knows is not."""
    limit = goal.max_worst_class_drop
    return limit is None or (class_drop is not None and class_drop <= limit + DROP_RESOLUTION)


def holds(goal: Goal, lost: Lost) -> bool:
    """Whether all that is lost is inside the goal."""
    return holds_drop(goal, lost.drop) and holds_class_drop(goal, lost.class_drop)


def checks(goal: Goal, reached: Reached) -> list[Check]:
    """Each limit of the goal."""
    found = [Check("drop", goal.max_drop, reached.drop, holds_drop(goal, reached.drop))]
    if goal.max_worst_class_drop is not None:
        known = math.inf if reached.class_drop is None else reached.class_drop
        ok = holds_class_drop(goal, reached.class_drop)
        found.append(Check("class_drop", goal.max_worst_class_drop, known, ok))
    if not reached.runs:
        return [*found, Check("runs", 1.0, 0.0, False)]
    limits: tuple[tuple[What, float | None, float | None], ...] = (
        ("latency_ms", goal.max_latency_ms, reached.latency_ms),
        ("ram_bytes", goal.max_ram_bytes, reached.ram_bytes),
        ("flash_bytes", goal.max_flash_bytes, reached.flash_bytes),
    )
    for what, limit, got in limits:
        if limit is not None and got is not None:
            found.append(Check(what, limit, got, got <= limit))
    if goal.max_bytes is not None:
        ok = reached.bytes <= goal.max_bytes
        found.append(Check("bytes", goal.max_bytes, reached.bytes, ok))
    if goal.max_bits is not None:
        ok = reached.bits <= goal.max_bits
        found.append(Check("bits", goal.max_bits, reached.bits, ok))
    return found


def excess(goal: Goal, reached: Reached) -> float:
    """How far beyond the goal, over all limits; 0 inside. Two points lost weigh as much as e times a limit."""
    return sum(_excess(check) for check in checks(goal, reached))


def objective(goal: Goal, reached: Reached) -> float:
    """What is made small among those inside the goal."""
    if goal.objective == "fastest":
        return reached.speed
    if goal.objective == "smallest":
        return float(reached.bytes)
    return reached.speed * reached.bytes


def missed(picked: str, goal: Goal, everything: Mapping[str, Reached]) -> str:
    """One or two lines for a goal that was not met: the best reached, and what it would cost to reach it."""
    failed = [c for c in checks(goal, everything[picked]) if not c.ok]
    said = ", ".join(f"{show(c.what, c.got)} (goal {show(c.what, c.goal)})" for c in failed)
    text = f"goal missed: the best reached is {said} with '{picked}'"
    wanted = {c.what for c in failed}
    others = {name: checks(goal, reached) for name, reached in everything.items() if name != picked}
    costs = [
        f"'{name}' reaches it {_at_what_cost(found)}"
        for name, found in others.items()
        if all(c.ok for c in found if c.what in wanted) and everything[name].runs
    ]
    return f"{text}. {'; '.join(costs[:2])}" if costs else text


def _at_what_cost(found: list[Check]) -> str:
    """What else is missed then: nothing where the pick turned out worse on the samples that did not choose it."""
    costs = [show(c.what, c.got) for c in found if not c.ok]
    return f"with {', '.join(costs)}" if costs else "(the choice was made on the calibrate split)"


def show(what: What, value: float) -> str:
    """A limit or a reached value with its unit."""
    if what in ("bytes", "ram_bytes", "flash_bytes"):
        return f"{show_bytes(value)}{_OF.get(what, '')}"
    if what == "runs":
        return "runs on the device" if value else "does not run on the device"
    if what == "latency_ms":
        return show_ms(value)
    if what == "bits":
        return f"weights of {value:g} bits"
    if what == "class_drop":
        return f"{value:.2f} points of recall lost by the worst class"
    return f"{value:.2f} points lost"


def _excess(check: Check) -> float:
    if check.ok:
        return 0.0
    if check.what == "runs":
        return _REFUSED
    if check.what in ("drop", "class_drop"):
        return (check.got - check.goal) / 2
    return math.log(check.got / check.goal)
