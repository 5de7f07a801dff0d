"""Which spaces of parts get a network, where fewer can be trained than there are: what nothing was trained for decides.

The parts of each space that come nearest to the budget are cut out of the teacher and asked on held-out samples. The
space of the one that loses least goes first: of the scores that need no training it is the one that orders parts best
(docs/search.md#text-encoders); W-PCA and SWAP, which are larger for larger parts, are told beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from squeeze.steps.inheriting_work import tokens_of
from squeeze.steps.sharing import parts_of, untrained_parts
from squeeze.steps.slices import scored_parts, slices_in
from squeeze.steps.slicing_work import slices_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from squeeze.case import Case
    from squeeze.run import Run
    from squeeze.shrink.supernet.slices import Part
    from squeeze.spec import SupernetPart
    from squeeze.steps.inheriting_work import Kept
    from squeeze.students.encoder import Params
    from squeeze.train.supernet.space import Name

Json = dict[str, Any]  # Any: JSON
AnyPart = TypeVar("AnyPart")

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
    """`count` of `among` for a transformer, those left out with the reason in the log. macs: the budget of a part.

    Nothing is asked where all get one.
    """

    def inside(space: Name) -> list[Params]:
        among = parts_of(space, inherited)
        return _inside([(p.costs(tokens_of(case, p)).macs, p) for p in among], macs)

    def ask(parts: Sequence[Params]) -> list[Json]:
        asked = untrained_parts(run, case, inherited, part, parts, proxies=False)
        return list(asked.result["parts"])

    def tell(likeliest: Sequence[Params]) -> list[Json]:
        asked = untrained_parts(run, case, inherited, part, likeliest, proxies=True)
        return list(asked.result["parts"])

    return _pick(run, among, count, inside, ask, tell)


def pick_sliced_spaces(
    run: Run, case: Case, inherited: Kept, among: Sequence[Name], macs: float, count: int
) -> Picked:
    """The same for a convolutional teacher, by the losses alone."""

    def inside(space: Name) -> list[Part]:
        slices = slices_of(inherited)
        return _inside([(slices.costs(p)[0], p) for p in slices_in(space, inherited)], macs)

    def ask(parts: Sequence[Part]) -> list[Json]:
        return list(scored_parts(run, case, inherited, inherited, parts).result["parts"])

    return _pick(run, among, count, inside, ask)


def _pick(
    run: Run,
    among: Sequence[Name],
    count: int,
    inside: Callable[[Name], Sequence[AnyPart]],
    ask: Callable[[Sequence[AnyPart]], list[Json]],
    tell: Callable[[Sequence[AnyPart]], list[Json]] | None = None,
) -> Picked:
    """inside: the parts of a space that are asked. ask: what each loses untrained; tell: that of the likeliest of each
    space with further scores, where there are some."""
    among = tuple(dict.fromkeys(among))
    if count >= len(among):
        return Picked(among, {}, {})
    likeliest: dict[Name, AnyPart] = {}
    best: dict[Name, Json] = {}
    for space in among:
        if parts := inside(space):
            rows = ask(parts)
            best[space] = min(rows, key=lambda row: float(row["loss"]))
            likeliest[space] = parts[rows.index(best[space])]
    if likeliest and tell is not None:
        best = dict(zip(likeliest, tell([*likeliest.values()]), strict=True))
    order = sorted(among, key=lambda space: best[space]["loss"] if space in best else float("inf"))
    chosen, left = tuple(order[:count]), {}
    for space in order[count:]:
        left[space] = _why(space, chosen, best)
        run.skip("supernet", left[space])
    return Picked(chosen, left, best)


def _inside(costs: Sequence[tuple[int, AnyPart]], macs: float) -> list[AnyPart]:
    """The largest parts inside the budget, at most ASKED."""
    inside = sorted((found for found in costs if found[0] <= macs), key=lambda found: -found[0])
    return [part for _, part in inside[:ASKED]]


def _why(space: Name, chosen: Sequence[Name], best: Mapping[Name, Json]) -> str:
    if space not in best:
        return f"no network for the space '{space}': no part of it is inside the budget"
    last = next((name for name in reversed(chosen) if name in best), None)
    beside = "" if last is None else f", that of '{last}' {_scores(best[last])}"
    return f"no network for the space '{space}': its best part loses {_scores(best[space])}{beside}"


def _scores(row: Json) -> str:
    said = f"{row['loss']:.3f} untrained"
    if "w_pca" not in row:
        return said
    return f"{said} (W-PCA {row['w_pca']:.3g}, SWAP {row['swap']:.0f})"
