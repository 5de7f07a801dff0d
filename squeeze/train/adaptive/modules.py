"""What one layer's learners and gate learn for themselves: from what enters and leaves the two linear layers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.students.encoder import Encoder, Layer, Learners

# A learner that lowers the squared error by less than this factor is not worth it.
RATIO = 1.2
_MOST_RATIO = 1e3
_HALVINGS = 30
_LEAST_ERROR = 1e-12


@dataclass(frozen=True)
class Seen:
    """Of one layer, for tokens that count. x, y: [tokens, hidden], what its linear layers took and gave."""

    x: Tensor
    y: Tensor


def seen_of(teacher: Encoder, tensors: Sequence[Tensor]) -> list[Seen]:
    """Of each layer, without a gradient. tensors: in the order of the encoder's inputs."""
    found: list[Seen] = []
    given = dict(zip(teacher.params.inputs, tensors, strict=True))
    with torch.no_grad():
        counted = teacher.counted(given) > 0
        x = teacher.embedded(given)
        added = teacher.added(x, teacher.mask(given))

        def watched(layer: Layer, y: Tensor) -> Tensor:
            made = layer.fed(y)
            found.append(Seen(y[counted].float(), made[counted].float()))
            return made

        layers: Sequence[Layer] = list(teacher.layers)  # type: ignore[arg-type]
        for layer in layers:
            x = layer(x, added, fed=partial(watched, layer))
    return found


def distance(learners: Sequence[Learners], seen: Sequence[Seen]) -> Tensor:
    """The squared distance of every prefix y_k from y as a share of its square, the mean over k and layers."""
    losses = []
    for one, layer in zip(learners, seen, strict=True):
        size = layer.y.float().square().sum()
        losses += [(y.float() - layer.y).square().sum() / size for y in one.prefixes(layer.x)]
    return torch.stack(losses).mean()


def errors(one: Learners, seen: Seen) -> Tensor:
    """e_k = |y_k - y|^2 for k of 0 to N, [tokens, N + 1], without a gradient."""
    with torch.no_grad():
        prefixes = [torch.zeros_like(seen.y), *one.prefixes(seen.x)]
        return torch.stack([(y.float() - seen.y).square().sum(-1) for y in prefixes], -1)


def labels(found: Tensor, ratio: float = RATIO) -> Tensor:
    """The smallest k with e_k / e_(k+1) below `ratio`, N where there is none; [tokens] from [tokens, N + 1]."""
    gains = found[:, :-1] / found[:, 1:].clamp(min=_LEAST_ERROR)
    enough = torch.cat([gains < ratio, torch.ones_like(gains[:, :1], dtype=torch.bool)], 1)
    return enough.int().argmax(1)


def ratio_for(found: Sequence[Tensor], compute: float) -> float:
    """The ratio from which labels ask for no more than a share `compute` of all learners, RATIO at least. found: errors
    of each layer."""

    def share(ratio: float) -> float:
        asked = torch.cat([labels(one, ratio) / (one.shape[1] - 1) for one in found])
        return float(asked.mean())

    if share(RATIO) <= compute:
        return RATIO
    low, high = RATIO, _MOST_RATIO
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if share(middle) > compute else (low, middle)
    return high


def surprise(learners: Sequence[Learners], seen: Sequence[Seen], ratio: float) -> Tensor:
    """Of gates by what their labels are, the mean over layers."""
    losses = [
        functional.cross_entropy(one.gate(layer.x).float(), labels(errors(one, layer), ratio))
        for one, layer in zip(learners, seen, strict=True)
    ]
    return torch.stack(losses).mean()
