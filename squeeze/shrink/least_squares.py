"""Weights of a layer that make of other inputs what it is to make: ridge regression in closed form.

As channels and blocks go, a layer gets fewer and other inputs than it was trained for; its best weights for these are a
linear least squares problem (He et al., "Channel Pruning for Accelerating Very Deep Neural Networks", ICCV 2017). The
penalty is on the way from the weights that it has: what the samples do not say stays as it was.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from squeeze.shrink.walk import Node
    from squeeze.students.network import Network

# Of the mean square of an input.
RIDGE = 1e-2


def refit(
    weight: Tensor, bias: Tensor | None, x: Tensor, y: Tensor, ridge: float = RIDGE
) -> tuple[Tensor, Tensor | None]:
    """(weight, bias) that minimise the mean of ||x w + b - y||^2 over rows, plus the penalty.

    weight: [g, o, k] of g groups; bias: [g, o], or None where there is none; x: [g, r, k]; y: [g, r, o]. The penalty is
    `ridge` times the mean square of an input (around its mean, where there is a bias) times ||w - weight||^2.
    """
    wide, wanted = x, y
    if bias is not None:
        wide, wanted = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    rest = wanted - wide @ weight.transpose(1, 2)
    rows = x.shape[1]
    gram = (wide.transpose(1, 2) @ wide).double() / rows
    level = gram.diagonal(dim1=1, dim2=2).mean(1)
    # A group whose inputs are all the same says nothing; its weights stay.
    level = torch.where(level > 0, level, torch.ones_like(level))
    eye = torch.eye(gram.shape[1], dtype=gram.dtype)
    moved = torch.linalg.solve(
        gram + ridge * level[:, None, None] * eye,
        (wide.transpose(1, 2) @ rest).double() / rows,
    )
    found = weight + moved.transpose(1, 2).to(weight)
    if bias is None:
        return found, None
    return found, y.mean(1) - (x.mean(1, keepdim=True) @ found.transpose(1, 2))[:, 0]


def positions(shape: tuple[int, ...], count: int) -> Tensor:
    """Of a value [n, c, ...] for each sample `count` places of its map, or all where there are fewer: [n, p]."""
    places = math.prod(shape[2:])
    if places <= count:
        return torch.arange(places).expand(shape[0], -1)
    generator = torch.Generator().manual_seed(places)
    return torch.rand(shape[0], places, generator=generator).argsort(1)[:, :count]


def rows_at(value: Tensor, places: Tensor) -> Tensor:
    """[n, c, ...] at places [n, p] -> [n * p, c]."""
    flat = value.flatten(2)
    found = flat.gather(2, places[:, None, :].expand(-1, flat.shape[1], -1))
    return found.transpose(1, 2).flatten(0, 1)


def patches_at(
    network: Network, node: Node, layer: nn.Conv1d | nn.Conv2d, x: Tensor, places: Tensor
) -> Tensor:
    """What the convolution of `node` multiplies at `places` [n, p] of its output: [g, n * p, k], k as its weights
    have it: inputs of a group, then the kernel."""
    padded = network.padded(node, x)
    sides = [int(p) for p in layer.padding for _ in range(2)]
    padded = functional.pad(padded, sides[::-1])
    if isinstance(layer, nn.Conv1d):
        padded = padded.unsqueeze(2)
    kernel, stride, dilation = (
        (1, *given)[-2:] for given in (layer.kernel_size, layer.stride, layer.dilation)
    )
    height, width = (
        (size - d * (k - 1) - 1) // s + 1
        for size, k, s, d in zip(padded.shape[2:], kernel, stride, dilation, strict=True)
    )
    assert int(places.max()) < height * width
    top, left = places // width * stride[0], places % width * stride[1]
    down = top[..., None] + dilation[0] * torch.arange(kernel[0])  # [n, p, kh]
    right = left[..., None] + dilation[1] * torch.arange(kernel[1])
    sample = torch.arange(len(x))[:, None, None, None]
    # Indices apart from each other put what they pick first: [n, p, kh, kw, c].
    found = padded[sample, :, down[..., :, None], right[..., None, :]]
    rows = found.flatten(0, 1).movedim(-1, 1)  # [n * p, c, kh, kw]
    return rows.reshape(len(rows), layer.groups, -1).transpose(0, 1)
