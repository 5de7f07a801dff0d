"""Gates that are drawn, what they cost, and the terms that keep both in hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from squeeze.students.encoder import Learners

_TEMPERATURE = 0.8


class Drawn:
    """A way of learners for `AdaptiveEncoder.taps`: as many as the gate draws, Gumbel-softmax with the hard choice
    forward. Keeps what the loss asks for: shares: of each layer [n, s], the share of its channels that tokens have;
    likely: of each layer [n, s, N + 1].
    """

    def __init__(self) -> None:
        self.shares: list[Tensor] = []
        self.likely: list[Tensor] = []

    def __call__(self, learners: Learners, x: Tensor, mask: Tensor | None) -> Tensor:
        """[n, s, hidden] -> [n, s, hidden]."""
        logits = learners.gate(x).float()
        chosen = functional.gumbel_softmax(logits, _TEMPERATURE, hard=True)
        opened = from_choice(chosen)
        sizes = torch.tensor([part.up.out_features for part in learners.each], device=x.device)
        self.shares.append((opened * sizes).sum(-1) / sizes.sum())
        self.likely.append(logits.softmax(-1))
        return learners.opened(x, opened.to(x.dtype))


def from_choice(chosen: Tensor) -> Tensor:
    """[..., N], which learners work, from the choice of how many, [..., N + 1]."""
    return chosen.flip(-1).cumsum(-1).flip(-1)[..., 1:]


def over_budget(shares: list[Tensor], mask: Tensor, compute: float) -> Tensor:
    """|mean share of tokens that count - compute|; layers count alike. shares: of each [n, s], mask: [n, s]."""
    mean = torch.stack([(share * mask).sum() / mask.sum() for share in shares]).mean()
    return (mean - compute).abs()


def evenness(likely: list[Tensor], mask: Tensor) -> Tensor:
    """Entropy of how often a layer's choices are made, as a share of the most, the mean over layers; likely: of each
    [n, s, N + 1]."""
    found = []
    for one in likely:
        usage = (one * mask[:, :, None]).sum((0, 1)) / mask.sum()
        entropy = -(usage * usage.clamp(min=1e-9).log()).sum()
        found.append(entropy / torch.tensor(float(one.shape[-1])).log())
    return torch.stack(found).mean()


def diversity(shares: list[Tensor], mask: Tensor) -> Tensor:
    """Twice the mean difference of what two samples cost."""
    of_sample = torch.stack([(share * mask).sum(1) / mask.sum(1) for share in shares]).mean(0)
    return 2 * (of_sample[:, None] - of_sample[None, :]).abs().mean()
