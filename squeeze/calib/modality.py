"""What kind of data is it? Read off from shape and type; a TOML may say otherwise.

integers [n, t]                                     tokens
[n, d]                                              vector
integers [n, h, w], [n, h, w, 1|3|4], [n, 1|3|4, h, w]      image; integers: unsigned, or all within 0..255
other [n, h, h], [n, h, w, 3|4], [n, 3|4, h, w]     image
other [n, c, t]                                     signal
other [n, 1, t, f], [n, t, f, 1] with t != f        spectrogram
other rank 4: image when square, else spectrogram; more axes: vector

Data with several inputs is tokens when all are, else mixed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import numpy as np

from squeeze.calib.rows import Raw

Kind = Literal["image", "spectrogram", "signal", "vector", "tokens"]  # of one input
Modality = Literal["image", "spectrogram", "signal", "vector", "tokens", "mixed"]
CHANNELS = (1, 3, 4)
_LOOKED_AT = 256


def infer(x: Raw) -> Kind:
    """The modality of stored samples x [n, ...]."""
    return infer_kind(x.shape[1:], x.dtype, pixels=_pixels(x) if x.dtype.kind in "iu" else False)


def infer_kind(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],  # Any: the type is a value here
    *,
    pixels: bool,
) -> Kind:
    """The modality of samples of `shape`, without n; pixels: integers within 0..255, or unsigned ones."""
    if len(shape) <= 1:
        return "tokens" if dtype.kind in "iu" and len(shape) == 1 else "vector"
    return "vector" if len(shape) > 3 else infer_shape(shape, pixels=pixels)


def joined(kinds: Collection[Kind]) -> Modality:
    """The modality of data with inputs of these."""
    one, *others = kinds
    if not others:
        return one
    return "tokens" if set(kinds) == {"tokens"} else "mixed"


def infer_shape(shape: tuple[int, ...], *, pixels: bool) -> Kind:
    """The modality of samples with two or three axes, known to hold pixels or not."""
    if len(shape) == 2:
        return "image" if pixels or shape[0] == shape[1] else "signal"
    height, width = size(shape)
    if pixels or height == width or shape[channel(shape)] in (3, 4):
        return "image"
    return "spectrogram"


def channel(shape: tuple[int, ...]) -> int:
    """Which of three axes is the channel: the last when only it looks like one, else the first."""
    return 2 if shape[2] in CHANNELS and shape[0] not in CHANNELS else 0


def size(shape: tuple[int, ...]) -> tuple[int, int]:
    """The two axes of three that are not the channel."""
    return (shape[0], shape[1]) if channel(shape) == 2 else (shape[1], shape[2])


def _pixels(x: Raw) -> bool:
    if x.dtype.kind == "u":
        return True
    some = np.asarray(x[:_LOOKED_AT])
    return bool(some.min() >= 0 and some.max() <= 255)
