"""Preprocessing by its name: what the usual ways of training feed an image network with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from squeeze.calib.preprocess import Preprocess
from squeeze.calib.rows import Raw, value_range
from squeeze.errors import ConfigError, unknown
from squeeze.spec import parse

_BYTE = 255.0
REVERSED = "-bgr"
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Of images in 0..1, in words and as keys of [preprocess].
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {  # Any: values of keys
    "unit": ("[0, 1]", {"scale": 1.0}),
    "signed": ("[-1, 1]", {"scale": 1.0, "mean": (0.5,), "std": (0.5,)}),
    "bytes": ("0..255", {"scale": _BYTE}),
    "imagenet": (
        "[0, 1] less ImageNet's mean, by its deviation",
        {"scale": 1.0, "mean": _IMAGENET_MEAN, "std": _IMAGENET_STD},
    ),
    "caffe": (
        "0..255 less ImageNet's mean, BGR",
        {"scale": _BYTE, "mean": (103.939, 116.779, 123.68), "channel_order": "reversed"},
    ),
}
NAMES = (*PRESETS, *(f"{name}{REVERSED}" for name in PRESETS if name != "caffe"))

Asked = str | Mapping[str, Any]  # Any: values of keys


def asked_for(asked: Asked, said: Preprocess, x: Raw, source: str) -> Preprocess:
    """What was asked for, over what a TOML said: a name of `NAMES`, or keys of [preprocess], of which `name` is one.

    x: stored samples [n, ...], whose range says what "0..1" is of them. Raises ConfigError.
    """
    keys = {"name": asked} if isinstance(asked, str) else dict(asked)
    name = keys.pop("name", None)
    known = {} if name is None else preset(name, x, source)
    return parse(Preprocess, {**said.model_dump(), **known, **keys}, "--preprocess")


def preset(name: str, x: Raw, source: str) -> dict[str, Any]:  # Any: values of keys
    """The keys of [preprocess] for stored samples such as x [n, ...]. Raises ConfigError for an unknown name, and for
    values that are no pixels."""
    if name not in NAMES:
        raise ConfigError(unknown("--preprocess", name, NAMES))
    low, high = value_range([x])
    if low < 0 or high > _BYTE:
        raise ConfigError(
            f"{source}: values {low:g}..{high:g}; --preprocess {name} is for pixels, 0..255 or 0..1; use --scale, "
            "--mean and --std"
        )
    keys = dict(PRESETS[name.removesuffix(REVERSED)][1])
    if name.endswith(REVERSED):
        keys["channel_order"] = "reversed"
    # Integers of 0 and 1 alone are masks.
    one = _BYTE if high > 1 else 1.0
    return {**keys, "scale": keys["scale"] / one}


def in_words(name: str) -> str:
    """Such as "[0, 1] less ImageNet's mean, by its deviation, BGR"."""
    words = PRESETS[name.removesuffix(REVERSED)][0]
    return f"{words}, BGR" if name.endswith(REVERSED) else words
