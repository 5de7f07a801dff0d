"""What is said of a part of an encoder before anything is trained: larger is better.

w_pca   parameters times how many directions the feed-forward layers use (W-PCA; Wang et al., 2025)
swap    how many different patterns of signs its feed-forward channels have over some samples (SWAP; Peng et al., 2024)

Both look at samples alone. What a part loses as it is cut out of the teacher (`SuperLM.held_loss`) is a third score,
and its size a fourth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from squeeze.students.encoder import Encoder

ETA = 0.99
_SAMPLES = 64  # tokens that patterns are of


def w_pca(encoder: Encoder, x: Tensor) -> float:
    """x: as `Samples.at`. Parameters times the sum, over layers, of `used_directions` of what is activated of the
    tokens that count."""
    total = sum(used_directions(inner[counted]) for inner, counted in _read(encoder, x, "down"))
    parameters = sum(p.numel() for p in encoder.parameters())
    return float(parameters * total)


def swap(encoder: Encoder, x: Tensor) -> float:
    """x: as `Samples.at`. `patterns` of all channels of all layers over the first 64 tokens that count."""
    codes = [(inner[counted][:_SAMPLES] > 0).T for inner, counted in _read(encoder, x, "up")]
    return float(patterns(torch.cat(codes)))


def used_directions(h: Tensor) -> int:
    """h: [n, d]. The fewest principal directions that have ETA of its variance; 0 of what does not vary."""
    values = torch.linalg.eigvalsh(torch.cov(h.double().T)).flip(0).clamp(min=0)
    if not values.sum() > 0:
        return 0
    shares = values.cumsum(0) / values.sum()
    return int((shares < ETA * (1 - 1e-12)).sum()) + 1


def patterns(codes: Tensor) -> int:
    """codes: [units, samples] of bool. How many different rows there are."""
    return len(torch.unique(codes, dim=0))


SCORES: dict[str, Callable[[Encoder, Tensor], float]] = {"w_pca": w_pca, "swap": swap}


def _read(encoder: Encoder, x: Tensor, linear: str) -> list[tuple[Tensor, Tensor]]:
    """Of each layer its feed-forward channels, [b, s, d], as `up` gives them or as `down` reads them, activated; and
    which tokens count, [b, s]."""
    found: list[Tensor] = []

    def keep(_: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        found.append(made if linear == "up" else given[0])

    hooks = [layer.get_submodule(linear).register_forward_hook(keep) for layer in encoder.layers]
    try:
        with torch.no_grad():
            counted = encoder.taps(*x).taps["mask"] > 0
    finally:
        for hook in hooks:
            hook.remove()
    return [(inner, counted) for inner in found]
