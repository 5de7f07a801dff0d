"""Prunes in rounds, with training in between, and undoes a round that does not make the exported file faster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from squeeze.prune.structured import Pruned, Score, prune_once

if TYPE_CHECKING:
    from torch import Tensor, nn

    from squeeze.prune.units import Json

# A round has to take less than this share of the time before it: below, a timing's noise would decide.
FASTER = 0.97


@dataclass(frozen=True)
class Round:
    """One round. `module`: after training; None when the round was undone. latency_ratio: against the one before."""

    pruned: Pruned
    latency_ratio: float
    kept: bool
    module: nn.Module | None


@dataclass(frozen=True)
class Iterated:
    """The last module that was kept (the first one, where no round helped), and what was tried."""

    module: nn.Module
    rounds: tuple[Round, ...]
    notes: tuple[Json, ...]


def iterate(
    module: nn.Module,
    example: Tensor,  # [n, ...]
    *,
    rounds: int,
    ratio: float,
    score: Score,
    train: Callable[[nn.Module], nn.Module],
    measure: Callable[[nn.Module, nn.Module], float],
    export_ok: Callable[[nn.Module], bool] = lambda module: True,
    scope: Literal["global", "group"] = "global",
    align: int = 8,
    keep: Sequence[str] = (),
) -> Iterated:
    """Each round removes about `ratio` of the MACs that are left, measures, and trains what was kept.

    score: as for `prune_once`; it is asked anew in each round.
    measure(after, before): latency of the exported file of `after` as a share of that of `before`. It is asked before
    training, which changes no shape, so that a round that does not help costs none.
    export_ok: whether the pruned module can be exported; where not, the round is undone.
    train(module): the recovered module (the same one, or another).
    After a round that was undone the next one starts from the same module and removes as much as two would.
    `module` is left as it was. Raises what `prune_once` does.
    """
    current, due = module, 0
    tried: list[Round] = []
    notes: list[Json] = []
    for number in range(1, rounds + 1):
        due += 1
        name = f"prune round {number}"
        pruned = prune_once(
            current,
            example,
            ratio=1 - (1 - ratio) ** due,
            score=score,
            scope=scope,
            align=align,
            keep=keep,
        )
        numbers = {"macs": float(pruned.macs_after), "macs_ratio": 1 - pruned.ratio}
        if not pruned.removed:
            why = "undone, nothing can be removed: every layer is at its narrowest"
            notes.append(_entry(name, False, why, **numbers))
            break
        if not export_ok(pruned.module):
            tried.append(Round(pruned, 1.0, False, None))
            notes.append(_entry(name, False, "undone, it cannot be exported", **numbers))
            continue
        latency_ratio = measure(pruned.module, current)
        numbers["ratio"] = latency_ratio
        why = f"{pruned.ratio:.0%} fewer MACs, {latency_ratio:.2f} of the latency"
        if latency_ratio >= FASTER:
            tried.append(Round(pruned, latency_ratio, False, None))
            notes.append(_entry(name, False, f"undone, not faster: {why}", **numbers))
            continue
        current, due = train(pruned.module), 0
        tried.append(Round(pruned, latency_ratio, True, current))
        notes.append(_entry(name, True, why, **numbers))
    return Iterated(current, tuple(tried), tuple(notes))


def _entry(name: str, kept: bool, why: str, **numbers: float) -> Json:
    return {"name": name, "kept": kept, "why": why, "numbers": numbers}
