"""From a stored sample to what the model takes: size, axes, the channels' order, x * scale, (x - mean) / std, the type.

Layouts: "auto" (decided when the model's input is known; until then as stored), "as-is", "flatten" ([n, ...] to
[n, d]), or two names of axes such as "NHWC->NCHW" or "NHW->NCHW": one capital letter an axis, N first; a letter on one
side only is an axis of size 1. The axis called C is the one that mean and std go along.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from squeeze.calib import resample
from squeeze.calib.rows import Array
from squeeze.errors import ConfigError
from squeeze.spec import Frozen

COLOURS = 3
WORDS = ("auto", "as-is", "flatten")
_LAYOUT = re.compile(r"N[A-Z]*->N[A-Z]*")
_FRACTION = re.compile(r"\s*([0-9.]+)\s*/\s*([0-9.]+)\s*")


class Preprocess(Frozen):
    """What the manifest says about the input: y = (x * scale - mean) / std, in the layout and type of the model.

    resize: height and width that images get first, by `calib.resample`; None for as they are.

    `scale` None and `dtype` "auto" are decided with the layout; after `Calib.fitted` all are concrete. channel_order:
    "reversed" makes RGB of BGR and the other way round, before anything is scaled.
    """

    resize: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    layout: str = "auto"
    scale: float | None = Field(None, gt=0, allow_inf_nan=False)
    mean: tuple[float, ...] = Field((0.0,), min_length=1)
    std: tuple[float, ...] = Field((1.0,), min_length=1)
    dtype: str = "auto"
    channel_order: Literal["stored", "reversed"] = "stored"

    @field_validator("layout")
    @classmethod
    def _known_layout(cls, layout: str) -> str:
        if layout in WORDS:
            return layout
        sides = layout.split("->")
        if not _LAYOUT.fullmatch(layout) or any(len(set(s)) != len(s) for s in sides):
            raise ValueError(
                f"allowed: {', '.join(WORDS)}, or two names of axes such as NHWC->NCHW"
            )
        return layout

    @field_validator("scale", mode="before")
    @classmethod
    def _fraction(cls, scale: Any) -> Any:  # Any: whatever the TOML holds
        """A fraction may be written as "1/255"; a TOML number cannot be one."""
        if isinstance(scale, str) and (match := _FRACTION.fullmatch(scale)):
            return float(match[1]) / float(match[2]) if float(match[2]) else math.inf
        return scale

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _one_for_all(cls, value: Any) -> Any:  # Any: whatever the TOML holds
        return (value,) if isinstance(value, (int, float)) else value

    @field_validator("dtype")
    @classmethod
    def _numeric(cls, dtype: str) -> str:
        if dtype == "auto":
            return dtype
        try:
            kind = np.dtype(dtype).kind
        except TypeError as e:
            raise ValueError("allowed: auto, or a NumPy type such as float32 or int64") from e
        if kind not in "biuf":
            raise ValueError("allowed: auto, bool, an integer or a float type")
        return dtype

    @model_validator(mode="after")
    def _sane(self) -> Preprocess:
        if min(self.std) <= 0:
            raise ValueError("std must be above 0")
        if 1 != len(self.mean) != len(self.std) != 1:
            raise ValueError(f"mean has {len(self.mean)} values and std {len(self.std)}")
        if self.dtype != "auto" and np.dtype(self.dtype).kind in "biu" and not self.is_plain:
            raise ValueError(f"scale, mean and std have no meaning for integer dtype {self.dtype}")
        return self

    @property
    def factor(self) -> NDArray[np.float64]:
        """What a value is multiplied by, for all channels or for each."""
        return np.asarray((self.scale or 1.0) / np.asarray(self.std, np.float64))

    @property
    def offset(self) -> NDArray[np.float64]:
        """What is added then."""
        return np.asarray(-np.asarray(self.mean, np.float64) / np.asarray(self.std, np.float64))

    @property
    def is_plain(self) -> bool:
        """Whether no value is changed, only their places and type."""
        return self.scale in (None, 1.0) and set(self.mean) == {0.0} and set(self.std) == {1.0}

    def apply(self, x: Array) -> Array:
        """Stored samples [n, ...] as the model takes them [n, ...], in `dtype`; float32 or whole numbers for "auto".

        The result is new memory. Raises ConfigError when the layout does not fit the samples.
        """
        x = np.asarray(x)
        whole = x.dtype.kind in "biu"
        if self.resize is not None:
            x = resample.resize(x, self.layout, self.resize)
        y = self._ordered(arrange(x, self.layout))
        dtype = self._type(y)
        if whole and dtype.kind in "biu" and self.resize is not None:
            y = np.rint(y)  # means of pixels are no whole numbers
        if self.is_plain:
            return y.astype(dtype, order="C")
        # Half precision would round three times, and overflow before the scale is applied.
        wide = np.dtype(np.float32) if dtype == np.float16 else dtype
        out = y.astype(wide, order="C")
        out *= self.along_channels(self.factor, out.shape).astype(wide)
        out += self.along_channels(self.offset, out.shape).astype(wide)
        return out.astype(dtype, copy=False)

    def reversed_axis(self, shape: tuple[int, ...]) -> int | None:
        """The axis of arranged samples `shape` [n, ...] whose order is reversed; None where none is. Raises ConfigError
        where there is no axis of three channels."""
        if self.channel_order == "stored":
            return None
        axis = channel_axis(self.layout, shape, COLOURS)
        if axis is None:
            raise ConfigError(
                f"preprocess.channel_order: samples {list(shape[1:])} (layout '{self.layout}') have no axis of "
                f"{COLOURS} channels to reverse"
            )
        return axis

    def _ordered(self, y: Array) -> Array:
        axis = self.reversed_axis(y.shape)
        return y if axis is None else np.flip(y, axis)

    def _type(self, y: Array) -> np.dtype[Any]:  # Any: the type is a value here
        if self.dtype != "auto":
            return np.dtype(self.dtype)
        integers = y.dtype.kind in "iu" and self.is_plain
        return y.dtype.newbyteorder("=") if integers else np.dtype(np.float32)

    def along_channels(
        self, values: NDArray[np.float64], shape: tuple[int, ...]
    ) -> NDArray[np.float64]:
        """One value, or one for each channel, as they go with samples of `shape` [n, ...]. Raises ConfigError."""
        if values.size == 1:
            return values.reshape(())
        axis = channel_axis(self.layout, shape, values.size)
        if axis is None:
            raise ConfigError(
                f"preprocess.mean, preprocess.std: got {values.size} values, allowed: 1 or one for each channel of "
                f"samples {list(shape[1:])} (layout '{self.layout}')"
            )
        return values.reshape([-1 if i == axis else 1 for i in range(len(shape))])


def arrange(x: Array, layout: str) -> Array:
    """`x` [n, ...] with its axes moved as `layout` says. Raises ConfigError when it does not fit."""
    if layout in ("auto", "as-is"):
        return x
    if layout == "flatten":
        return x.reshape(len(x), -1)
    shape = arranged(x.shape[1:], layout)
    source, wanted = layout.split("->")
    kept = [source.index(a) for a in wanted if a in source]
    dropped = [i for i, a in enumerate(source) if a not in wanted]
    return np.reshape(x.transpose(*kept, *dropped), (len(x), *shape))


def arranged(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """The shape of one sample after `arrange`. Raises ConfigError."""
    if layout in ("auto", "as-is"):
        return shape
    if layout == "flatten":
        return (math.prod(shape),)
    source, wanted = (side[1:] for side in layout.split("->"))
    if len(source) != len(shape):
        raise ConfigError(
            f"preprocess.layout: '{layout}' wants samples with {len(source)} axes, the data has samples {list(shape)}"
        )
    size = dict(zip(source, shape, strict=True))
    lost = [a for a in source if a not in wanted and size[a] != 1]
    if lost:
        raise ConfigError(
            f"preprocess.layout: '{layout}' drops axis {lost[0]}, which has size {size[lost[0]]} in samples "
            f"{list(shape)}; only an axis of size 1 can be dropped"
        )
    return tuple(size.get(a, 1) for a in wanted)


def channel_axis(layout: str, shape: tuple[int, ...], channels: int) -> int | None:
    """The axis of arranged samples `shape` [n, ...] that has `channels` values: C, else the second, else the last."""
    if "->" in layout and "C" in (wanted := layout.split("->")[1]):
        axis = wanted.index("C")
        return axis if shape[axis] == channels else None
    fitting = [a for a in (1, len(shape) - 1) if 0 < a < len(shape) and shape[a] == channels]
    return fitting[0] if fitting else None
