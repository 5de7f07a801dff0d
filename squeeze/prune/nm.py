"""N:M sparsity: of every M weights in a row at most N are not zero (Zhou et al., "Learning N:M Fine-grained Structured
Sparse Neural Networks From Scratch", ICLR 2021).

Rows run along the reduction: the input channels of a convolution, the inputs of a linear layer. No kernel of ours, and
none of onnxruntime's on CPUs, skips the zeros, so `check_target` refuses it for every target; masks and training are
here for kernels that will.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from squeeze.errors import ConfigError, UnsupportedError

if TYPE_CHECKING:
    from squeeze.spec import Target

# Of the paper: pulls the masked weights to zero, so that the mask settles.
DECAY = 2e-4


def check_target(target: Target, n: int, m: int) -> None:
    """Raises UnsupportedError: no target has a kernel that profits from N:M sparsity."""
    raise UnsupportedError(
        f"prune: {n}:{m} sparsity: target '{target.name}' has no kernel that skips the zeros, so the file would be"
        " neither faster nor smaller; prune channels instead (structured pruning)"
    )


def nm_mask(weight: Tensor, n: int, m: int) -> Tensor:
    """1 at the `n` largest magnitudes of each `m` neighbours along axis 1, else 0; of equals the first stay.

    weight: [o, i, ...], i a multiple of m. Raises ConfigError when it is not, or n is not in 1..m.
    """
    if not 1 <= n <= m:
        raise ConfigError(f"{n}:{m} sparsity: allowed: N of 1 to M")
    if weight.ndim < 2 or weight.shape[1] % m:
        raise ConfigError(
            f"{n}:{m} sparsity: got a weight of shape {tuple(weight.shape)}; axis 1 must be a multiple of {m}"
        )
    rows = weight.detach().movedim(1, -1)
    groups = rows.reshape(-1, m)
    order = groups.abs().sort(dim=1, descending=True, stable=True).indices
    mask = torch.zeros_like(groups).scatter_(1, order[:, :n], 1.0)
    return mask.reshape(rows.shape).movedim(-1, 1)


def sr_ste(weight: Tensor, n: int, m: int, decay: float = DECAY) -> Tensor:
    """The masked weight; its gradient reaches every weight, plus decay * w where the mask is 0 (SR-STE)."""
    masked: Tensor = _SRSTE.apply(weight, nm_mask(weight, n, m), decay)  # type: ignore[no-untyped-call]
    return masked


class _SRSTE(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, mask: Tensor, decay: float) -> Tensor:  # Any: torch's
        ctx.save_for_backward(weight, mask)
        ctx.decay = decay
        return weight * mask

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        weight, mask = ctx.saved_tensors
        return gradient + ctx.decay * (1 - mask) * weight, None, None
