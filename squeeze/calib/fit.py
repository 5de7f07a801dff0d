"""Do the data and a model's input agree? Decides what "auto" left open: axes, scale and type, each said in words.

Axes, in this order: equal shapes; axes of size 1 added or removed; channels of an image moved; a single-channel sample
flattened. Any other transposition is a guess about what the axes mean: it is named in the error, never done.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from squeeze.calib import modality as calib_modality
from squeeze.calib.modality import Modality
from squeeze.calib.preprocess import Preprocess, arranged, channel_axis
from squeeze.errors import ConfigError

if TYPE_CHECKING:
    from squeeze.interface import TensorSpec

_SPARE = "CABDEGIJKLMOPQRSUVXYZ"  # names for axes of size 1; the first is the channel
_MOST_SUGGESTED_AXES = 5


@dataclass(frozen=True)
class Data:
    """What is stored: samples of `shape` (without n) and `dtype`, all values within low..high."""

    source: str
    shape: tuple[int, ...]
    dtype: str
    low: float
    high: float
    modality: Modality

    @property
    def whole(self) -> bool:
        """Whether the stored type is an integer type."""
        return np.dtype(self.dtype).kind in "iu"


def fit(
    data: Data, preprocess: Preprocess, model: TensorSpec
) -> tuple[Preprocess, Modality, tuple[str, ...]]:
    """The concrete preprocessing, the modality in the model's eyes, and what had to be assumed. Raises ConfigError."""
    layout, assumed = _layout(data, preprocess, model)
    scale, said = _scale(data, preprocess, model)
    fitted = preprocess.model_copy(update={"layout": layout, "scale": scale, "dtype": model.dtype})
    _check_channels(fitted, data, model)
    modality = _modality(data, layout, model)
    return fitted, modality, (*assumed, *said)


def guess(data: Data, preprocess: Preprocess) -> Preprocess:
    """Preprocessing before a model is known: images as float [c, h, w] in 0..1, the rest as stored."""
    layout, scale = preprocess.layout, preprocess.scale
    if layout == "auto":
        letters = _letters(data)
        move = data.modality == "image" and len(data.shape) in (2, 3)
        layout = f"{letters}->NCHW" if move else "as-is"
    if scale is None:
        scale = _pixel_scale(data) if data.modality == "image" and data.whole else 1.0
    scaled = preprocess.model_copy(update={"layout": layout, "scale": scale})
    if preprocess.dtype != "auto":
        return scaled
    tokens = data.modality == "tokens" and scaled.is_plain
    return scaled.model_copy(update={"dtype": "int64" if tokens else "float32"})


def _layout(data: Data, preprocess: Preprocess, model: TensorSpec) -> tuple[str, tuple[str, ...]]:
    if preprocess.layout != "auto":
        got = arranged(data.shape, preprocess.layout)
        if not _same(got, model.shape):
            raise ConfigError(_mismatch(data, model, preprocess.layout, got))
        return preprocess.layout, ()
    letters = _letters(data)
    if _same(data.shape, model.shape):
        return f"{letters}->{letters}", ()
    if layout := _unit_axes(data.shape, letters, model.shape):
        return layout, ()
    if data.modality == "image" and len(data.shape) == 3:
        moved = "NCHW" if letters == "NHWC" else "NHWC"
        if _same(arranged(data.shape, f"{letters}->{moved}"), model.shape):
            return f"{letters}->{moved}", ()
    one_channel = data.modality != "image" or len([d for d in data.shape if d != 1]) <= 2
    if one_channel and len(model.shape) == 1 and _same((math.prod(data.shape),), model.shape):
        return "flatten", (f"layout flatten: samples {list(data.shape)} for input {model}",)
    raise ConfigError(_mismatch(data, model, "auto", data.shape))


def _unit_axes(shape: tuple[int, ...], letters: str, wanted: tuple[int, ...]) -> str | None:
    """The layout that only adds, drops or moves axes of size 1, if there is one."""
    kept = [a for a, d in zip(letters[1:], shape, strict=True) if d != 1]
    units = [a for a, d in zip(letters[1:], shape, strict=True) if d == 1]
    units += [a for a in _SPARE if a not in letters]
    if not _same(tuple(d for d in shape if d != 1), tuple(d for d in wanted if d != 1)):
        return None
    names = "".join(units.pop(0) if d == 1 else kept.pop(0) for d in wanted)
    return f"{letters}->N{names}"


def _letters(data: Data) -> str:
    """Names for the axes of stored samples, N included; C is the channel."""
    rank = len(data.shape)
    plane = {"image": "HW", "spectrogram": "TF"}.get(data.modality)
    if plane and rank == 2:
        return f"N{plane}"
    if plane and rank == 3:
        return f"N{plane}C" if calib_modality.channel(data.shape) == 2 else f"NC{plane}"
    if data.modality in ("signal", "tokens") and rank in (1, 2):
        return "NT" if rank == 1 else "NCT"
    return "NC" if rank == 1 else f"N{_SPARE[1 : 1 + rank]}"


def _scale(data: Data, preprocess: Preprocess, model: TensorSpec) -> tuple[float, tuple[str, ...]]:
    if np.dtype(model.dtype).kind in "iu":
        _check_integers(data, preprocess, model)
        return 1.0, ()
    if preprocess.scale is not None:
        return preprocess.scale, ()
    scale = _pixel_scale(data) if data.whole else 1.0
    if scale == 1.0:
        return scale, ()
    return scale, (
        f"scale 1/255{_unnormalised(preprocess)}: {data.dtype} values {data.low:g}..{data.high:g} for input {model} "
        "(say otherwise under [preprocess] in a TOML)",
    )


def _unnormalised(preprocess: Preprocess) -> str:
    plain = Preprocess(mean=preprocess.mean, std=preprocess.std).is_plain
    return ", mean 0, std 1" if plain else ""


def _pixel_scale(data: Data) -> float:
    """1/255 for bytes and for images within 0..255; 1 for masks of 0 and 1 and for other integers."""
    pixels = data.modality == "image" or data.dtype == "uint8"
    return 1 / 255 if pixels and data.low >= 0 and 1 < data.high <= 255 else 1.0


def _check_integers(data: Data, preprocess: Preprocess, model: TensorSpec) -> None:
    if not data.whole:
        raise ConfigError(
            f"{data.source}: data is {data.dtype}, the model takes {model}; store integers "
            "(x.astype), or give a model with float input"
        )
    if not preprocess.is_plain:
        raise ConfigError(
            f"{data.source}: preprocess.scale, mean and std have no meaning for integer input {model}; leave them out"
        )
    limits = np.iinfo(model.dtype)
    if data.low < limits.min or data.high > limits.max:
        raise ConfigError(
            f"{data.source}: values {data.low:g}..{data.high:g} do not fit input {model}, "
            f"allowed: {limits.min}..{limits.max}"
        )
    if data.modality == "tokens" and data.low < 0:
        raise ConfigError(
            f"{data.source}: token ids go down to {data.low:g}, allowed: 0 and above; replace the padding by its id"
        )


def _check_channels(preprocess: Preprocess, data: Data, model: TensorSpec) -> None:
    values = max(len(preprocess.mean), len(preprocess.std))
    if values > 1 and channel_axis(preprocess.layout, (0, *model.shape), values) is None:
        raise ConfigError(
            f"{data.source}: preprocess.mean, preprocess.std: got {values} values, allowed: 1 or one for each channel "
            f"of input {model} (layout '{preprocess.layout}')"
        )


def _modality(data: Data, layout: str, model: TensorSpec) -> Modality:
    """Integers [n, t] are tokens only for a model that takes integers; an added channel tells a spectrogram."""
    rank, whole = len(model.shape), np.dtype(model.dtype).kind in "iu"
    if data.modality == "tokens" and not whole:
        return "signal" if rank == 2 else "vector"
    if layout == "flatten":
        return "vector"
    if data.modality == "vector" and rank == 2 and len(data.shape) == 1:
        return "signal"
    if data.modality == "signal" and rank == 3:
        return calib_modality.infer_shape(model.shape, pixels=False)
    return data.modality


def _mismatch(data: Data, model: TensorSpec, layout: str, got: tuple[int, ...]) -> str:
    text = f"{data.source}: samples {data.dtype} {list(data.shape)}"
    if got != data.shape:
        text += f" (layout '{layout}' makes them {list(got)})"
    text += f" do not fit the model's input {model}"
    if layout := _suggestion(data, model.shape):
        return f'{text}; layout = "{layout}" under [preprocess] in a TOML would'
    return f"{text}; store the data in that shape, or give the model that belongs to it"


def _suggestion(data: Data, wanted: tuple[int, ...]) -> str:
    """The transposition that would fit, or "flatten", or nothing."""
    rank = len(data.shape)
    if rank == len(wanted) <= _MOST_SUGGESTED_AXES:
        letters = _letters(data)
        for order in permutations(range(rank)):
            if _same(tuple(data.shape[i] for i in order), wanted):
                return f"{letters}->N{''.join(letters[1 + i] for i in order)}"
    if len(wanted) == 1 and _same((math.prod(data.shape),), wanted):
        return "flatten"
    return ""


def _same(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Equal, where a size of the model that is not fixed (0 or less) takes any."""
    return len(shape) == len(wanted) and all(
        w in (d, 0) or w < 0 for d, w in zip(shape, wanted, strict=True)
    )
