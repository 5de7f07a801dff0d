"""Images of another size than the model takes: each new pixel is a weighted mean of old ones, a triangle over them.

The triangle is as wide as the step between new pixels, so that nothing is skipped where an image becomes smaller; where
it becomes larger that is plain bilinear interpolation. It is what Pillow calls BILINEAR, but for Pillow's rounding to 8
bits after each axis. A resize is two matrix products, so that a graph can do the very same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squeeze.calib import modality
from squeeze.calib.rows import Array
from squeeze.errors import ConfigError


def weights(before: int, after: int) -> NDArray[np.float32]:
    """[after, before]: how much of each old pixel of an axis is in each new one; rows add up to 1."""
    step = before / after
    width = max(step, 1.0)
    centres = (np.arange(after) + 0.5) * step - 0.5
    found = np.maximum(0.0, 1.0 - np.abs(np.arange(before) - centres[:, None]) / width)
    return np.asarray(found / found.sum(axis=1, keepdims=True), np.float32)


def plane(shape: tuple[int, ...], layout: str) -> tuple[int, int]:
    """Which axes of a stored sample are height and width: by the letters of the layout, else by the sizes.

    Raises ConfigError for what is no image.
    """
    source = layout.split("->")[0][1:] if "->" in layout else ""
    if "H" in source and "W" in source and len(source) == len(shape):
        return source.index("H"), source.index("W")
    if not source and len(shape) == 2:
        return 0, 1
    if not source and len(shape) == 3:
        return (0, 1) if modality.channel(shape) == 2 else (1, 2)
    raise ConfigError(
        f"preprocess.resize: samples {list(shape)} with layout '{layout}' have no height and width; allowed: images, "
        "with axes H and W in preprocess.layout, such as NHWC->NCHW"
    )


def resized(shape: tuple[int, ...], layout: str, size: tuple[int, int]) -> tuple[int, ...]:
    """The shape of a stored sample after `resize`. Raises ConfigError."""
    found = list(shape)
    for axis, wanted in zip(plane(shape, layout), size, strict=True):
        found[axis] = wanted
    return tuple(found)


def resize(x: Array, layout: str, size: tuple[int, int]) -> NDArray[np.float32]:
    """Stored samples [n, ...] as float32 with the height and width `size`. Raises ConfigError."""
    axes = [axis + 1 for axis in plane(x.shape[1:], layout)]
    last = np.moveaxis(np.asarray(x, np.float32), axes, (-2, -1))
    height, width = last.shape[-2:]
    found = weights(height, size[0]) @ (last @ weights(width, size[1]).T)
    return np.moveaxis(found, (-2, -1), axes)
