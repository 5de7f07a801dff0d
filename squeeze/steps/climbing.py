"""From post-training int8 up to trained int8, and down to 4, 3 and 2 bits while the drop budget lasts.

    int8 (from `deploy`)  ->  equalised channels  ->  weights alone  ->  ranges of nncf  ->  by row, accuracy control
        ->  AdaRound  ->  quantised distillation                                when int8 loses too much
    4, 3, 2 bits, or bits for each layer that fit a size:
        AdaRound  ->  quantised distillation  ->  sensitive layers at more bits  each when the one before loses too much

Every rung is a file that ONNX Runtime runs and a candidate of its own. One question is asked, on the calibrate split
and with one tolerance: does it lose more than the goal allows? A float network that does already is not climbed: no
training at quantised weights brings back what was lost before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.goal import about_bytes, holds, holds_drop
from squeeze.quantities import show_bytes
from squeeze.steps import placing, recurrent, storing
from squeeze.steps.answering import untrainable
from squeeze.steps.rung import Rungs
from squeeze.steps.searching import SYNTHETIC
from squeeze.steps.widths import LADDER, fitted, more_bits, uniform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Candidate, Front
    from squeeze.goal import Lost
    from squeeze.net import FloatNet
    from squeeze.run import Run
    from squeeze.spec import Goal, Recipe
    from squeeze.steps.rung import Bits

NAME = LADDER
WIDTHS = (4, 3, 2)
# More nodes in float than this share cost speed that training may give back; more than MOST_NODES cost so much that
# rounding again is worth its time where nothing is trained.
FEW_NODES = 0.1
MOST_NODES = 0.5


def fewer_bits(
    run: Run, case: Case, device: Device, recipe: Recipe, front: Front
) -> list[Candidate]:
    """Rungs of the last network whose float form is inside the drop; none, with the reason in the log, when no rung is
    needed. Where none of it has the bytes that the goal demands, the newest network is packed all the same."""
    if not recipe.quant.enabled:
        run.skip(NAME, "the recipe switches quantisation off")
        return []
    if recipe.quant.weights_only:
        run.skip(NAME, "weights alone were asked for")
        return []
    made = _climbed(run, case, device, recipe, front)
    return made + _packed(run, case, device, recipe, front, made)


def _climbed(run: Run, case: Case, device: Device, recipe: Recipe, front: Front) -> list[Candidate]:
    """The rungs of a network that is inside the drop as float."""
    net, why = _worth_climbing(recipe, front)
    if net is None:
        run.skip(NAME, why)
        return []
    if reason := _enough(recipe, device, front, net):
        run.skip(NAME, reason)
        return []
    case = case.judging(net)
    base = front.candidates[f"{net.origin}-float"]
    rungs = Rungs(run, case, device, net, placing.as_placed(recipe, front, net), base)
    goal, asked = recipe.goal, recipe.quant.bits
    int8 = _int8(front, net)
    least = min((c.drop for c in int8), default=0.0)
    lost = bool(int8) and not any(holds(goal, c.lost) for c in int8)
    if lost:
        run.tell(NAME, _lost(goal, min((c.lost for c in int8), key=lambda one: one.drop)))
    if lost and device.integers_only:
        # What mixes floats into the graph, or other forms of Q/DQ, would leave the device.
        _climb(rungs, "int8", {})
        return rungs.candidates
    equalised = lost and rungs.equalise(least)
    if lost and asked == 8:
        # Cheap, and better than what holds the drop and is slower than float. Where int8 is slower, it is there.
        weights_alone = front.candidates.get(f"{net.origin}-{storing.form(recipe.quant)}")
        if weights_alone is None and about_bytes(goal):
            weights_alone = storing.stored(run, case, device, base, recipe.quant)
            rungs.candidates += [weights_alone] if weights_alone is not None else []
        enough = weights_alone is not None and holds(goal, weights_alone.lost)
        done = equalised or rungs.borrow()
        if not done:  # of these two either may be the faster one
            by_row = rungs.by_row()
            done = _controlled(rungs, weights_hold=enough) or by_row
        if not done and (_trains(rungs) or not enough):
            _climb(rungs, "int8", {})
    if asked < 8:
        _climb(rungs, f"{asked}bit", uniform(rungs, asked))
    elif goal.max_bytes is not None and device.numerics.custom_ops:
        _climb(rungs, "fitted", fitted(rungs, goal.max_bytes, front.beside_bytes), narrowest=True)
    elif goal.objective == "smallest" and device.numerics.custom_ops:
        for width in WIDTHS:
            if not _climb(rungs, f"{width}bit", uniform(rungs, width)):
                break  # fewer bits would lose more
    return rungs.candidates


def _packed(
    run: Run,
    case: Case,
    device: Device,
    recipe: Recipe,
    front: Front,
    made: Sequence[Candidate],
) -> list[Candidate]:
    """The newest network at bits that fit the size, where no other file has that size: the nearest to the goal of a
    student that was made for few bits and lost too much as float."""
    goal, everything = recipe.goal, [*front.candidates.values(), *made]
    newest = [c.net for c in everything if c.form == "float"][-1]
    enough = goal.max_bytes is None or any(c.bytes <= goal.max_bytes for c in everything)
    if enough or not device.numerics.custom_ops or any(c.net == newest for c in made):
        return []
    assert goal.max_bytes is not None
    base = front.candidates[f"{newest.origin}-float"]
    case = case.judging(newest)
    rungs = Rungs(run, case, device, newest, placing.as_placed(recipe, front, newest), base)
    run.tell(NAME, f"no file has {show_bytes(goal.max_bytes)}: '{newest.origin}' is packed to it")
    bits = recipe.quant.bits
    wanted = uniform(rungs, bits) if bits < 8 else fitted(rungs, goal.max_bytes, front.beside_bytes)
    if wanted:
        _climb(rungs, "fitted" if bits == 8 else f"{bits}bit", wanted, narrowest=True)
    return rungs.candidates


def _worth_climbing(recipe: Recipe, front: Front) -> tuple[FloatNet | None, str]:
    """The newest network that is inside the drop as float, and what is to be said where the newest one is not."""
    floats = [c for c in front.candidates.values() if c.form == "float"]
    lost = ""
    for candidate in reversed(floats):
        if holds(recipe.goal, candidate.lost):
            return candidate.net, lost
        lost = lost or lost_before(candidate, recipe.goal)
    return None, lost


def _lost(goal: Goal, lost: Lost) -> str:
    """What is said of int8 that is not inside the goal."""
    if holds_drop(goal, lost.drop):
        limit = goal.max_worst_class_drop
        return f"int8 loses {lost.class_drop:.2f} points of recall of one class, {limit:g} are allowed: more is tried"
    return f"int8 loses {lost.drop:.2f} points, {goal.max_drop:g} are allowed: more is tried"


def lost_before(candidate: Candidate, goal: Goal) -> str:
    """What is said of a float network that already loses too much."""
    steps = candidate.net.story.get("steps")
    short = f"; {steps:,} steps of distillation are too few" if steps else ""
    lost = f"{candidate.drop:.1f} points"
    if holds_drop(goal, candidate.drop) and candidate.class_drop is not None:
        lost = f"{candidate.class_drop:.1f} points of recall of its worst class"
    return (
        f"'{candidate.name}' lost {lost} before quantisation{short}, "
        "and training at quantised weights cannot bring them back"
    )


def _enough(recipe: Recipe, device: Device, front: Front, net: FloatNet) -> str | None:
    """Why int8 is enough, or None when there is a reason to climb."""
    goal, int8 = recipe.goal, _int8(front, net)
    packs = device.numerics.custom_ops
    if recipe.quant.bits < 8 or (goal.objective == "smallest" and packs):
        return None
    if not int8 and goal.max_bytes is None:
        return "int8 does not make this model faster; fewer bits would not either"
    if not int8:
        return None if packs else "the target takes no op that packs fewer bits"
    inside = [c for c in int8 if holds(goal, c.lost)]
    if not inside:
        return None
    if goal.max_bytes is not None and min(c.bytes for c in inside) > goal.max_bytes:
        return None if packs else "the target takes no op that packs fewer bits"
    return "int8 is inside the goal"


def _int8(front: Front, net: FloatNet) -> list[Candidate]:
    """The int8 forms of `net` that nothing but calibration data made: all of it, in parts, with LSTMs on integers."""
    names = [f"{net.origin}-{form}" for form in ("int8", placing.FORM, recurrent.FORM)]
    return [front.candidates[name] for name in names if name in front.candidates]


def _climb(rungs: Rungs, label: str, bits: Bits, *, narrowest: bool = False) -> bool:
    """Builds rungs of these bits until one is inside the drop; whether one is. narrowest: no bytes are left."""
    if not bits and label != "int8":
        rungs.run.skip(NAME, "no layer between the first and the last can have fewer bits")
        return False
    # The plain int8 file is a candidate of its own.
    rounded = label if bits else f"{label}-adaround"
    if rungs.build(rounded, bits, trained=False):
        return True
    if rungs.case.data.source == SYNTHETIC:
        rungs.run.skip(f"{label}-trained", "no data was given; nothing is trained on made inputs")
        return False
    if not _trains(rungs):
        return False
    if why := untrainable(rungs.case, maps=True):
        rungs.run.skip(f"{label}-trained", why)
        return False
    if rungs.build(f"{label}-trained", bits, trained=True):
        return True
    more = None if narrowest or not bits else more_bits(rungs, bits)
    return more is not None and rungs.build(f"{label}-mixed-trained", more, trained=True)


def _controlled(rungs: Rungs, *, weights_hold: bool) -> bool:
    """Whether so few nodes in float are enough that the climb ends. weights_hold: weights alone in int8 are inside the
    drop, so that those of nodes in float are too, and many such nodes would be no better; else theirs are float."""
    share = MOST_NODES if weights_hold else 1.0
    found = rungs.control(most_share=share, store_float=weights_hold)
    return found is not None and found["share"] <= (FEW_NODES if _trains(rungs) else MOST_NODES)


def _trains(rungs: Rungs) -> bool:
    part = rungs.recipe.quant
    return part.method != "post-training" and part.steps > 0
