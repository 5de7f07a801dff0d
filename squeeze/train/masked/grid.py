"""Where images are masked: on a grid that the patches of student and teacher share, so that both see the same pixels.

A unit of it is the smallest rectangle that patches of both cut evenly: of equal patches one patch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Sides = tuple[int, int]


@dataclass(frozen=True)
class Grid:
    """size: of images, in pixels; unit: of what is masked or visible as a whole."""

    size: Sides
    unit: Sides

    @property
    def count(self) -> int:
        """Units of an image."""
        return math.prod(n // side for n, side in zip(self.size, self.unit, strict=True))

    def visible(self, share: float) -> int:
        """How many units are left where `share` of them are masked: one at least, and never all."""
        return min(self.count - 1, max(1, round((1 - share) * self.count)))

    def places(self, patch: Sides) -> Tensor:
        """[units, patches of one]: which patches of a network, counted row by row, each unit has."""
        rows, columns = (n // side for n, side in zip(self.size, patch, strict=True))
        tall, wide = (n // side for n, side in zip(self.unit, patch, strict=True))
        places = torch.arange(rows * columns).reshape(rows // tall, tall, columns // wide, wide)
        return places.transpose(1, 2).reshape(self.count, tall * wide)


def shared_grid(size: Sides, student: Sides, teacher: Sides) -> Grid | None:
    """The grid of patches of these sides, in pixels; None where no grid of two units or more goes into the image."""
    unit = math.lcm(student[0], teacher[0]), math.lcm(student[1], teacher[1])
    if any(n % side for n, side in zip(size, unit, strict=True)):
        return None
    found = Grid(size, unit)
    return found if found.count > 1 else None


def drawn(step: int, grid: Grid, samples: int, seed: int) -> Tensor:
    """[samples, units]: the units of each image in an order of its own; the first ones are visible."""
    random = np.random.default_rng([seed, step])
    order: NDArray[np.int64] = random.random((samples, grid.count)).argsort(axis=1)
    return torch.from_numpy(order)


def patches_of(images: Tensor, patch: Sides) -> Tensor:
    """[n, c, h, w] -> [n, patches, c, *patch], row by row."""
    n, channels, height, width = images.shape
    rows, columns = height // patch[0], width // patch[1]
    cut = images.reshape(n, channels, rows, patch[0], columns, patch[1])
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(n, rows * columns, channels, *patch)


def taken(values: Tensor, places: Tensor) -> Tensor:
    """values: [n, s, ...], places: [n, k] -> [n, k, ...]."""
    rows = torch.arange(len(values), device=values.device)[:, None]
    return values[rows, places]
