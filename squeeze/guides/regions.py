"""Regions of images: a part of any size and place, as large as the whole again (Shen and Xing, "A Fast Knowledge
Distillation Framework for Visual Recognition", ECCV 2022).

There they are stored with the answers; here the draws give them again, so that nothing of them is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from squeeze.guides.draw import Draws

Array = NDArray[np.float32]
Shares = NDArray[np.float64]

_AREA = 0.08  # of an image, at least
_PIXELS = 16 * 16  # and as many, or the whole: of small images a twelfth says nothing
_ASPECT = 4 / 3  # of a part beside that of its image, either way


@dataclass(frozen=True)
class Regions:
    """Parts of images, one each: `top`, `left`, `height` and `width` [n] as shares of the image's sides, and whether it
    is `mirrored` [n]."""

    top: Shares
    left: Shares
    height: Shares
    width: Shares
    mirrored: NDArray[np.bool_]


def drawn(draws: Draws, pixels: int) -> Regions:
    """Regions for images of so many pixels: the area is uniform, the aspect in its logarithm, the place is anywhere."""
    least = min(1.0, max(_AREA, _PIXELS / pixels))
    area = least + (1 - least) * draws.uniform(0)
    aspect = np.exp((2 * draws.uniform(1) - 1) * np.log(_ASPECT))
    height, width = np.sqrt(area / aspect).clip(0, 1), np.sqrt(area * aspect).clip(0, 1)
    return Regions(
        draws.uniform(2) * (1 - height),
        draws.uniform(3) * (1 - width),
        height,
        width,
        draws.uniform(4) < 0.5,
    )


def cut(x: Array, regions: Regions) -> Array:
    """[n, c, h, w]: each region of its image, brought to h x w by linear interpolation between the centres of pixels;
    at the edge the outermost value counts."""
    rows = _places(x.shape[2], regions.top, regions.height)
    columns = _places(x.shape[3], regions.left, regions.width)
    columns = np.where(regions.mirrored[:, None], columns[:, ::-1], columns)
    return _between(_between(x, rows[:, None, :, None], 2), columns[:, None, None, :], 3)


def _places(length: int, start: Shares, share: Shares) -> NDArray[np.float64]:
    """[n, length]: where in the image the new pixels lie, in old ones."""
    new = (np.arange(length) + 0.5) / length
    return ((start[:, None] + share[:, None] * new) * length - 0.5).clip(0, length - 1)


def _between(x: Array, places: NDArray[np.float64], axis: int) -> Array:
    low = np.floor(places).astype(np.int64)
    high = np.minimum(low + 1, x.shape[axis] - 1)
    weight = (places - low).astype(np.float32)
    below, above = (np.take_along_axis(x, index, axis) for index in (low, high))
    return np.asarray(below + weight * (above - below), np.float32)
