"""An encoder as numbers: of texts as Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", 2019, with
the normalisation behind each sum; of images as Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021, with it
before each half of a layer. The size of a head is its own number, so that hidden width and heads vary separately.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from squeeze.spec import Frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

FAMILY = "encoder"
Activation = Literal["gelu", "gelu-tanh", "relu"]
TailActivation = Literal["none", "tanh", "relu", "gelu"]
Pooling = Literal["none", "mean", "first"]

# Far beyond any edge model; they keep a damaged description from taking all memory.
Size = Annotated[int, Field(ge=1, le=1_000_000)]
Width = Annotated[int, Field(ge=1, le=65_536)]


class Dense(Frozen):
    """A linear layer behind the pooling, and what follows it."""

    outputs: Size
    activation: TailActivation = "none"


class Widths(Frozen):
    """Heads and channels of one layer."""

    heads: Width
    ffn: Width


@dataclass(frozen=True)
class Costs:
    """Of one sample. macs: products with weights and the two of attention; looking up a row costs none."""

    params: int
    macs: int


class Patches(Frozen):
    """What makes tokens of an image [channels, *size]: patches of `patch` pixels, which leave no pixel out.

    class_tokens: how many tokens come before them that see nothing of the image; each is its position alone.
    """

    channels: Width
    size: tuple[Width, Width]
    patch: tuple[Width, Width]
    class_tokens: Annotated[int, Field(ge=0, le=16)] = 0

    @property
    def count(self) -> int:
        """Patches of an image."""
        return prod(n // side for n, side in zip(self.size, self.patch, strict=True))

    @property
    def tokens(self) -> int:
        """Tokens of an image, those before the patches among them."""
        return self.class_tokens + self.count

    @property
    def inputs(self) -> int:
        """Numbers of a patch."""
        return self.channels * prod(self.patch)


class Params(Frozen):
    """ids, mask, types: names of the inputs; without `mask` every token counts. inputs: their order.

    pad: the id of padding, where positions are counted from the tokens that are none; row 0 is then that of padding.
    distances: where all layers add one bias of relative positions to their scores, from which distances on each
    further row of its table counts, in both directions.

    patches: of images, whose only input is `ids`, [n, channels, height, width] of floats; there are no words then, and
    the first normalisation is the last one. norm_first: normalisation comes before the halves of a layer.

    embedding: what is looked up is so wide, and a linear layer behind its normalisation widens it to `hidden`; None for
    tables as wide as the layers. rank: the word table is [vocabulary, rank] times [rank, width of the tables]. tail:
    behind the pooling, of each token where there is none. scale: of the scores of attention. normalise: what is given
    has a norm of 1; normalise_pooled: what enters the tail has. each: of every layer its own heads and channels, where
    pruning left layers that differ; `heads` and `ffn` are then those of the widest.
    """

    inputs: Annotated[tuple[str, ...], Field(min_length=1, max_length=3)]
    ids: str
    mask: str | None = None
    types: str | None = None
    patches: Patches | None = None
    norm_first: bool = False
    vocabulary: Annotated[int, Field(ge=0, le=1_000_000)]
    positions: Size
    pad: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    distances: Annotated[tuple[int, ...], Field(max_length=1000)] = ()
    segments: Annotated[int, Field(ge=0, le=1000)] = 0
    embedding: Width | None = None
    rank: Width | None = None
    layers: Annotated[int, Field(ge=1, le=200)]
    hidden: Width
    heads: Width
    head_size: Width
    ffn: Width
    activation: Activation = "gelu"
    eps: Annotated[float, Field(gt=0)] = 1e-12
    scale: Annotated[float, Field(gt=0)]
    pooling: Pooling = "mean"
    tail: tuple[Dense, ...] = ()
    normalise: bool = False
    normalise_pooled: bool = False
    each: tuple[Widths, ...] = ()

    @model_validator(mode="after")
    def _numbers_agree(self) -> Params:
        """Raises ValueError for what is neither of texts nor of images, and for layers without widths."""
        if self.each and len(self.each) != self.layers:
            raise ValueError(f"each: got {len(self.each)} entries for {self.layers} layers")
        patches = self.patches
        if (patches is None) != (self.vocabulary > 0) or (patches is None) == self.norm_first:
            raise ValueError("takes words, or patches with norm_first")
        if list(self.distances) != sorted({n for n in self.distances if n > 0}):
            raise ValueError("distances: each is more than the one before it")
        if patches is not None and self.embedding is not None:
            raise ValueError("embedding: of patches there is none")
        if patches is not None and patches.tokens != self.positions:
            raise ValueError(f"{patches.tokens} tokens have {self.positions} positions")
        return self

    @property
    def widths(self) -> tuple[Widths, ...]:
        """Of every layer."""
        return self.each or (Widths(heads=self.heads, ffn=self.ffn),) * self.layers

    def with_widths(self, widths: Sequence[Widths]) -> Params:
        """The same encoder with these heads and channels, one entry a layer."""
        uniform = len(set(widths)) == 1
        return self.model_copy(
            update={
                "heads": max(w.heads for w in widths),
                "ffn": max(w.ffn for w in widths),
                "each": () if uniform else tuple(widths),
            }
        )

    @property
    def outputs(self) -> int:
        """Numbers that it gives of a sample, or of a token."""
        return self.tail[-1].outputs if self.tail else self.hidden

    @property
    def attention(self) -> int:
        """The width of queries, keys and values."""
        return self.heads * self.head_size

    @property
    def table_width(self) -> int:
        """Of what is looked up: words, positions, segments."""
        return self.embedding or self.hidden

    @property
    def relations(self) -> int:
        """Rows of the table of relative positions."""
        return 2 * (len(self.distances) + 1) if self.distances else 0

    def tokens(self, length: int) -> int:
        """Of a sample whose first axis has `length`: of a text they are that, of an image it says."""
        return length if self.patches is None else self.patches.tokens

    def costs(self, tokens: int) -> Costs:
        """Exactly what the exported file has, for a sample of `tokens` tokens; of an image all of its own."""
        h, w = self.hidden, self.table_width
        layers, products = 0, 0
        for of_layer in self.widths:
            a, f = of_layer.heads * self.head_size, of_layer.ffn
            weights = 4 * h * a + 2 * h * f
            layers += weights + 3 * a + h + f + h + 4 * h
            products += weights * tokens + 2 * a * tokens * tokens
        rank = self.rank or w
        embedding = self.vocabulary * rank + (self.positions + self.segments) * w + 2 * w
        embedding += self.relations * self.heads
        factor = 0 if self.rank is None else rank * w
        if self.embedding is not None:
            embedding += h
            factor += w * h
        patched = 0
        if self.patches is not None:
            embedding += (self.patches.inputs + 1) * h
            patched = self.patches.inputs * self.patches.count * h
        tail, macs, width = 0, 0, h
        for dense in self.tail:
            tail += width * dense.outputs + dense.outputs
            macs += width * dense.outputs
            width = dense.outputs
        macs *= tokens if self.pooling == "none" else 1
        return Costs(
            params=embedding + factor + layers + tail,
            macs=products + factor * tokens + patched + macs,
        )
