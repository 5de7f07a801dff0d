"""What convolutions and pools have in common: images with channels last, windows, SAME or explicit pads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from squeeze.tflite.layout import channels_last
from squeeze.tflite.node import Node
from squeeze.tflite.numbers import Params
from squeeze.tflite.writing import Writing

SAME, VALID = 0, 1  # the schema's Padding


@dataclass(frozen=True)
class Window:
    """Of two dimensions, each a pair (h, w). begins, ends: pads."""

    sizes: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]

    @property
    def reach(self) -> tuple[int, ...]:
        """Of the kernel, with its dilation."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def is_valid(self) -> bool:
        return not any((*self.begins, *self.ends))

    @property
    def is_same(self) -> bool:
        """Whether the pads are those of TFLite's SAME: as even as can be, the odd one at the end."""
        for size, k, s, begin, end in zip(
            self.sizes, self.reach, self.strides, self.begins, self.ends, strict=True
        ):
            total = max((math.ceil(size / s) - 1) * s + k - size, 0)
            if (begin, end) != (total // 2, total - total // 2):
                return False
        return True


def window(w: Writing, node: Node, kernel: Sequence[int]) -> Window:
    """kernel: (h, w), or (w,) for a sequence, which is an image of height 1."""
    sizes = w.shape(node.inputs[0])[2:]
    rank = len(sizes)
    if rank not in (1, 2):
        raise w.refused(f"it has {rank} dimensions; TFLite has those of 1 and 2")
    kernel = list(kernel)[-rank:]
    strides, dilations = node.ints("strides", [1] * rank), node.ints("dilations", [1] * rank)
    pads = node.ints("pads", [0] * 2 * rank)
    mode = node.attributes.get("auto_pad", b"NOTSET").decode()
    if mode.startswith("SAME"):
        pads = _auto(sizes, kernel, strides, dilations, mode == "SAME_LOWER")
        if node.op == "ConvTranspose":
            raise w.refused(f"auto_pad is {mode}; write its pads as numbers")
    elif mode == "VALID":
        pads = [0] * 2 * rank
    if rank == 1:
        sizes, kernel = (1, *sizes), [1, *kernel]
        strides, dilations, pads = [1, *strides], [1, *dilations], [0, pads[0], 0, pads[1]]
    return Window(
        tuple(sizes),
        tuple(kernel),
        tuple(strides),
        tuple(dilations),
        tuple(pads[:2]),
        tuple(pads[2:]),
    )


def _auto(
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    lower: bool,
) -> list[int]:
    begins, ends = [], []
    for size, k, s, d in zip(sizes, kernel, strides, dilations, strict=True):
        total = max((math.ceil(size / s) - 1) * s + (k - 1) * d + 1 - size, 0)
        small, large = total // 2, total - total // 2
        begins.append(large if lower else small)
        ends.append(small if lower else large)
    return [*begins, *ends]


def image(w: Writing, name: str, params: Params | None) -> int:
    """A value [n, c, h, w] or [n, c, l] as a tensor [n, h, w, c], h = 1 for a sequence."""
    shape = w.shape(name)
    taken = w.take(name, channels_last(len(shape)), params)
    if len(shape) == 4:
        return taken
    made = w.between(f"{name}/image", (shape[0], 1, shape[2], shape[1]), taken)
    w.reshape(taken, made)
    return made


def image_made(w: Writing, name: str, params: Params | None) -> int:
    """The tensor that an operator makes of `name`, to be given to it."""
    shape = w.shape(name)
    if len(shape) == 3:
        shape = (shape[0], shape[1], 1, shape[2])
    batch, channels, high, wide = shape
    label = w.label(name) if len(w.shape(name)) == 4 else f"{name}/image"
    return w.file.tensor(
        label, (batch, high, wide, channels), "float32" if params is None else "int8", params
    )


def padded(w: Writing, x: int, seen: Window) -> tuple[int, int]:
    """The tensor with the pads that TFLite's two words for them do not say, and the word."""
    if seen.is_valid:
        return x, VALID
    if seen.is_same:
        return x, SAME
    return pad(w, x, seen.begins, seen.ends), VALID


def pad(
    w: Writing, x: int, begins: Sequence[int], ends: Sequence[int], value: float | None = None
) -> int:
    """An image with rows and columns of zeros around it, or of `value`."""
    batch, high, wide, channels = w.file.shapes[x]
    shape = (batch, high + begins[0] + ends[0], wide + begins[1] + ends[1], channels)
    made = w.between(f"{w.file.graph.tensors[x].name.decode()}/padded", shape, x)
    sizes = w.ints([[0, 0], [begins[0], ends[0]], [begins[1], ends[1]], [0, 0]])
    if value is None:
        w.write("PAD", [x, sizes], [made])
    else:
        w.write("PADV2", [x, sizes, scalar_like(w, value, x)], [made])
    return made


def scalar_like(w: Writing, value: float, x: int) -> int:
    """A constant of one number, in the type and params of a tensor; beyond int8 it is the nearest of its codes."""
    params = w.file.params[x]
    if params is None:
        return w.file.constant("value", np.asarray(value, w.file.dtypes[x]))
    code = (
        127
        if value == np.inf
        else -128
        if value == -np.inf
        else max(-128, min(127, params.code(value)))
    )
    made = w.file.constant("value", np.asarray(code, np.int8))
    w.file.quantised(made, params)
    return made
