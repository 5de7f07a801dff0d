"""Vision transformer (Dosovitskiy et al. 2021; Touvron et al. 2021, DeiT) for images: patches, positions, layers of
attention with normalisation before them.

Small ones learn sooner when convolutions with stride 2 do a part of the patches' work (Xiao et al. 2021): each halves
the map, and what is left of the patch follows them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from squeeze.errors import ConfigError
from squeeze.students.family import Family, Gene, Genome
from squeeze.students.layer import Block, dense
from squeeze.students.resnet import fits as is_image
from squeeze.students.stages import WIDTHS, check_rank
from squeeze.students.student import AnyBlock
from squeeze.students.student_spec import (
    Depth,
    Stride,
    StudentSpec,
    Width,
    channels_and_size,
    layout_of,
)
from squeeze.students.token_student import TokenStudent
from squeeze.students.tokens import Embedding, Encoding, Normalisation

_TOKENS = (16, 256)
_HEADS = (1, 2, 3, 4, 6, 8, 12, 16)
_LEAST_HEAD = 16
_ALIGNED = 8
# All that are known to train well have so many channels for each layer: DeiT 16 to 64.
_CHANNELS_A_LAYER = (8, 64)


class Params(StudentSpec):
    """`patch`: pixels of a side of a token, of which `convolutions` with stride 2 do a part; `ratio`: how many times
    `width` the feed-forward layers have between them; without `class_tokens` the mean of all is pooled."""

    patch: Stride
    convolutions: Annotated[int, Field(ge=0, le=4)]
    width: Width
    depth: Depth
    heads: Annotated[int, Field(ge=1, le=64)]
    ratio: Annotated[int, Field(ge=1, le=8)]
    class_tokens: Annotated[int, Field(ge=0, le=1)]


def fits(modality: str, input_shape: tuple[int, ...]) -> bool:
    """Images and spectrograms that patches of one size cut into 16 to 256 tokens."""
    if not is_image(modality, input_shape):
        return False
    return bool(_patches(channels_and_size(input_shape, layout_of(modality, input_shape))[1]))


def smallest(spec: StudentSpec, coarse: bool) -> Genome:
    """One layer of 16 channels on the largest patches; how large they are is a choice, `coarse` changes nothing."""
    return {
        "patch": _patches(spec.size)[0],
        "convolutions": 0,
        "width": 16,
        "depth": 1,
        "heads": 1,
        "ratio": 1,
        "class_tokens": 0,
    }


def space(spec: StudentSpec) -> tuple[Gene, ...]:
    """Everything, from what costs least on."""
    patches = _patches(spec.size)
    return (
        Gene("patch", patches),
        Gene("convolutions", tuple(range(max(map(_halvings, patches)) + 1))),
        Gene("width", WIDTHS[1:]),
        Gene("depth", tuple(range(1, 13))),
        Gene("heads", _HEADS),
        Gene("ratio", (1, 2, 3, 4)),
        Gene("class_tokens", (0, 1)),
    )


def ordered(genome: Genome) -> Genome:
    """Neither much wider than deep nor the other way; heads of at least 16 channels that divide the width; no more
    convolutions than the patch can be halved."""
    least, most = _CHANNELS_A_LAYER
    width = max(w for w in WIDTHS if w <= min(genome["width"], most * genome["depth"]))
    known = [n for n in _HEADS if n <= genome["heads"] and width % (_ALIGNED * n) == 0]
    return {
        **genome,
        "convolutions": min(genome["convolutions"], _halvings(genome["patch"])),
        "width": width,
        "depth": min(genome["depth"], width // least),
        "heads": max(n for n in known if n == 1 or width // n >= _LEAST_HEAD),
    }


def blocks(params: Params) -> list[AnyBlock]:
    """Convolutions, patches, positions, layers, normalisation. Raises ConfigError."""
    check_rank("vit", params.size, (2,))
    left = params.patch >> params.convolutions
    if any(n % params.patch for n in params.size) or left << params.convolutions != params.patch:
        image = "x".join(map(str, params.size))
        raise ConfigError(
            f"architecture 'vit': patches of {params.patch} do not cut {image} evenly, or not behind "
            f"{params.convolutions} convolutions with stride 2; use a patch that does"
        )
    if params.width % params.heads:
        raise ConfigError(
            f"architecture 'vit': heads: {params.heads} do not divide a width of {params.width}"
        )
    found: list[AnyBlock] = []
    channels, size = params.channels, params.size
    for turn in range(params.convolutions, 0, -1):
        wide = max(_ALIGNED, (params.width >> turn) // _ALIGNED * _ALIGNED)
        layer = dense(channels, wide, size, stride=2)
        found.append(Block((layer,)))
        channels, size = wide, layer.out_size
    patches = dense(channels, params.width, size, kernel=left, stride=left, relu=False)
    embedding = Embedding(params.width, patches.out_size, params.class_tokens)
    one = Encoding(embedding.tokens, params.width, params.heads, params.ratio * params.width)
    last = Normalisation(params.width, embedding.tokens)
    return [*found, Block((patches,)), embedding, *[one] * params.depth, last]


def _halvings(patch: int) -> int:
    """How often a patch can be halved, at most three times."""
    return min(3, (patch & -patch).bit_length() - 1)


def _patches(size: tuple[int, ...]) -> tuple[int, ...]:
    """Sides of patches, the largest first."""
    least, most = _TOKENS
    known = [p for p in range(min(size), 1, -1) if not any(n % p for n in size)]
    return tuple(p for p in known if least <= (size[0] // p) * (size[1] // p) <= most)


FAMILY = Family(
    "vit",
    False,
    Params,
    fits,
    smallest,
    space,
    blocks,
    ordered=ordered,
    student=TokenStudent,
    asked=True,
)
