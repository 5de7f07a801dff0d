"""A student that misses the goal in float, brought inside it in the time that `--time` leaves.

It is trained on: the weights it has, a schedule that begins anew at a lower peak. What a minute of that gains is known
after the first round. Where all the minutes that are left would not gain what is missing, the next larger candidate is
trained instead. Whatever loses least on the calibrate split is kept.

All of it goes by plans, as everything that `--time` decides: minutes are those of recorded steps at a recorded pace, so
a resumed run decides alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from squeeze.goal import Lost, holds
from squeeze.steps.planning import spared
from squeeze.steps.samples import calibrate_lost

if TYPE_CHECKING:
    from squeeze.budget import Plan
    from squeeze.case import Case
    from squeeze.net import FloatNet
    from squeeze.run import At, Run
    from squeeze.spec import Goal

Json = dict[str, Any]  # Any: JSON

NAME = "train-on"
LARGER = "distill-larger"
# Of the recipe's peak: far enough to leave where the first schedule ended, and not what was learned.
WARM_SHARE = 0.25

S = TypeVar("S")


@dataclass(frozen=True)
class Rounds(Generic[S]):
    """How students of one kind go on.

    lost: what one loses on the calibrate split. plan: of a round of so many steps at most; train: that round. larger:
    the next larger candidate, trained; None, with the reason in the log, where there is none or no time for it.
    """

    lost: Callable[[S], Lost]
    plan: Callable[[S, int], Plan]
    train: Callable[[S, int], S]
    larger: Callable[[], S | None]


def brought_inside(run: Run, goal: Goal, first: S, steps: int, rounds: Rounds[S]) -> S:
    """`first`, which was trained for `steps` of a recipe, or what became of it. Without `--time` nothing is asked and
    nothing is done."""
    if run.budget is None:
        return first
    wanted = max(1, steps // 2)
    best = last = (rounds.lost(first), first)
    while not holds(goal, last[0]):
        plan = rounds.plan(last[1], wanted)
        if not spared(run, plan, wanted):
            break
        again = rounds.train(last[1], plan.steps)
        lost = rounds.lost(again)
        gain, missing = last[0].drop - lost.drop, lost.drop - goal.max_drop
        minutes, left = plan.seconds / 60, plan.spare_s / 60
        run.tell(NAME, f"{gain:+.2f} points in {minutes:.1f} minutes, {left:.1f} minutes are left")
        last, wanted = (lost, again), 2 * wanted
        best = min(best, last, key=lambda one: one[0].drop)
        if missing > 0 and gain / minutes * left < missing:
            larger = rounds.larger()
            if larger is not None:
                best = min(best, (rounds.lost(larger), larger), key=lambda one: one[0].drop)
            break
    return best[1]


def float_loss(run: Run, case: Case, net: FloatNet) -> Lost:
    """What a float network loses on the calibrate split."""
    step = run.step("lose", lose, net=net, case=case.blind(), threads=run.threads)
    return Lost.of(step.result)


def lose(at: At, *, net: FloatNet, case: Case, threads: int) -> Json:
    """What a float network loses on the calibrate split."""
    found = calibrate_lost(case, net.file, threads=threads, progress=at.progress)
    return {"summary": f"{found.drop:+.2f} points lost on the calibrate split", **found.to_json()}
