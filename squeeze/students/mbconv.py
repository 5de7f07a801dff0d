"""Inverted-bottleneck CNN (Sandler et al. 2018) for images: expand 1x1, depthwise k x k, project 1x1, with ReLU.

Ends with a 1x1 convolution to `head` channels, so that what is pooled is rectified like in the other families.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from squeeze.students.family import Family, Gene, Genome, per_stage
from squeeze.students.layer import Block, dense, depthwise
from squeeze.students.resnet import fits
from squeeze.students.stages import (
    WIDTHS,
    ascending,
    check_lengths,
    check_odd,
    check_rank,
    image_strides,
)
from squeeze.students.student_spec import Depth, Kernel, Stride, StudentSpec, Width

Expansion = Annotated[int, Field(ge=1, le=8)]


class Params(StudentSpec):
    """`widths`, `depths` (blocks), `strides`, `expansions` and `kernels` have one entry per stage."""

    stem: Width
    stem_stride: Stride
    widths: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)]
    depths: tuple[Depth, ...]
    strides: tuple[Stride, ...]
    expansions: tuple[Expansion, ...]
    kernels: tuple[Kernel, ...]
    head: Width


def smallest(spec: StudentSpec, coarse: bool) -> Genome:
    """8 channels everywhere, one block per stage, expansion 2; `coarse` halves the map once more in the stem."""
    stem_stride, strides = image_strides(spec.size, coarse)
    stages = len(strides)
    return {
        "stem": 8,
        "stem_stride": stem_stride,
        "widths": (8,) * stages,
        "depths": (1,) * stages,
        "strides": strides,
        "expansions": (2,) * stages,
        "kernels": (3,) * stages,
        "head": 32,
    }


def space(spec: StudentSpec) -> tuple[Gene, ...]:
    """Stem, head, and per stage width, depth, expansion and kernel."""
    _, strides = image_strides(spec.size)
    stages = len(strides)
    return (
        Gene("stem", WIDTHS[:4]),
        *per_stage("widths", stages, WIDTHS),
        *per_stage("depths", stages, (1, 2, 3)),
        *per_stage("expansions", stages, (2, 3, 4, 6)),
        *per_stage("kernels", stages, (3, 5)),
        Gene("head", (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)),
    )


def blocks(params: Params) -> list[Block]:
    """Stem, stages, head. Raises ConfigError."""
    check_rank("mbconv", params.size, (2,))
    check_lengths(
        "mbconv",
        widths=params.widths,
        depths=params.depths,
        strides=params.strides,
        expansions=params.expansions,
        kernels=params.kernels,
    )
    check_odd("mbconv", "kernels", params.kernels)
    stem = dense(params.channels, params.stem, params.size, stride=params.stem_stride)
    found = [Block((stem,))]
    channels, size = params.stem, stem.out_size
    for width, depth, first, expansion, kernel in zip(
        params.widths, params.depths, params.strides, params.expansions, params.kernels, strict=True
    ):
        for stride in (first,) + (1,) * (depth - 1):
            expand = dense(channels, channels * expansion, size, kernel=1)
            filtered = depthwise(expand.outputs, size, kernel=kernel, stride=stride)
            project = dense(filtered.outputs, width, filtered.out_size, kernel=1, relu=False)
            shortcut = stride == 1 and channels == width
            found.append(Block((expand, filtered, project), shortcut))
            channels, size = width, filtered.out_size
    return [*found, Block((dense(channels, params.head, size, kernel=1),))]


FAMILY = Family("mbconv", True, Params, fits, smallest, space, blocks, ordered=ascending)
