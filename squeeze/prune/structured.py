"""Removes whole channels from a torch module so that it computes less: shapes really shrink."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
    from squeeze.prune.units import Removal, Unit

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
    found = prunable(module, example)
    left = MacsLeft(found.module, example)
    before = left.before
    scores = score(found.module, found.coupling.bundles)
    choose = globally if scope == "global" else evenly
    target_macs = (1 - ratio) * before
    bundles = found.coupling.bundles
    units = choose(bundles, scores, left, target_macs, align) if ratio else []
    pruned = found.without(units)
    notes = _notes(found.coupling, scores, pruned.macs_before, pruned.macs_after, ratio)
    return replace(pruned, notes=notes)


@dataclass(frozen=True)
class Prunable:
    """A copy of a module, its shapes free to follow its channels, and what may go of it. training, wanted: its mode and
    what of it was not frozen, which are given back to what is pruned."""

    module: nn.Module
    example: Tensor
    coupling: Coupling
    training: bool
    wanted: dict[str, bool]

    def without(self, units: Sequence[Unit]) -> Pruned:
        """A copy without these units, whose notes are left to those who chose them.

        Raises UnsupportedError where the cut computes something else than the masked network.
        """
        pruned, gone = copy.deepcopy(self.module), removal(units)
        before = macs(pruned, self.example)
        params = sum(p.numel() for p in pruned.parameters())
        widths = _widths(pruned)
        apart, largest = difference(pruned, self.example, gone)
        if not apart <= TOLERANCE * max(largest, 1e-6):
            raise UnsupportedError(
                f"pruning: without its channels the network differs from the masked one by {apart:.2g} of "
                f"{largest:.2g}; its layers cannot be followed; leave prune.ratio at 0 for this model"
            )
        cut(pruned, gone)
        after = macs(pruned, self.example)
        pruned.train(self.training)
        for name, parameter in pruned.named_parameters():
            parameter.requires_grad_(self.wanted[name])
        removed = {
            name: Widths((was[0], now[0]), (was[1], now[1]))
            for name, now in _widths(pruned).items()
            if now != (was := widths[name])
        }
        params_after = sum(p.numel() for p in pruned.parameters())
        return Pruned(pruned, removed, before, after, params, params_after, (), gone)


def prunable(module: nn.Module, example: Tensor) -> Prunable:
    """What may go of `module`, which is left as it was and takes `example` [n, ...], n of 2 or more."""
    found = copy.deepcopy(module)
    training, wanted = module.training, {n: p.requires_grad for n, p in module.named_parameters()}
    found.eval().requires_grad_(True)
    flexible(found, example)
    kept = verified(found, example, coupling(found, example))
    return Prunable(found, example, kept, training, wanted)


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
