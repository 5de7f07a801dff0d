"""Depthwise-separable CNN (Zhang et al. 2017) for spectrograms and signals: a wide first convolution, then pairs of
depthwise and 1x1 convolutions. The input decides: [c, t] gives 1-D, [c, t, f] 2-D convolutions.

The first kernel and the strides are scaled to each dimension: 49x10 gets 9x3 with stride (2, 1), a second of audio
(16,000 samples) gets 257 with stride 128.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from squeeze.students.family import Family, Gene, Genome, per_stage
from squeeze.students.layer import Block, dense, depthwise
from squeeze.students.stages import (
    WIDTHS,
    ascending,
    check_lengths,
    check_odd,
    check_rank,
    halvings,
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

_STAGES = 3
_FINAL_SIZE = 16
_LEAST_ELEMENTS = 16
_MODALITIES = ("signal", "spectrogram")


class Params(StudentSpec):
    """`stem_kernel` and `stem_stride` have one entry per spatial dimension, `strides` a tuple of them per stage."""

    stem: Width
    stem_kernel: Annotated[tuple[Kernel, ...], Field(min_length=1, max_length=2)]
    stem_stride: tuple[Stride, ...]
    widths: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)]
    depths: tuple[Depth, ...]
    strides: tuple[tuple[Stride, ...], ...]
    kernel: Kernel


def fits(modality: str, input_shape: tuple[int, ...]) -> bool:
    """Signals and spectrograms with one or two spatial dimensions."""
    _, size = channels_and_size(input_shape, layout_of(modality, input_shape))
    return modality in _MODALITIES and len(size) in (1, 2) and max(size) >= _LEAST_ELEMENTS


def smallest(spec: StudentSpec, coarse: bool) -> Genome:
    """8 channels, one pair per stage; `coarse` halves the map once more in the stem."""
    final = _FINAL_SIZE // 2 if coarse else _FINAL_SIZE
    halved = [halvings(n, final) for n in spec.size]
    stem = tuple(1 << max(min(h, 1), h - _STAGES) for h in halved)
    left = [h - s.bit_length() + 1 for h, s in zip(halved, stem, strict=True)]
    # Halvings that the stem left over, the last stages first.
    strides = tuple(
        tuple(2 if n > _STAGES - 1 - stage else 1 for n in left) for stage in range(_STAGES)
    )
    return {
        "stem": 8,
        "stem_kernel": tuple(map(_stem_kernel, spec.size, stem)),
        "stem_stride": stem,
        "widths": (8,) * _STAGES,
        "depths": (1,) * _STAGES,
        "strides": strides,
        "kernel": 3,
    }


def space(spec: StudentSpec) -> tuple[Gene, ...]:
    """Stem width, width and depth of each stage, kernel of the depthwise convolutions."""
    return (
        Gene("stem", WIDTHS[:10]),
        *per_stage("widths", _STAGES, WIDTHS),
        *per_stage("depths", _STAGES, (1, 2, 3)),
        Gene("kernel", (3, 5) if len(spec.size) == 2 else (3, 5, 9)),
    )


def blocks(params: Params) -> list[Block]:
    """Stem, then the pairs. Raises ConfigError."""
    check_rank("dsconv", params.size, (1, 2))
    check_lengths("dsconv", widths=params.widths, depths=params.depths, strides=params.strides)
    check_odd("dsconv", "stem_kernel", params.stem_kernel)
    check_odd("dsconv", "kernel", (params.kernel,))
    for stride in (params.stem_kernel, params.stem_stride, *params.strides):
        check_rank("dsconv", stride, (len(params.size),))
    stem = dense(
        params.channels,
        params.stem,
        params.size,
        kernel=params.stem_kernel,
        stride=params.stem_stride,
    )
    found = [Block((stem,))]
    channels, size = params.stem, stem.out_size
    same = (1,) * len(size)
    for width, depth, first in zip(params.widths, params.depths, params.strides, strict=True):
        for stride in (first,) + (same,) * (depth - 1):
            filtered = depthwise(channels, size, kernel=params.kernel, stride=stride)
            found.append(Block((filtered, dense(channels, width, filtered.out_size, kernel=1))))
            channels, size = width, filtered.out_size
    return found


def _stem_kernel(size: int, stride: int) -> int:
    wanted = max(2 * stride + 1, min(9, size // 5))
    return max(3, wanted - 1 + wanted % 2)


FAMILY = Family("dsconv", True, Params, fits, smallest, space, blocks, ordered=ascending)
