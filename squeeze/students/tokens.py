"""What a vision transformer is made of, as numbers: beside `layer.py`, the source for building it and for its cost.

A map [n, d, h, w] becomes tokens [n, s, d] with positions; layers of attention follow, and a normalisation. Projections
are layers with a kernel of 1 over the tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

from squeeze.students.layer import Layer, dense

EPSILON = 1e-5


@dataclass(frozen=True)
class Products:
    """The two products of attention: of queries and keys, and of what comes of them and values."""

    heads: int
    head_size: int
    tokens: int
    weights = params = 0
    depthwise, mixes = False, True

    @property
    def inputs(self) -> int:
        """Channels that one product sums over."""
        return self.head_size

    @property
    def outputs(self) -> int:
        """Channels of all heads."""
        return self.heads * self.head_size

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one sample."""
        return 2 * self.tokens * self.tokens * self.outputs

    @property
    def activations(self) -> int:
        """Elements of the output for one sample."""
        return self.tokens * self.outputs


@dataclass(frozen=True)
class Rows:
    """Something for each channel of a token: `count` rows of `channels` numbers, which cost no products."""

    channels: int
    tokens: int
    count: int
    weights = macs = 0
    depthwise, mixes = False, False

    @property
    def inputs(self) -> int:
        """Channels."""
        return self.channels

    @property
    def outputs(self) -> int:
        """Channels."""
        return self.channels

    @property
    def params(self) -> int:
        """All numbers of it."""
        return self.count * self.channels

    @property
    def activations(self) -> int:
        """Elements of the output for one sample."""
        return self.tokens * self.channels


Part = Layer | Products | Rows


@dataclass(frozen=True)
class Embedding:
    """Tokens of a map of `channels` and `size`, behind `class_tokens` that see nothing of it; a position for each."""

    channels: int
    size: tuple[int, ...]
    class_tokens: int

    @property
    def tokens(self) -> int:
        """How many there are, class tokens among them."""
        return self.class_tokens + prod(self.size)

    @property
    def outputs(self) -> int:
        """Channels of what it gives."""
        return self.channels

    @property
    def layers(self) -> tuple[Part, ...]:
        """The positions."""
        return (Rows(self.channels, self.tokens, self.tokens),)


@dataclass(frozen=True)
class Encoding:
    """A layer of a transformer, with normalisation before its halves: x + out(attention(norm(x))), then y + down(gelu(
    up(norm(y)))). Named as `encoder.Params`."""

    tokens: int
    hidden: int
    heads: int
    ffn: int
    activation: Literal["gelu"] = "gelu"
    eps: float = EPSILON

    @property
    def head_size(self) -> int:
        """Channels of a head."""
        return self.hidden // self.heads

    @property
    def attention(self) -> int:
        """Channels of all heads."""
        return self.heads * self.head_size

    @property
    def scale(self) -> float:
        """Of the scores."""
        return float(self.head_size**-0.5)

    @property
    def outputs(self) -> int:
        """Channels of what it gives."""
        return self.hidden

    @property
    def layers(self) -> tuple[Part, ...]:
        """In the order in which they run. Queries, keys and values are one: all of them are alive at once."""
        size = (self.tokens,)
        return (
            Rows(self.hidden, self.tokens, 2),
            dense(self.hidden, 3 * self.attention, size, kernel=1, relu=False),
            Products(self.heads, self.head_size, self.tokens),
            dense(self.attention, self.hidden, size, kernel=1, relu=False),
            Rows(self.hidden, self.tokens, 2),
            dense(self.hidden, self.ffn, size, kernel=1, relu=False),
            dense(self.ffn, self.hidden, size, kernel=1, relu=False),
        )


@dataclass(frozen=True)
class Normalisation:
    """Of each token over its channels."""

    channels: int
    tokens: int
    eps: float = EPSILON

    @property
    def outputs(self) -> int:
        """Channels of what it gives."""
        return self.channels

    @property
    def layers(self) -> tuple[Part, ...]:
        """Scale and shift."""
        return (Rows(self.channels, self.tokens, 2),)


TokenBlock = Embedding | Encoding | Normalisation
