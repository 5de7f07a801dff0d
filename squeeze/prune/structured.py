"""Removes whole channels from a torch module so that it computes less: shapes really shrink."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.note import Note
from squeeze.prune.counting import MacsLeft, macs
from squeeze.prune.coupling import coupling
from squeeze.prune.flexible import flexible
from squeeze.prune.planning import evenly, globally
from squeeze.prune.surgery import cut
from squeeze.prune.units import Bundle, Coupling, Scores, removal
from squeeze.prune.verified import TOLERANCE, difference, verified

if TYPE_CHECKING:
    from squeeze.prune.units import Removal

Score = Callable[[nn.Module, Sequence[Bundle]], Scores]


@dataclass(frozen=True)
class Widths:
    """Channels of one layer before and after."""

    inputs: tuple[int, int]
    outputs: tuple[int, int]


@dataclass(frozen=True)
class Pruned:
    """A module with fewer channels. `removed`: the layers that shrank; `gone`: exactly which channels went."""

    module: nn.Module
    removed: dict[str, Widths]
    macs_before: int
    macs_after: int
    params_before: int
    params_after: int
    notes: tuple[Note, ...]
    gone: Removal

    @property
    def ratio(self) -> float:
        """The share of the MACs that went."""
        return 1 - self.macs_after / self.macs_before


def prune_once(
    module: nn.Module,
    example: Tensor,  # [n, ...], n of 2 or more
    *,
    ratio: float,
    score: Score,
    scope: Literal["global", "group"] = "global",
    align: int = 8,
) -> Pruned:
    """A copy of `module` with about `ratio` of its MACs fewer (Fang et al., "DepGraph", CVPR 2023).

    module: its forward takes `example` and returns one tensor; it is left as it was. The copy keeps weights,
    statistics, mode and what is frozen. A `Network` may have any splits; code of other modules cannot be changed, so
    bundles whose sizes are written in it stay.
    score: an importance with its samples bound, called with the copy and the bundles that may be pruned.
    scope: "global" removes the least important units of all bundles, "group" the same share of each bundle.
    align: channels that stay are a multiple of it; a layer that has no more than `align` channels stays.

    Raises ConfigError for values out of range, UnsupportedError where the cut computes something else than the masked
    network.
    """
    _check(example, ratio, scope, align)
    pruned = copy.deepcopy(module)
    training, wanted = module.training, {n: p.requires_grad for n, p in module.named_parameters()}
    pruned.eval().requires_grad_(True)
    flexible(pruned, example)
    found = verified(pruned, example, coupling(pruned, example))
    macs_left = MacsLeft(pruned, example)
    params = sum(p.numel() for p in pruned.parameters())
    widths = _widths(pruned)
    scores = score(pruned, found.bundles)
    choose = globally if scope == "global" else evenly
    target_macs = (1 - ratio) * macs_left.before
    units = choose(found.bundles, scores, macs_left, target_macs, align) if ratio else []
    gone = removal(units)
    apart, largest = difference(pruned, example, gone)
    if not apart <= TOLERANCE * max(largest, 1e-6):
        raise UnsupportedError(
            f"pruning: without its channels the network differs from the masked one by {apart:.2g} of {largest:.2g};"
            " its layers cannot be followed; leave prune.ratio at 0 for this model"
        )
    cut(pruned, gone)
    after = macs(pruned, example)
    pruned.train(training)
    for name, parameter in pruned.named_parameters():
        parameter.requires_grad_(wanted[name])
    removed = {
        name: Widths((before[0], now[0]), (before[1], now[1]))
        for name, now in _widths(pruned).items()
        if now != (before := widths[name])
    }
    notes = _notes(found, scores, macs_left.before, after, ratio)
    params_after = sum(p.numel() for p in pruned.parameters())
    return Pruned(pruned, removed, macs_left.before, after, params, params_after, notes, gone)


def _check(example: Tensor, ratio: float, scope: str, align: int) -> None:
    if not 0 <= ratio < 1:
        raise ConfigError(f"pruning: ratio: got {ratio}, allowed: 0 or more and less than 1")
    if align < 1:
        raise ConfigError(f"pruning: align: got {align}, allowed: 1 or more")
    if scope not in ("global", "group"):
        raise ConfigError(f"pruning: scope: got '{scope}', allowed: global, group")
    if len(example) < 2:
        raise ConfigError("pruning: got one example; two or more are needed to tell the batch")


def _widths(module: nn.Module) -> dict[str, tuple[int, int]]:
    found = {}
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear):
            found[name] = (layer.in_features, layer.out_features)
        elif isinstance(layer, (nn.Conv1d, nn.Conv2d)):
            found[name] = (layer.in_channels, layer.out_channels)
    return found


def _notes(
    found: Coupling, scores: Scores, before: int, after: int, ratio: float
) -> tuple[Note, ...]:
    """What was done and what was left alone, like the notes of other steps."""
    numbers = {"macs_before": float(before), "macs_after": float(after)}
    why = f"{1 - after / before:.0%} of the MACs removed, {ratio:.0%} asked"
    notes = [Note("channels", True, why, numbers)]
    silent = [
        (bundle.name, "the importance says nothing about it")
        for bundle, values in zip(found.bundles, scores.values, strict=True)
        if values is None
    ]
    for name, reason in dict.fromkeys((*found.left, *silent)):
        notes.append(Note(name, False, f"left alone: {reason}"))
    return tuple(notes)
