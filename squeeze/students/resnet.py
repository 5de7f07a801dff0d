"""Residual CNN (He et al. 2016) for images: stages of two 3x3 convolutions with a shortcut.

Where the shape changes the shortcut is a strided 1x1 convolution: unlike zero padding it quantises and fuses.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from squeeze.students.family import Family, Gene, Genome, per_stage
from squeeze.students.layer import Block, dense
from squeeze.students.stages import (
    WIDTHS,
    ascending,
    check_lengths,
    check_odd,
    check_rank,
    image_strides,
)
from squeeze.students.student_spec import (
    Depth,
    Kernel,
    Stride,
    StudentSpec,
    Width,
    channels_and_size,
    layout_of,
)

_SMALLEST_SIDE = 6
_MODALITIES = ("image", "spectrogram")


class Params(StudentSpec):
    """`widths`, `depths` (blocks) and `strides` have one entry per stage."""

    stem: Width
    stem_kernel: Kernel
    stem_stride: Stride
    widths: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)]
    depths: tuple[Depth, ...]
    strides: tuple[Stride, ...]


def fits(modality: str, input_shape: tuple[int, ...]) -> bool:
    """Images and spectrograms of at least 6x6."""
    _, size = channels_and_size(input_shape, layout_of(modality, input_shape))
    return modality in _MODALITIES and len(size) == 2 and min(size) >= _SMALLEST_SIDE


def smallest(spec: StudentSpec, coarse: bool) -> Genome:
    """8 channels everywhere, one block per stage; `coarse` halves the map once more in the stem."""
    stem_stride, strides = image_strides(spec.size, coarse)
    return {
        "stem": 8,
        "stem_kernel": 3 if stem_stride <= 2 else 7,
        "stem_stride": stem_stride,
        "widths": (8,) * len(strides),
        "depths": (1,) * len(strides),
        "strides": strides,
    }


def space(spec: StudentSpec) -> tuple[Gene, ...]:
    """Stem width, width and depth of each stage."""
    _, strides = image_strides(spec.size)
    return (
        Gene("stem", WIDTHS[:8]),
        *per_stage("widths", len(strides), WIDTHS),
        *per_stage("depths", len(strides), (1, 2, 3)),
    )


def blocks(params: Params) -> list[Block]:
    """Stem, then the stages. Raises ConfigError."""
    check_rank("resnet", params.size, (2,))
    check_lengths("resnet", widths=params.widths, depths=params.depths, strides=params.strides)
    check_odd("resnet", "stem_kernel", (params.stem_kernel,))
    stem = dense(
        params.channels,
        params.stem,
        params.size,
        kernel=params.stem_kernel,
        stride=params.stem_stride,
    )
    found = [Block((stem,))]
    channels, size = params.stem, stem.out_size
    for width, depth, first in zip(params.widths, params.depths, params.strides, strict=True):
        for stride in (first,) + (1,) * (depth - 1):
            one = dense(channels, width, size, stride=stride)
            two = dense(width, width, one.out_size, relu=False)
            same = stride == 1 and channels == width
            projection = dense(channels, width, size, kernel=1, stride=stride, relu=False)
            found.append(Block((one, two), True, None if same else projection, relu=True))
            channels, size = width, one.out_size
    return found


FAMILY = Family("resnet", False, Params, fits, smallest, space, blocks, ordered=ascending)
