"""Do the data and a model's input agree? Decides what "auto" left open: axes, scale and type, each said in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from squeeze.calib import modality as calib_modality
from squeeze.calib import resample
from squeeze.calib.axes import dropping, layout_for, letters_of, without_batch
from squeeze.calib.modality import Kind
from squeeze.calib.preprocess import Preprocess, channel_axis
from squeeze.calib.stored import Data
from squeeze.errors import ConfigError

if TYPE_CHECKING:
    from squeeze.interface import TensorSpec


@dataclass(frozen=True)
class Fitted:
    """The concrete preprocessing, the modality in the model's eyes, and what had to be assumed."""

    preprocess: Preprocess
    modality: Kind
    assumed: tuple[str, ...]


def fit(data: Data, preprocess: Preprocess, model: TensorSpec) -> Fitted:
    """How stored samples become the model's input. Raises ConfigError where they can't."""
    data = _resized(data, preprocess)
    sample, axis = (data, None) if preprocess.layout != "auto" else without_batch(data, model)
    layout, assumed = layout_for(sample, preprocess, model)
    if axis is not None:
        layout = dropping(layout, axis)
    scale, said = _scale(data, preprocess, model)
    fitted = preprocess.model_copy(update={"layout": layout, "scale": scale, "dtype": model.dtype})
    _check_channels(fitted, data, model)
    _check_half(fitted, data, model)
    modality = _modality(sample, layout, model)
    return Fitted(fitted, modality, (*assumed, *said))


def _resized(data: Data, preprocess: Preprocess) -> Data:
    """The data after `preprocess.resize`, which comes first. Raises ConfigError for what is no image."""
    if preprocess.resize is None:
        return data
    layout = preprocess.layout if "->" in preprocess.layout else f"{letters_of(data)}->"
    try:
        return replace(data, shape=resample.resized(data.shape, layout, preprocess.resize))
    except ConfigError as e:
        raise ConfigError(f"{data.source}: {e}") from e


def guess(data: Data, preprocess: Preprocess) -> Preprocess:
    """Preprocessing before a model is known: images as float [c, h, w] in 0..1, the rest as stored."""
    layout, scale = preprocess.layout, preprocess.scale
    if layout == "auto":
        letters = letters_of(data)
        move = data.modality == "image" and len(data.shape) in (2, 3)
        layout = f"{letters}->NCHW" if move else "as-is"
    if scale is None:
        scale = _pixel_scale(data) if data.modality == "image" and data.whole else 1.0
    scaled = preprocess.model_copy(update={"layout": layout, "scale": scale})
    if preprocess.dtype != "auto":
        return scaled
    tokens = data.modality == "tokens" and scaled.is_plain
    return scaled.model_copy(update={"dtype": "int64" if tokens else "float32"})


def _scale(data: Data, preprocess: Preprocess, model: TensorSpec) -> tuple[float, tuple[str, ...]]:
    if np.dtype(model.dtype).kind in "biu":
        _check_integers(data, preprocess, model)
        return 1.0, ()
    if preprocess.scale is not None:
        return preprocess.scale, ()
    scale = _pixel_scale(data) if data.whole else 1.0
    if scale == 1.0:
        return scale, ()
    return scale, (
        f"scale 1/255{_unnormalised(preprocess)}: {data.dtype} values {data.low:g}..{data.high:g} for input {model} "
        "(say otherwise with --preprocess, or [preprocess] in a TOML)",
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
    kind = np.dtype(model.dtype)
    least, most = (0, 1) if kind == np.bool_ else (np.iinfo(kind).min, np.iinfo(kind).max)
    if data.low < least or data.high > most:
        raise ConfigError(
            f"{data.source}: values {data.low:g}..{data.high:g} do not fit input {model}, "
            f"allowed: {least}..{most}"
        )
    # Ids have a wide type; narrow integers are samples of a signal.
    if data.modality == "tokens" and kind.itemsize >= 4 and data.low < 0:
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
    try:
        preprocess.reversed_axis((0, *model.shape))
    except ConfigError as e:
        raise ConfigError(f"{data.source}: input {model}: {e}") from None


def _check_half(preprocess: Preprocess, data: Data, model: TensorSpec) -> None:
    if model.dtype != "float16":
        return
    scaled = np.array([data.low, data.high]) * (preprocess.scale or 1.0)
    ends = (scaled[:, None] - np.asarray(preprocess.mean)) / np.asarray(preprocess.std)
    if np.abs(ends).max() > np.finfo(np.float16).max:
        raise ConfigError(
            f"{data.source}: values {data.low:g}..{data.high:g} do not fit input {model}, allowed: -65504..65504; "
            "scale them under [preprocess] in a TOML"
        )


def _modality(data: Data, layout: str, model: TensorSpec) -> Kind:
    """Integers [n, t] are tokens only for a model that takes integers; an added channel tells a spectrogram."""
    rank, whole = len(model.shape), np.dtype(model.dtype).kind in "biu"
    if data.modality == "tokens" and not whole:
        return "signal" if rank == 2 else "vector"
    if layout == "flatten":
        return "vector"
    if data.modality == "vector" and rank == 2 and len(data.shape) == 1:
        return "signal"
    if data.modality == "signal" and rank == 3:
        return calib_modality.infer_shape(model.shape, pixels=False)
    return data.modality
