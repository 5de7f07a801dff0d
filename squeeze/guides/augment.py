"""Views of a batch for each modality: small changes under which a teacher still has something to say.

Every function is `(x, draws, statistics) -> x'` on preprocessed inputs x [n, c, ...], all randomness from `draws`, so
that a view is replayed exactly; `apply` brings other layouts into that form and back. The teacher answers the *view*,
hence a change need not keep the true class (flips, erased squares), only stay near the data.

Cases: image (shift, flip, erase), region (a part of an image, flip), spectrogram (shift in time, masked bands), signal
(shift, gain, noise), vector (noise), none (tokens; also the way to switch views off).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from squeeze.errors import ConfigError, unknown
from squeeze.guides import regions
from squeeze.guides.draw import Draws
from squeeze.students.student_spec import Layout, layout_of

if TYPE_CHECKING:
    from squeeze.calib import Calib

Array = NDArray[np.float32]

_STATISTICS_SAMPLES = 2048
_SHIFT = 1 / 8  # of the side: 4 pixels of 32
_ERASE_SHARE = 0.5  # of views
_ERASE_SIDE = (0.15, 0.45)  # of the image's side
_MASK = 1 / 6  # of an axis of a spectrogram, at most
_NOISE = 0.1  # of the standard deviation


@dataclass(frozen=True)
class Statistics:
    """What a view may need to know of the data, preprocessed. `fill`: [1, c, ...] a blank input; `std`: [1, c, ...]."""

    fill: Array
    std: Array
    layout: Layout


def statistics(calib: Calib) -> Statistics:
    """Blank input and spread of each feature, from the first samples of the fit split."""
    blank = np.zeros_like(np.asarray(calib.fit.x[:1]))
    x = calib.inputs(calib.fit, 0, min(_STATISTICS_SAMPLES, len(calib.fit)))
    layout = layout_of(calib.modality, x.shape[1:])
    std = _real(x).std(0, keepdims=True)
    return Statistics(
        _channels_first(_real(calib.preprocess.apply(blank)), layout),
        _channels_first(_real(std), layout),
        layout,
    )


def apply(name: str, x: Array, draws: Draws, stats: Statistics) -> Array:
    """The view of x [n, ...] in the teacher's own layout; x itself is left alone. `name`: a key of AUGMENTS."""
    if name == "none":
        return x
    out = AUGMENTS[name](_channels_first(x, stats.layout), draws, stats)
    if stats.layout == "channels-last":
        return np.moveaxis(out, 1, -1)
    return out[:, 0] if stats.layout == "no-channel" else out


def image(x: Array, draws: Draws, stats: Statistics) -> Array:
    """[n, c, h, w]: shifted by up to an eighth of the side, mirrored half of the time, a rectangle erased."""
    height, width = x.shape[2:]
    rows, columns = _reach(height), _reach(width)
    top, left = draws.integer(0, 0, 2 * rows), draws.integer(1, 0, 2 * columns)
    mirrored, holes = draws.uniform(2) < 0.5, _holes(height, width, draws)
    fill, padded = stats.fill[0], _padded(stats.fill, rows, columns)[0]  # [c, h, w] and larger
    inner = padded[:, rows : rows + height, columns : columns + width]
    out = np.empty(x.shape, padded.dtype)
    # Sample by sample in a cache's reach: indexing all of them at once moves several times as many bytes.
    moves = zip(top.tolist(), left.tolist(), mirrored.tolist(), holes, strict=True)
    for i, (above, beside, mirror, hole) in enumerate(moves):
        inner[:] = x[i]
        window = padded[:, above : above + height, beside : beside + width]
        out[i] = window[..., ::-1] if mirror else window
        if hole is not None:
            down, across = hole
            out[i, :, down, across] = fill[:, down, across]
    return out


def region(x: Array, draws: Draws, stats: Statistics) -> Array:
    """[n, c, h, w]: a part of the image, as large as the whole again, mirrored half of the time."""
    return regions.cut(x, regions.drawn(draws, x.shape[2] * x.shape[3]))


def spectrogram(x: Array, draws: Draws, stats: Statistics) -> Array:
    """[n, ..., a, b]: shifted along the longer axis (taken as time), one band of each axis set to the sample's mean."""
    time = -1 if x.shape[-1] >= x.shape[-2] else -2
    out = _rolled(x, time, draws.uniform(0))
    level = out.mean(axis=tuple(range(1, out.ndim)))
    for slot, axis in ((1, -1), (3, -2)):
        band = _band(out.shape[axis], draws.uniform(slot), draws.uniform(slot + 1))  # [n, length]
        shape = [len(out)] + [1] * (out.ndim - 1)
        shape[axis] = out.shape[axis]
        out = np.where(band.reshape(shape), level.reshape([-1] + [1] * (out.ndim - 1)), out)
    return out


def signal(x: Array, draws: Draws, stats: Statistics) -> Array:
    """[n, ..., t]: shifted in time, louder or softer by up to a quarter, with a little noise."""
    out = _rolled(x, -1, draws.uniform(0))
    shape = [-1] + [1] * (x.ndim - 1)
    gain = np.exp((2 * draws.uniform(1) - 1) * np.log(1.25)).reshape(shape)
    strength = _NOISE * draws.uniform(2).reshape(shape) * stats.std.mean()
    noise = draws.noise(3, int(np.prod(x.shape[1:]))).reshape(x.shape)
    return np.asarray(out * gain + strength * noise, np.float32)


def vector(x: Array, draws: Draws, stats: Statistics) -> Array:
    """[n, ...]: Gaussian noise of up to a tenth of each feature's standard deviation."""
    strength = draws.uniform(0).reshape([-1] + [1] * (x.ndim - 1)) * _NOISE
    noise = draws.noise(1, int(np.prod(x.shape[1:]))).reshape(x.shape)
    return (x + strength * stats.std * noise).astype(np.float32)


def none(x: Array, draws: Draws, stats: Statistics) -> Array:
    """The batch as it is."""
    return x


Augment = Callable[[Array, Draws, Statistics], Array]

AUGMENTS: dict[str, Augment] = {
    "image": image,
    "none": none,
    "region": region,
    "signal": signal,
    "spectrogram": spectrogram,
    "vector": vector,
}

_RANK = {"image": 3, "none": 1, "region": 3, "signal": 2, "spectrogram": 3, "vector": 2}


def choose(name: str, calib: Calib) -> str:
    """The key in AUGMENTS for `distill.augment`; 'auto' goes by modality. Raises ConfigError."""
    if len(calib.preprocesses) > 1:
        if name not in ("auto", "none"):
            raise ConfigError(
                f"distill.augment: '{name}' changes an only input, but {calib.name} has {len(calib.preprocesses)}; use "
                "'none'"
            )
        return "none"
    if name == "auto":
        name = calib.modality if calib.modality in AUGMENTS else "none"
    if name not in AUGMENTS:
        raise ConfigError(unknown("distill.augment", name, [*AUGMENTS, "auto"]))
    x = calib.inputs(calib.fit, 0, 1)
    if name != "none" and not np.issubdtype(x.dtype, np.floating):
        raise ConfigError(
            f"distill.augment: '{name}' changes real numbers, but {calib.name} holds {x.dtype}; use 'none'"
        )
    if x.ndim < _RANK[name]:
        raise ConfigError(
            f"distill.augment: '{name}' needs inputs of rank {_RANK[name]}, batch included, but {calib.name} has"
            f" shape {list(x.shape[1:])}; use 'vector' or 'none'"
        )
    return name


def _real(x: NDArray[np.generic]) -> Array:
    return x.astype(np.float32, copy=False)


def _channels_first(x: Array, layout: Layout) -> Array:
    if layout == "channels-last":
        return np.moveaxis(x, -1, 1)
    return x[:, None] if layout == "no-channel" else x


def _reach(side: int) -> int:
    return round(side * _SHIFT)


def _padded(fill: Array, rows: int, columns: int) -> Array:
    return np.pad(fill, ((0, 0), (0, 0), (rows, rows), (columns, columns)), mode="edge")


def _holes(height: int, width: int, draws: Draws) -> list[tuple[slice, slice] | None]:
    """[n] rows and columns of the rectangle that is erased; None where nothing is."""
    low, high = _ERASE_SIDE
    chosen = draws.uniform(3) < _ERASE_SHARE
    tall = _span(height, low + (high - low) * draws.uniform(4), draws.uniform(5))  # [n, h]
    wide = _span(width, low + (high - low) * draws.uniform(6), draws.uniform(7))  # [n, w]
    sides = zip(_ends(tall), _ends(wide), strict=True)
    return [hole if one else None for one, hole in zip(chosen.tolist(), sides, strict=True)]


def _ends(span: NDArray[np.bool_]) -> list[slice]:
    """[n] where each row [n, length] is True, which is one stretch."""
    first, count = span.argmax(1).tolist(), span.sum(1).tolist()
    return [slice(start, start + length) for start, length in zip(first, count, strict=True)]


def _span(
    length: int, share: NDArray[np.float64], centre: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """[n, length]: True within `share` of the length around `centre`, both in 0..1; cut off at the ends."""
    place = (np.arange(length) + 0.5) / length
    return np.asarray(np.abs(place[None] - centre[:, None]) <= share[:, None] / 2)


def _band(
    length: int, share: NDArray[np.float64], centre: NDArray[np.float64]
) -> NDArray[np.bool_]:
    return _span(length, share * _MASK, centre)


def _rolled(x: Array, axis: int, share: NDArray[np.float64]) -> Array:
    """Each sample moved along `axis` by up to an eighth of it, either way; the ends repeat the outermost value."""
    length = x.shape[axis]
    reach = _reach(length)
    offset = np.floor(share * (2 * reach + 1)).astype(np.int64) - reach
    source = np.clip(np.arange(length)[None] - offset[:, None], 0, length - 1)  # [n, length]
    shape = [len(x)] + [1] * (x.ndim - 1)
    shape[axis] = length
    return np.take_along_axis(x, source.reshape(shape), axis=axis)
