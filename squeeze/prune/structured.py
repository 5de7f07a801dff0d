"""Removes whole channels from a torch module so that it computes less: shapes really shrink."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.prune.counting import Costs, macs
from squeeze.prune.coupling import coupling
from squeeze.prune.flexible import flexible
from squeeze.prune.planning import evenly, globally
from squeeze.prune.surgery import cut
from squeeze.prune.units import Block, Coupling, Json, Scores, removal
from squeeze.prune.verified import TOLERANCE, difference, verified

if TYPE_CHECKING:
    from squeeze.prune.units import Removal

Score = Callable[[nn.Module, Sequence[Block]], Scores]


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
    notes: tuple[Json, ...]
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
    keep: Sequence[str] = (),
) -> Pruned:
    """A copy of `module` with about `ratio` of its MACs fewer (Fang et al., "DepGraph", CVPR 2023).

    module: its forward takes `example` and returns one tensor; it is left as it was. The copy keeps weights,
    statistics, mode and what is frozen. A `Network` may have any splits; code of other modules cannot be changed, so
    blocks whose sizes are written in it stay.
    score: an importance with its samples bound, called with the copy and the blocks that may be pruned.
    scope: "global" removes the least important units of all blocks, "group" the same share of each block.
    align: channels that stay are a multiple of it; a layer that has no more than `align` channels stays.
    keep: names of layers, or of the modules that hold them, whose output channels stay.

    Raises ConfigError for values out of range and names of `keep` that are not there.
    """
    _check(module, example, ratio, scope, align, keep)
    pruned = copy.deepcopy(module)
    training, wanted = module.training, {n: p.requires_grad for n, p in module.named_parameters()}
    pruned.eval().requires_grad_(True)
    flexible(pruned, example)
    found = verified(pruned, example, coupling(pruned, example))
    found = _without(found, keep)
    costs = Costs(pruned, example)
    params = sum(p.numel() for p in pruned.parameters())
    widths = _widths(pruned)
    scores = score(pruned, found.blocks)
    choose = globally if scope == "global" else evenly
    target_macs = (1 - ratio) * costs.before
    units = choose(found.blocks, scores, costs, target_macs, align) if ratio else []
    gone = removal(units)
    apart, largest = difference(pruned, example, gone)
    if not apart <= TOLERANCE * max(largest, 1e-6):
        raise UnsupportedError(
            f"pruning: without its channels the network differs from the masked one by {apart:.2g} of {largest:.2g};"
            " its layers cannot be followed, prune it with 'keep' naming them"
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
    notes = _notes(found, scores, costs.before, after, ratio)
    params_after = sum(p.numel() for p in pruned.parameters())
    return Pruned(pruned, removed, costs.before, after, params, params_after, notes, gone)


def _check(
    module: nn.Module, example: Tensor, ratio: float, scope: str, align: int, keep: Sequence[str]
) -> None:
    if not 0 <= ratio < 1:
        raise ConfigError(f"pruning: ratio: got {ratio}, allowed: 0 or more and less than 1")
    if align < 1:
        raise ConfigError(f"pruning: align: got {align}, allowed: 1 or more")
    if scope not in ("global", "group"):
        raise ConfigError(f"pruning: scope: got '{scope}', allowed: global, group")
    if len(example) < 2:
        raise ConfigError("pruning: got one example; two or more are needed to tell the batch")
    names = dict(module.named_modules())
    for name in keep:
        if name not in names:
            raise ConfigError(f"pruning: keep: the module has no layer '{name}'")


def _without(found: Coupling, keep: Sequence[str]) -> Coupling:
    def held(block: Block) -> bool:
        names = [name for name, side in block.places if side == "out"]
        return any(n == k or n.startswith(f"{k}.") for n in names for k in keep)

    left = tuple((block.name, "asked to keep it") for block in found.blocks if held(block))
    blocks = tuple(block for block in found.blocks if not held(block))
    return Coupling(blocks, (*found.left, *left))


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
) -> tuple[Json, ...]:
    """What was done and what was left alone, like the notes of other steps."""
    numbers = {"macs_before": float(before), "macs_after": float(after)}
    why = f"{1 - after / before:.0%} of the MACs removed, {ratio:.0%} asked"
    notes = [{"name": "channels", "kept": True, "why": why, "numbers": numbers}]
    silent = [
        (block.name, "the importance says nothing about it")
        for block, values in zip(found.blocks, scores.values, strict=True)
        if values is None
    ]
    for name, reason in dict.fromkeys((*found.left, *silent)):
        notes.append({"name": name, "kept": False, "why": f"left alone: {reason}", "numbers": {}})
    return tuple(notes)
