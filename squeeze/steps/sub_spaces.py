"""Which spaces of parts get a network, where fewer can be trained than there are: what nothing was trained for decides.

The parts of each space that come nearest to the budget are cut out of the teacher and asked on held-out samples. The
space of the one that loses least goes first: of the scores that need no training it is the one that orders parts best
(docs/search.md#text-encoders); W-PCA and SWAP, which are larger for larger parts, are told beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from squeeze.steps.inheriting_work import tokens_of
from squeeze.steps.sharing import parts_of, untrained_parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from squeeze.case import Case
    from squeeze.run import Run
    from squeeze.spec import SupernetPart
    from squeeze.steps.inheriting_work import Kept
    from squeeze.students.encoder import Params
    from squeeze.train.supernet.space import Name

Json = dict[str, Any]  # Any: JSON

ASKED = 12  # of a space: the budget is spent, so these are the ones that would be picked


@dataclass(frozen=True)
class Picked:
    """spaces: those that get a network, the likeliest first. left: of each other one why not. best: of each space that
    has parts inside the budget the one that loses least, with its scores."""

    spaces: tuple[Name, ...]
    left: Mapping[Name, str]
    best: Mapping[Name, Json]

    def to_json(self) -> Json:
        return {"left": dict(self.left), "best": dict(self.best)}


def pick_spaces(
    run: Run,
    case: Case,
    inherited: Kept,
    part: SupernetPart,
    among: Sequence[Name],
    macs: float,
    count: int,
) -> Picked:
    """`count` of `among`, those left out with the reason in the log. macs: the budget of a part.

    Nothing is asked where all get one.
    """
    among = tuple(dict.fromkeys(among))
    if count >= len(among):
        return Picked(among, {}, {})
    likeliest: dict[Name, Params] = {}
    for space in among:
        inside = _inside(space, case, inherited, macs)
        if inside:
            asked = untrained_parts(run, case, inherited, part, inside, proxies=False)
            losses = [row["loss"] for row in asked.result["parts"]]
            likeliest[space] = inside[losses.index(min(losses))]
    best: dict[Name, Json] = {}
    if likeliest:
        told = untrained_parts(run, case, inherited, part, [*likeliest.values()], proxies=True)
        best = dict(zip(likeliest, told.result["parts"], strict=True))
    order = sorted(among, key=lambda space: best[space]["loss"] if space in best else float("inf"))
    chosen, left = tuple(order[:count]), {}
    for space in order[count:]:
        left[space] = _why(space, chosen, best)
        run.skip("supernet", left[space])
    return Picked(chosen, left, best)


def _inside(space: Name, case: Case, inherited: Kept, macs: float) -> tuple[Params, ...]:
    """The largest parts of a space inside the budget, at most ASKED."""
    parts = parts_of(space, inherited)
    costs = [(part.costs(tokens_of(case, part)).macs, part) for part in parts]
    inside = sorted((found for found in costs if found[0] <= macs), key=lambda found: -found[0])
    return tuple(part for _, part in inside[:ASKED])


def _why(space: Name, chosen: Sequence[Name], best: Mapping[Name, Json]) -> str:
    if space not in best:
        return f"no network for the space '{space}': no part of it is inside the budget"
    last = next((name for name in reversed(chosen) if name in best), None)
    beside = "" if last is None else f", that of '{last}' {_scores(best[last])}"
    return f"no network for the space '{space}': its best part loses {_scores(best[space])}{beside}"


def _scores(row: Json) -> str:
    return f"{row['loss']:.3f} untrained (W-PCA {row['w_pca']:.3g}, SWAP {row['swap']:.0f})"
