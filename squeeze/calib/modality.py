"""What kind of data is it? Read off from shape and type; a TOML may say otherwise.

integers [n, t]                                     tokens
[n, d]                                              vector
integers [n, h, w], [n, h, w, 1|3|4], [n, 1|3|4, h, w]      image; integers: unsigned, or all within 0..255
other [n, h, h], [n, h, w, 3|4], [n, 3|4, h, w]     image
other [n, c, t]                                     signal
other [n, 1, t, f], [n, t, f, 1] with t != f        spectrogram
other rank 4: image when square, else spectrogram; more axes: vector
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from squeeze.calib.rows import Raw

Modality = Literal["image", "spectrogram", "signal", "vector", "tokens"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
CHANNELS = (1, 3, 4)
_LOOKED_AT = 256


def infer(x: Raw) -> Modality:
    """The modality of stored samples x [n, ...]."""
    shape, whole = x.shape[1:], x.dtype.kind in "iu"
    if len(shape) <= 1:
        return "tokens" if whole and len(shape) == 1 else "vector"
    if len(shape) > 3:
        return "vector"
    return infer_shape(shape, pixels=whole and _pixels(x))


def infer_shape(shape: tuple[int, ...], *, pixels: bool) -> Modality:
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
