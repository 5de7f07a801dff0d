"""How long a compile may take: the clock of one run, and how many steps a training gets of what is left.

A clock says something else each time. So it is read once for a training, what follows from it is recorded as a plan
(`steps/planning.py`), and the plan is what a resumed run goes by.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from squeeze.quantities import show_seconds

# Of a recipe's steps: with fewer a training ends far from where it would, and its time is better left away.
LEAST_SHARE = 0.1
# Of what is left: paces are measured for seconds, and a machine that others use has slower minutes.
USED = 0.95
# Of what is left: what trainings that may not come at all keep at most.
KEPT = 0.2


@dataclass(frozen=True)
class Left:
    """What the clock said: `asked_s` for the whole compile, of which `seconds` are left for trainings after what has to
    follow them took `after_s`. shares: packages, or networks beside each other, that have as much."""

    asked_s: float
    seconds: float
    after_s: float = 0.0
    shares: int = 1

    def key(self) -> float:
        """What was asked for. The rest is measured, as a latency is, and stands in the plan that was made of it."""
        return self.asked_s


@dataclass
class Budget:
    """`time_s` for `packages` packages, from `began` on; what one leaves over, the next ones have."""

    time_s: float
    packages: int = 1
    began: float = field(default_factory=time.monotonic)
    _end: float | None = None
    _shares: int = 1

    def next_package(self) -> None:
        """The time of the next package begins: an equal share of what is left for those that are to come."""
        now = time.monotonic()
        last = self.began + self.time_s
        self._shares = max(1, self.packages)
        self._end = now + max(0.0, last - now) / self._shares
        self.packages -= 1

    def left(self, after_s: float = 0.0, among: int = 1) -> Left:
        """What is left for trainings of this package, when what follows them takes `after_s`; an equal share of it
        where it is `among` so many."""
        end = self.began + self.time_s if self._end is None else self._end
        seconds = (end - time.monotonic() - after_s) / among
        return Left(self.time_s, seconds, after_s, among * self._shares)


@dataclass(frozen=True)
class Ahead:
    """Trainings that follow one, in steps like its own: those that surely come, and those that may not come at all.
    networks: made of them, each of which has a file that is quantised and timed."""

    sure: float = 0.0
    maybe: float = 0.0
    networks: int = 0

    def key(self) -> list[float]:
        """All of it."""
        return [self.sure, self.maybe, self.networks]

    def __add__(self, other: Ahead) -> Ahead:
        return Ahead(
            self.sure + other.sure, self.maybe + other.maybe, self.networks + other.networks
        )


@dataclass(frozen=True)
class Pace:
    """Seconds of a step, and of looking how good a training is by now; measured in a short burst."""

    step_s: float
    look_s: float = 0.0
    looks: int = 0

    def seconds(self, steps: int) -> float:
        """What a training of `steps` takes."""
        return steps * self.step_s + self.looks * self.look_s

    def steps(self, seconds: float) -> int:
        """How many steps there are time for."""
        return max(0, math.floor((seconds - self.looks * self.look_s) / self.step_s))


@dataclass(frozen=True)
class Plan:
    """What one training gets. key: of the recipe, that says its `wanted` steps; steps: what it gets, 0 where there is
    no time for `least`; least_s: the whole time with which it would get those. kept_s: for trainings that may follow.
    """

    training: str
    key: str
    wanted: int
    steps: int
    least: int
    least_s: float
    pace: Pace
    left: Left
    kept_s: float = 0.0

    @property
    def cut(self) -> int:
        """Steps that the recipe has and the plan has not."""
        return self.wanted - self.steps

    @property
    def seconds(self) -> float:
        """What the training takes by the measured pace."""
        return self.pace.seconds(self.steps)

    @property
    def spare_s(self) -> float:
        """What is left for trainings after it."""
        return max(0.0, USED * self.left.seconds - self.kept_s - self.seconds)

    def words(self) -> str:
        """The plan in one line."""
        if not self.steps:
            some = f", {show_seconds(self.kept_s)} of them kept for trainings that follow"
            return (
                f"{self.training}: no time; {self.least:,} steps take {show_seconds(self.pace.seconds(self.least))}, "
                f"{show_seconds(max(0.0, self.left.seconds))} are left"
                + (some if self.left.seconds > self.kept_s > 0 else "")
            )
        got = f"{self.steps:,}" + (f" of {self.wanted:,}" if self.cut else "")
        said = f"{self.training}: {got} steps in {show_seconds(self.seconds)} ({self.pace.step_s * 1e3:.3g} ms each)"
        if self.cut:
            said += f", {self.cut:,} cut"
        kept = (
            f"{show_seconds(self.kept_s)} kept for trainings that follow, " if self.kept_s else ""
        )
        return f"{said}; {kept}{show_seconds(self.left.after_s)} for what follows"

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """As the step has it, and the manifest."""
        return {**asdict(self), "cut": self.cut, "seconds": self.seconds}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Plan:
        """The inverse of `to_json`."""
        plain = {name: told[name] for name in cls.__dataclass_fields__}
        return cls(**{**plain, "pace": Pace(**told["pace"]), "left": Left(**told["left"])})


def plan(
    training: str,
    key: str,
    wanted: int,
    pace: Pace,
    left: Left,
    *,
    times: int = 1,
    later_s: float = 0.0,
    maybe_s: float = 0.0,
) -> Plan:
    """The steps of a training that is made `times` times, at most `wanted` each.

    later_s: what comes after it would like to have; where the time is too short for all, it and they are cut by the
    same share. maybe_s: the same of what may not come at all, and keeps KEPT of the time at most.
    """
    seconds = USED * left.seconds
    every = times * pace.seconds(wanted) + later_s + maybe_s
    kept = later_s + maybe_s
    if every > seconds > 0:
        share = seconds / every
        kept = share * later_s + min(share * maybe_s, KEPT * seconds)
    least = min(wanted, max(1, round(LEAST_SHARE * wanted)))
    steps = min(wanted, pace.steps((seconds - kept) / times))
    share = 1.0
    if later_s + maybe_s:
        share = 1 - (kept / seconds if seconds > 0 else KEPT)
    missing = times * pace.seconds(least) / USED / max(share, 0.1) - left.seconds
    return Plan(
        training,
        key,
        wanted,
        steps if steps >= least else 0,
        least,
        left.asked_s + left.shares * max(0.0, missing),
        pace,
        left,
        kept,
    )
