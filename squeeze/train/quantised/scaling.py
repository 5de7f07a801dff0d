"""Scaling functions and buckets of Polino et al., "Model compression via distillation and quantization", ICLR 2018.

A weight tensor is cut into buckets: consecutive values of the flattened tensor, 256 by default, the last bucket filled
up with the last value; or one bucket for each output channel. Each bucket has a scale alpha and an offset beta:

linear   beta = min v, alpha = max v - min v; v = alpha * u + beta with u in [0, 1]
absmax   beta = 0, alpha = max |v|;           v = alpha * u with u in [-1, 1]
absnorm  beta = 0, alpha = ||v||_2
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Scaling = Literal["linear", "absmax", "absnorm"]
Bucket = int | Literal["channel", "tensor"]

BUCKET = 256
# A bucket narrower than this holds one value; any scale reproduces it.
_LEAST_ALPHA = 1e-10


@dataclass(frozen=True)
class Scaled:
    """`u`: [buckets, k], scaled; `alpha`, `beta`: [buckets, 1]. `values`: what was scaled, [buckets, k]."""

    u: Tensor
    alpha: Tensor
    beta: Tensor
    values: Tensor


def cut(weight: Tensor, bucket: Bucket) -> Tensor:
    """The buckets of `weight` [o, ...] as rows, [buckets, k]."""
    if bucket == "channel":
        return weight.reshape(len(weight), -1)
    flat = weight.reshape(-1)
    if bucket == "tensor" or flat.numel() <= bucket:
        return flat.reshape(1, -1)
    missing = -flat.numel() % bucket
    if missing:
        flat = _filled(flat, missing)
    return flat.reshape(-1, bucket)


def join(rows: Tensor, like: Tensor) -> Tensor:
    """The tensor that was cut, of the shape of `like`."""
    return rows.reshape(-1)[: like.numel()].reshape(like.shape)


def scale(weight: Tensor, scaling: Scaling, bucket: Bucket) -> Scaled:
    """The scaled buckets of `weight` [o, ...]."""
    values = cut(weight, bucket)
    if scaling == "linear":
        beta = values.amin(1, keepdim=True)
        alpha = values.amax(1, keepdim=True) - beta
    else:
        beta = values.new_zeros(len(values), 1)
        magnitude = values.abs()
        alpha = (
            magnitude.amax(1, keepdim=True)
            if scaling == "absmax"
            else magnitude.square().sum(1, keepdim=True).sqrt()
        )
    alpha = alpha.where(alpha >= _LEAST_ALPHA, alpha.new_ones(()))
    return Scaled((values - beta) / alpha, alpha, beta, values)


def _filled(flat: Tensor, missing: int) -> Tensor:
    import torch

    return torch.cat([flat, flat[-1:].expand(missing)])
