"""What the distillation loss rises by: which units the student needs to say what the teacher says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from squeeze.errors import ConfigError
from squeeze.losses import kd, mse
from squeeze.outputs import Outputs
from squeeze.prune.importances.taylor import changes
from squeeze.prune.units import Samples, Scores, check_samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from squeeze.prune.units import Bundle

TEMPERATURE = 4.0
# Draws of the second order per batch.
_DRAWS = 4


def score(
    module: nn.Module,
    bundles: Sequence[Bundle],
    batches: Sequence[Samples] = (),
) -> Scores:
    """|sum g * w| of the distillation loss (root of its mean square over batches) plus half its Gauss-Newton curvature.

    A module that is the teacher itself is at the minimum of the loss: its gradient is zero, and the curvature is all
    there is. For KD at temperature t it is E (sum g * w)^2 with g the gradient of t * log softmax(z / t)[y], y drawn
    from the module's own softmax(z / t); such gradients are 0 on average, so n times the square of a batch's mean
    is the mean of the squares.

    The loss is KD at temperature 4 without labels, for one output the squared error. Raises ConfigError without samples
    or teacher logits.
    """
    check_samples(batches, "distillation")
    generator = torch.Generator().manual_seed(0)

    def first(logits: Tensor, batch: Samples) -> Tensor:
        if batch.teacher is None:
            raise ConfigError(
                "pruning: importance 'distillation' needs the teacher's logits, got none; use 'l2'"
            )
        one = logits.ndim < 2 or logits.shape[1] == 1
        made = mse.MSE(label_weight=0.0) if one else kd.KD(TEMPERATURE, 0.0)
        found: Tensor = made(Outputs(logits), Outputs(batch.teacher), None)
        return found

    def drawn(logits: Tensor, batch: Samples) -> Tensor:
        if logits.ndim < 2 or logits.shape[1] == 1:
            noise = torch.randn(logits.shape, generator=generator).to(logits)
            return 2**0.5 * (logits * noise).mean()
        shares = functional.softmax(logits.detach().cpu() / TEMPERATURE, 1)
        labels = torch.multinomial(shares, 1, generator=generator)[:, 0].to(logits.device)
        return TEMPERATURE * functional.cross_entropy(logits / TEMPERATURE, labels)

    slopes = changes(module, bundles, batches, first)
    repeated = [batch for batch in batches for _ in range(_DRAWS)]
    counts = np.array([len(batch.x) for batch in repeated])
    curves = changes(module, bundles, repeated, drawn)
    return Scores(
        tuple(
            np.sqrt((slope**2).mean(0)) + 0.5 * (counts[:, None] * curve**2).mean(0)
            for slope, curve in zip(slopes, curves, strict=True)
        ),
        additive=True,
    )
