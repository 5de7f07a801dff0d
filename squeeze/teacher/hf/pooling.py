"""The torch modules of what sentence-transformers puts behind an encoder.

Poolings, over the tokens that the mask names, of x [n, t, d] and mask [n, t]:
cls: the first token. max: the largest. mean: sum / count. mean_sqrt_len: sum / sqrt(count). lasttoken: the last one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from squeeze.errors import ConfigError
from squeeze.teacher.weights import read_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from squeeze.teacher.hf.sentence import Dense, Sentence

    Pooling = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

# As sentence-transformers has them.
_FEWEST_TOKENS = 1e-9
_LOWEST = -1e9


class Pooled(torch.nn.Module):
    """Token embeddings [n, t, d] and their mask [n, t] -> sentence embeddings [n, d]."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__()
        self._poolings = [_POOLINGS[name] for name in sentence.poolings]
        self.after = torch.nn.Sequential(
            *(Normalize() if one is None else _dense(one) for one in sentence.after)
        )

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """mask: 1 for tokens that count, as x's type."""
        pooled = torch.cat([pooling(x, mask) for pooling in self._poolings], dim=1)
        result: torch.Tensor = self.after(pooled)
        return result


class Normalize(torch.nn.Module):
    """Vectors of length 1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: [n, d]."""
        return torch.nn.functional.normalize(x, p=2.0, dim=1)


def _cls(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return x[:, 0]


def _max(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return torch.where(mask[:, :, None] > 0, x, _LOWEST).amax(1)


def _mean(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return _sum(x, mask) / mask.sum(1, keepdim=True).clamp(min=_FEWEST_TOKENS)


def _mean_sqrt_len(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return _sum(x, mask) / mask.sum(1, keepdim=True).clamp(min=_FEWEST_TOKENS).sqrt()


def _last_token(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The token that has as many before it as count in all and counts itself, wherever the padding is."""
    count = mask.sum(1, keepdim=True)
    last = (mask.cumsum(1) == count) & (mask > 0)
    return _sum(x, last.to(x.dtype))


def _sum(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (x * weights[:, :, None]).sum(1)


_POOLINGS: dict[str, Pooling] = {
    "cls": _cls,
    "lasttoken": _last_token,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len": _mean_sqrt_len,
}


def _dense(dense: Dense) -> torch.nn.Module:
    """The layer with its weights. Raises ConfigError where they are not of its sizes."""
    linear = torch.nn.Linear(dense.inputs, dense.outputs, bias=dense.bias)
    state = {
        name.removeprefix("linear."): value.float()
        for name, value in read_weights(dense.weights).items()
    }
    wanted = {name: tuple(value.shape) for name, value in linear.state_dict().items()}
    got = {name: tuple(value.shape) for name, value in state.items()}
    if wanted != got:
        raise ConfigError(
            f"{dense.weights}: has tensors {got}, config.json beside it wants {wanted}"
        )
    linear.load_state_dict(state)
    return torch.nn.Sequential(linear, getattr(torch.nn, dense.activation)())
