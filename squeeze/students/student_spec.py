"""What a student must take and give: the teacher's input and output, and where the channels are.

Layouts: channels-first [c, ...]; channels-last [..., c] (at most 4 channels, as exported by TensorFlow); no-channel
[h, w] or [t, f]; flat [...] for vectors.
"""

from __future__ import annotations

from math import prod
from typing import Annotated, Literal

from pydantic import Field

from squeeze.spec import Frozen

Layout = Literal["channels-first", "channels-last", "no-channel", "flat"]
Activation = Literal["none", "softmax", "sigmoid"]

# Limits that no real edge model meets; they keep a damaged or hostile spec from taking all memory.
Size = Annotated[int, Field(ge=1, le=1_000_000)]
Width = Annotated[int, Field(ge=8, le=4096, multiple_of=8)]
Depth = Annotated[int, Field(ge=1, le=32)]
Stride = Annotated[int, Field(ge=1, le=64)]
Kernel = Annotated[int, Field(ge=1, le=127)]

_MAX_CHANNELS_LAST = 4


class StudentSpec(Frozen):
    """Input [*input_shape] and outputs of a student; the parameters of every family begin with these."""

    input_shape: Annotated[tuple[Size, ...], Field(min_length=1, max_length=4)]
    outputs: Size
    output_activation: Activation = "none"
    layout: Layout

    @property
    def channels(self) -> int:
        """Input channels; all elements of the input when the layout is flat."""
        return channels_and_size(self.input_shape, self.layout)[0]

    @property
    def size(self) -> tuple[int, ...]:
        """Spatial size of the input; empty when the layout is flat."""
        return channels_and_size(self.input_shape, self.layout)[1]


def layout_of(modality: str, shape: tuple[int, ...]) -> Layout:
    """Where the channels of an input [*shape] of this modality are."""
    if modality == "vector":
        return "flat"
    if modality in ("image", "spectrogram") and len(shape) == 2:
        return "no-channel"
    if modality == "signal" and len(shape) == 1:
        return "no-channel"
    if len(shape) > 1 and shape[-1] <= _MAX_CHANNELS_LAST < min(shape[:-1]):
        return "channels-last"
    return "channels-first"


def channels_and_size(shape: tuple[int, ...], layout: Layout) -> tuple[int, tuple[int, ...]]:
    """Channels and spatial size of an input [*shape]."""
    if layout == "flat":
        return prod(shape), ()
    if layout == "no-channel":
        return 1, shape
    if layout == "channels-last":
        return shape[-1], shape[:-1]
    return shape[0], shape[1:]
