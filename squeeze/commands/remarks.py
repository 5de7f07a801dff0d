"""What is said of a quantised file beside its numbers: what is float and why, what it misses, why none is made."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from squeeze import graph
from squeeze.goal import holds_drop
from squeeze.quant.weights.levels import FULL_BITS
from squeeze.steps import placing, storing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from squeeze.commands.gain import Gain
    from squeeze.front import Candidate, Front
    from squeeze.spec import Goal

Json = dict[str, Any]  # Any: JSON

# Form of a candidate -> the step that made it, where that is not called the same.
_MADE_BY = {"int8": "keep", placing.FORM: "place", "int8-controlled": "control"}
_LEFT = re.compile(r"(?:(?P<count>\d+) x )?(?P<op>\w+): (?P<why>.*)", re.DOTALL)


def float_arithmetic(front: Front, goal: Goal, picked: Candidate) -> str | None:
    """Why the file has weights alone in int8; None of others."""
    if not storing.is_weights_alone(picked.form):
        return None
    if picked.story.get("asked"):
        return f"weights have {picked.bits} bits in blocks, arithmetic is float, as asked"
    why = "nothing of it can be int8"
    for one in front.candidates.values():
        if one.form == "int8":
            beyond = not holds_drop(goal, one.drop)
            why = f"int8 loses {one.drop:.2f} points" if beyond else "int8 is slower"
    return f"weights are int8, arithmetic is float: {why}"


def without_int8(log: list[Json], file: Path, form: str = "int8") -> list[str]:
    """What has no int8 form in `file`, and why, as the step found that made it; nothing that is part of one of our ops
    there, or an LSTM on integers. form: of the candidate."""
    steps_of = [_MADE_BY.get(form, form), "keep"]
    tried: list[list[Json]] = [
        s["tried"] for name in steps_of for s in log if s["name"] == name and s["tried"]
    ]
    there = graph.count_ops(graph.load(file))
    found = []
    for note in tried[0] if tried else ():
        matched = _LEFT.fullmatch(str(note["why"])) if note["name"] == "left float" else None
        if matched is None:
            continue
        op = matched["op"]
        count = min(int(matched["count"] or 1), there.get(op, 0))
        if count:
            found.append(f"{f'{count} x ' if count > 1 else ''}{op}: {matched['why']}")
    return found


def missed_by(path: Path, goal: Goal, picked: Candidate, drop: float, noise: bool) -> str | None:
    """What is said of a file that loses more than it may; None where it is inside, or where the evaluate split alone
    says that it is not and has too few samples to (`noise`)."""
    lost = max(drop, picked.drop)
    if holds_drop(goal, lost) or (noise and holds_drop(goal, picked.drop)):
        return None
    if math.isinf(lost):
        return (
            f"{path} was written, but by this metric the model itself makes no error at all, beside which any loss is "
            "endless; are the labels its own outputs? Leave them away, or take another --metric"
        )
    enough = math.ceil(10 * lost) / 10
    where = "" if lost == drop else " on the calibrate split"
    return (
        f"{path} was written, but it loses {lost:.2f} points{where}, allowed are {goal.max_drop:g}; try more samples "
        f"with --calib, --keep-float NAME, squeeze compile (which trains), or --drop {enough:g} to accept it"
    )


def not_faster(gain: Gain, little: str) -> str:
    """What is said of a file that does not make the model faster here."""
    return f"not faster: {gain}" + (f"; {little}" if little else "")


def refused(model: str, gain: Gain, left: Sequence[str]) -> list[str]:
    """The lines of an error for a file that would be no better than the model; left: what is float in it, and why."""
    smaller = gain.after < gain.before
    what = f"{model}: no quantised file was made, for it would gain too little and not be clearly faster: {gain}"
    lines = [what + ("; --for size writes the smaller one" if smaller else "")]
    if why := "; ".join(one for one in left if one):
        lines.append(f"what stays float: {why}")
    return lines


def at_8_bits(bits: int, picked: Candidate, front: Front, log: list[Json]) -> str | None:
    """What is said of a file of 8 bits where fewer were asked for."""
    if picked.bits <= bits:
        return None
    made = any(c.bits < FULL_BITS for c in front.candidates.values())
    why = f"no layer takes fewer bytes at {bits} bits" if made else said(log, "ladder")
    return f"{why}: this is the file of {FULL_BITS} bits"


def said(log: list[Json], step: str) -> str:
    """The summary of the last step of that name."""
    return next((str(s["summary"]) for s in reversed(log) if s["name"] == step), "")
