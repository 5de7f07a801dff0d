"""Resize and Upsample: nearest and bilinear, where TFLite takes the same places of the image."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from squeeze.tflite.layout import channels_last
from squeeze.tflite.node import Node
from squeeze.tflite.numbers import Array
from squeeze.tflite.windows import image, image_made
from squeeze.tflite.writing import Writing

# (halfPixelCenters, alignCorners) of TFLite.
_MODES = ((False, False), (True, False), (False, True))
_ROUNDED: dict[str, Callable[[Array], Array]] = {
    "": lambda places: places,
    "ceil": np.ceil,
    "floor": np.floor,
    "round_prefer_ceil": lambda places: np.floor(places + 0.5),
    "round_prefer_floor": lambda places: np.ceil(places - 0.5),
}


def resize(w: Writing, node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    before, after = w.shape(x), w.shape(y)
    if len(before) not in (3, 4) or before[:2] != after[:2]:
        raise w.refused("it resizes other axes than those of an image")
    mode = node.attributes.get("mode", b"nearest").decode()
    if mode not in ("nearest", "linear"):
        raise w.refused(f"its mode is {mode}; TFLite has nearest and linear")
    if node.attributes.get("antialias"):
        raise w.refused("it has antialias, which TFLite has not; set it to 0")
    sizes = list(zip(before[2:], after[2:], _scales(w, node, len(before)), strict=True))
    half, corners = _like(w, node, mode, sizes)
    params = w.params(x)
    given = image(w, x, params)
    made = image_made(w, y, params)
    size = w.ints(w.file.shapes[made][1:3])
    op = "RESIZE_NEAREST_NEIGHBOR" if mode == "nearest" else "RESIZE_BILINEAR"
    w.write(op, [given, size], [made], halfPixelCenters=half, alignCorners=corners)
    if len(after) == 4:
        w.give(y, made, channels_last(4), params)
    else:
        w.reshape(made, w.made(y, channels_last(3), params))


def _scales(w: Writing, node: Node, rank: int) -> list[float]:
    """Of each axis of the image, as the file says, or by its sizes."""
    at = 1 if node.op == "Upsample" or len(node.inputs) == 2 else 2
    if node.input(at) and (given := w.constant(node.input(at))) is not None and given.size == rank:
        return [float(value) for value in given[2:]]
    before, after = w.shape(node.inputs[0]), w.shape(node.outputs[0])
    return [b / a for a, b in zip(before[2:], after[2:], strict=True)]


def _like(
    w: Writing, node: Node, mode: str, sizes: list[tuple[int, int, float]]
) -> tuple[bool, bool]:
    """The mode of TFLite that reads the very places that this node reads."""
    how = node.attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    if node.op == "Upsample":
        how = "asymmetric"
    if how not in ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"):
        raise w.refused(
            f"its coordinate_transformation_mode is {how}, which TFLite has not; use half_pixel"
        )
    rounding = node.attributes.get("nearest_mode", b"round_prefer_floor").decode()
    if node.op == "Upsample":
        rounding = "floor"
    for half, corners in _MODES:
        if all(
            np.array_equal(_onnx(how, *size, rounding), _tflite(half, corners, *size[:2]))
            if mode == "nearest"
            else np.allclose(_onnx(how, *size), _places(half, corners, *size[:2]), atol=1e-4)
            for size in sizes
        ):
            return half, corners
    raise w.refused(
        f"it reads other places than any mode of TFLite ({how}{', ' + rounding if mode == 'nearest' else ''}); "
        "use half_pixel, or asymmetric with floor, and a whole factor"
    )


def _onnx(how: str, before: int, after: int, scale: float, rounding: str = "") -> Array:
    """Where each entry is read from; whole numbers when it is rounded."""
    at: Array = np.arange(after, dtype=np.float64)
    places: Array
    if how == "asymmetric":
        places = at / scale
    elif how == "align_corners":
        places = at * (before - 1) / max(after - 1, 1)
    elif how == "pytorch_half_pixel" and after == 1:
        places = at
    else:
        places = (at + 0.5) / scale - 0.5
    return np.asarray(np.clip(_ROUNDED[rounding](places), 0, before - 1))


def _places(half: bool, corners: bool, before: int, after: int) -> Array:
    at = np.arange(after)
    scale = (before - 1) / (after - 1) if corners and after > 1 else before / after
    places = (at + 0.5) * scale - 0.5 if half else at * scale
    return np.asarray(np.clip(places, 0, before - 1))


def _tflite(half: bool, corners: bool, before: int, after: int) -> Array:
    at = np.arange(after)
    several = corners and after > 1
    scale = np.float32((before - 1) / (after - 1)) if several else np.float32(before / after)
    places = (at.astype(np.float32) + np.float32(0.5 if half else 0)) * scale
    whole = [math.floor(p + 0.5) if corners else math.floor(p) for p in places.tolist()]
    return np.asarray(np.clip(whole, 0, before - 1))
