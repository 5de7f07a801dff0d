"""What makes an input look like those that the teacher was trained on, each a number to minimise.

With batch normalisations (SRe2L, Yin et al., NeurIPS 2023): the class that is wanted, and at each normalisation the
mean and variance that training left there. Without: the class, smoothness, values of mean 0 and deviation 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from squeeze.synthesis.watched import Norm
from squeeze.teacher.onnx.taps import Activation

# The first normalisation sees the input almost as it is.
FIRST_WEIGHT = 10.0
_LEAST_PROBABILITY = 1e-7

ClassLoss = Callable[[Tensor, Tensor], Tensor]


def statistics_distance(norms: Sequence[Norm]) -> Tensor:
    """sum_l w_l (|mean_l(x) - mean_l| + |variance_l(x) - variance_l|), Euclidean norms over channels; w_1 = 10, else 1.

    Means and variances are taken over the batch and all positions.
    """
    terms = []
    for i, norm in enumerate(norms):
        axes = [0, *range(2, norm.x.ndim)]
        variance, mean = torch.var_mean(norm.x, axes, correction=0)
        apart = torch.linalg.vector_norm(mean - norm.mean) + torch.linalg.vector_norm(
            variance - norm.variance
        )
        terms.append(apart * (FIRST_WEIGHT if i == 0 else 1.0))
    return torch.stack(terms).sum()


def class_loss(activation: Activation, outputs: int) -> ClassLoss | None:
    """(output [n, k], wanted class [n]) -> mean cross-entropy, by the teacher's final activation; None for numbers."""
    if activation == "softmax":
        return lambda output, wanted: functional.nll_loss(
            output.clamp_min(_LEAST_PROBABILITY).log(), wanted
        )
    if activation == "sigmoid":
        return lambda output, wanted: functional.binary_cross_entropy(
            output.clamp(_LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY), _indicator(output, wanted)
        )
    return functional.cross_entropy if outputs > 1 else None


def prior(x: Tensor, axes: Sequence[int], channel: int) -> Tensor:
    """Roughness and unlikely scale of x [n, ...]: the mean absolute step between neighbours along `axes`, plus how far
    mean and deviation of each index along axis `channel`, over batch and positions, are from 0 and 1.
    """
    steps = [x.diff(dim=axis).abs().mean() for axis in axes]
    others = [a for a in range(x.ndim) if a != channel]
    variance, mean = torch.var_mean(x, others, correction=0)
    scale = mean.abs().mean() + (variance.clamp_min(0).sqrt() - 1).abs().mean()
    return torch.stack([scale, *steps]).sum()


def _indicator(output: Tensor, wanted: Tensor) -> Tensor:
    """[n, k]: 1 for the wanted class; for one output, the class itself."""
    if output.shape[1] == 1:
        return wanted[:, None].to(output.dtype)
    return functional.one_hot(wanted, output.shape[1]).to(output.dtype)
