"""What moves the weights of a student: SGD with Nesterov momentum, or AdamW (Loshchilov and Hutter 2019) for
transformers, whose gradients differ too much from tensor to tensor for one rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Groups = list[dict[str, Any]]  # Any: torch's own

_MOMENTUM = 0.9
_BETAS = (0.9, 0.98)


@dataclass(frozen=True)
class Kind:
    """rate and decay: times those of the recipe, which are meant for SGD. moments: what torch keeps of a parameter."""

    rate: float
    decay: float
    moments: tuple[str, ...]


SGD = Kind(1.0, 1.0, ("momentum_buffer",))
# Rates of 4e-3 and decays of 0.05 for the recipe's 0.4 and 5e-4.
ADAMW = Kind(0.01, 100.0, ("exp_avg", "exp_avg_sq", "step"))


def groups(parameters: Sequence[nn.Parameter], weight_decay: float, pace: float) -> Groups:
    """Matrices and kernels decay, the others don't. pace: their rate, as a share of the training's."""
    found: Groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [{**group, "pace": pace} for group in found if group["params"]]


def made(kind: Kind, groups: Groups, lr: float) -> torch.optim.Optimizer:
    """The optimiser of `kind` for groups whose decays are the recipe's."""
    scaled = [{**group, "weight_decay": kind.decay * group["weight_decay"]} for group in groups]
    if kind is ADAMW:
        return torch.optim.AdamW(scaled, lr=kind.rate * lr, betas=_BETAS, fused=True)
    return torch.optim.SGD(scaled, lr=kind.rate * lr, momentum=_MOMENTUM, nesterov=True, fused=True)


def moments(
    optimiser: torch.optim.Optimizer, kind: Kind, named: Mapping[str, nn.Parameter]
) -> dict[str, Tensor]:
    """What it keeps, by moment and name; nothing of a parameter that has to wait for its gradient."""
    return {
        f"{moment}.{name}": optimiser.state[p][moment]
        for name, p in named.items()
        for moment in kind.moments
        if moment in optimiser.state[p]
    }


def restore(
    optimiser: torch.optim.Optimizer,
    found: Mapping[str, Tensor],
    named: Mapping[str, nn.Parameter],
) -> None:
    """Goes back to what `moments` gave."""
    for key, value in found.items():
        moment, name = key.split(".", 1)
        parameter = named[name]
        # A number of steps is one number; the others lie in memory as their parameter does.
        like = parameter if value.ndim else value.to(parameter.device)
        optimiser.state[parameter][moment] = torch.empty_like(like).copy_(value)
