"""Prunes in rounds, with training in between; a round that does not make the exported file cheaper is undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from squeeze.errors import UnsupportedError
from squeeze.note import Note
from squeeze.prune.structured import Score, prune_once

if TYPE_CHECKING:
    from torch import Tensor, nn

# A round has to cost less than this share of what was before it: below, a timing's noise would decide.
CHEAPER = 0.97


class Smaller(Protocol):
    """A module that computes less, as `Pruned` is."""

    @property
    def module(self) -> nn.Module:
        """What it became."""

    @property
    def removed(self) -> Mapping[str, Any]:  # Any: widths of layers, in whichever form
        """The layers that shrank."""

    @property
    def macs_after(self) -> int:
        """Of the whole module."""

    @property
    def ratio(self) -> float:
        """The share of the MACs that went."""

    @property
    def notes(self) -> Sequence[Note]:
        """What was left alone, among them."""


@dataclass(frozen=True)
class Round:
    """One round. `module`: after training; None when the round was undone. cost_ratio: against the one before."""

    pruned: Smaller
    cost_ratio: float
    kept: bool
    module: nn.Module | None


@dataclass(frozen=True)
class Iterated:
    """The last module that was kept (the first one, where no round helped), and what was tried.

    notes: one a round; before them what the first round left alone.
    """

    module: nn.Module
    rounds: tuple[Round, ...]
    notes: tuple[Note, ...]


def iterate(
    module: nn.Module,
    example: Tensor,  # [n, ...]
    *,
    rounds: int,
    ratio: float,
    score: Score,
    train: Callable[[nn.Module], nn.Module],
    measure: Callable[[nn.Module, nn.Module], float],
    scope: Literal["global", "group"] = "global",
    align: int = 8,
    what: str = "latency",
) -> Iterated:
    """`in_rounds` of `prune_once`, which says what score, scope and align are. Raises ConfigError as that does."""

    def cut(current: nn.Module, share: float) -> Smaller:
        return prune_once(current, example, ratio=share, score=score, scope=scope, align=align)

    return in_rounds(
        module, cut, rounds=rounds, ratio=ratio, train=train, measure=measure, what=what
    )


def in_rounds(
    module: nn.Module,
    cut: Callable[[nn.Module, float], Smaller],
    *,
    rounds: int,
    ratio: float,
    train: Callable[[nn.Module], nn.Module],
    measure: Callable[[nn.Module, nn.Module], float],
    what: str = "latency",
) -> Iterated:
    """Each round removes about `ratio` of the MACs that are left, measures, and trains what was kept.

    cut(module, share): a copy with about this share of its MACs fewer; asked anew in each round. It raises
    UnsupportedError where the cut cannot be followed.
    measure(after, before): latency of the exported file of `after` as a share of that of `before`, or what else the
    device is judged by, which is called `what`. It is asked before training, which changes no shape, so that a round
    that does not help costs none.
    train(module): the recovered module (the same one, or another).
    After a round that was undone the next one starts from the same module and removes as much as two would. The rounds
    end where nothing is left to remove or the cut cannot be followed. `module` is left as it was.
    """
    current, due = module, 0
    tried: list[Round] = []
    notes: list[Note] = []
    for number in range(1, rounds + 1):
        due += 1
        name = f"prune round {number}"
        share = 1 - (1 - ratio) ** due
        try:
            pruned = cut(current, share)
        except UnsupportedError as e:
            notes.append(Note(name, False, f"undone, {e}"))
            break
        if number == 1:
            notes.extend(note for note in pruned.notes if not note.kept)
        numbers = {"macs": float(pruned.macs_after), "macs_ratio": 1 - pruned.ratio}
        if not pruned.removed:
            why = "undone, nothing can be removed: every layer is at its narrowest"
            notes.append(Note(name, False, why, numbers))
            break
        cost_ratio = measure(pruned.module, current)
        numbers["ratio"] = cost_ratio
        why = f"{pruned.ratio:.0%} fewer MACs, {cost_ratio:.2f} of the {what}"
        if cost_ratio >= CHEAPER:
            tried.append(Round(pruned, cost_ratio, False, None))
            better = "faster" if what == "latency" else "cheaper"
            notes.append(Note(name, False, f"undone, not {better}: {why}", numbers))
            continue
        current, due = train(pruned.module), 0
        tried.append(Round(pruned, cost_ratio, True, current))
        notes.append(Note(name, True, why, numbers))
    return Iterated(current, tuple(tried), tuple(notes))
