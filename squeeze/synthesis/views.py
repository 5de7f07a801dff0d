"""Views of images while they are synthesised, so that no pixel is good for one place only.

Curriculum augmentation (CDA, Yin and Shen, TMLR 2024): crops that begin as the whole image and may become a small part
of it towards the end, resized to the whole; and shifts around the edges (jitter).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

SMALLEST_AREA = 0.08
LARGEST_ASPECT = 4 / 3
# Shifts go to a seventh of each side: 32 of 224 pixels.
_SIDES_PER_SHIFT = 7


def smallest_area(done: float) -> float:
    """The least share of the image's area that a crop takes, when `done` in 0..1 is behind: cosine from 1 to 0.08."""
    return SMALLEST_AREA + (1 - SMALLEST_AREA) * (1 + math.cos(math.pi * done)) / 2


def cropped(x: Tensor, least: float, generator: torch.Generator) -> Tensor:
    """A random crop of each image x [n, c, h, w], of `least` to all of its area, resized to [h, w] (bilinear).

    Its aspect is that of the image times 3/4 to 4/3, and it lies within the image.
    """
    n = len(x)
    area, aspect, right, down = torch.rand(4, n, generator=generator)
    area = least + (1 - least) * area
    stretch = ((2 * aspect - 1) * math.log(LARGEST_ASPECT) / 2).exp()
    wide, high = (area.sqrt() * stretch).clamp_max(1), (area.sqrt() / stretch).clamp_max(1)
    zero = torch.zeros(n)
    # Coordinates run from -1 to 1, so that a crop of half the width may be moved by half at most, either way.
    across = torch.stack([wide, zero, (2 * right - 1) * (1 - wide)], 1)
    along = torch.stack([zero, high, (2 * down - 1) * (1 - high)], 1)
    grid = functional.affine_grid(
        torch.stack([across, along], 1), list(x.shape), align_corners=False
    )
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def shifted(x: Tensor, axes: Sequence[int], generator: torch.Generator) -> Tensor:
    """x rolled along each of `axes` by a random part of its size, one draw for the batch."""
    for axis in axes:
        most = x.shape[axis] // _SIDES_PER_SHIFT
        by = int(torch.randint(-most, most + 1, (1,), generator=generator))
        x = x.roll(by, axis)
    return x
