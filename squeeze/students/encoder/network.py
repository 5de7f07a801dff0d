"""The torch network of an encoder: words or patches, layers of attention and feed-forward, pooling, a tail."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze.outputs import Outputs
from squeeze.students.encoder.positions import relations, token_places

if TYPE_CHECKING:
    from collections.abc import Callable

    from squeeze.students.encoder.params import Activation, Params

# Of masked scores: exp() of it is 0 in float32, and half precision still holds it.
_MASKED = -1e4
_LEAST_TOKENS = 1e-9
_LEAST_NORM = 1e-12


class Sizes(Protocol):
    """What a layer needs to know, as `Params` has it."""

    @property
    def hidden(self) -> int: ...
    @property
    def attention(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def head_size(self) -> int: ...
    @property
    def scale(self) -> float: ...
    @property
    def ffn(self) -> int: ...
    @property
    def activation(self) -> Activation: ...
    @property
    def eps(self) -> float: ...


class Layer(nn.Module):
    """norm2(y + down(act(up(y)))) of y = norm1(x + out(attention(x))); with `norm_first` (Xiong et al. 2020)
    y + down(act(up(norm2(y)))) of y = x + out(attention(norm1(x)))."""

    def __init__(self, sizes: Sizes, *, norm_first: bool = False) -> None:
        super().__init__()
        hidden, attention = sizes.hidden, sizes.attention
        self.heads, self.head_size, self.scale = sizes.heads, sizes.head_size, sizes.scale
        self.norm_first = norm_first
        self.query = nn.Linear(hidden, attention)
        self.key = nn.Linear(hidden, attention)
        self.value = nn.Linear(hidden, attention)
        self.out = nn.Linear(attention, hidden)
        self.norm1 = nn.LayerNorm(hidden, eps=sizes.eps)
        self.up = nn.Linear(hidden, sizes.ffn)
        self.activation = activation(sizes.activation)
        self.down = nn.Linear(sizes.ffn, hidden)
        self.norm2 = nn.LayerNorm(hidden, eps=sizes.eps)

    def forward(
        self,
        x: Tensor,
        added: Tensor | None = None,
        heads: Tensor | None = None,
        ffn: Tensor | None = None,
        fed: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """x: [n, s, hidden]. added: to the scores, as `Encoder.added`. heads: [heads] or [n, heads], ffn: [ffn] or
        [n, 1, ffn], gates that importance is measured by. fed: what stands in the place of the linear layers."""
        fed = fed or partial(self.fed, ffn=ffn)
        if self.norm_first:
            x = x + self._attended(self.norm1(x), added, heads)
            return x + fed(self.norm2(x))
        y: Tensor = self.norm1(x + self._attended(x, added, heads))
        z: Tensor = self.norm2(y + fed(y))
        return z

    def fed(self, y: Tensor, ffn: Tensor | None = None) -> Tensor:
        """What the two linear layers give for `y`, [n, s, hidden]."""
        inner = self.activation(self.up(y))
        if ffn is not None:
            inner = inner * ffn
        found: Tensor = self.down(inner)
        return found

    def _attended(self, x: Tensor, added: Tensor | None, heads: Tensor | None) -> Tensor:
        q, k, v = (self._cut(linear(x)) for linear in (self.query, self.key, self.value))
        scores = torch.matmul(q, k.transpose(-1, -2)) * self.scale
        if added is not None:
            scores = scores + added
        seen = torch.matmul(scores.softmax(-1), v)  # [n, heads, s, size]
        if heads is not None:
            seen = seen * heads[..., None, None]
        found: Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return found

    def _cut(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, self.head_size).transpose(1, 2)


def activation(name: Activation) -> nn.Module:
    """Between the linear layers."""
    if name == "relu":
        return nn.ReLU()
    return nn.GELU(approximate="tanh" if name == "gelu-tanh" else "none")


class Encoder(nn.Module):
    """An encoder. Tensors in the order of `params.inputs`, each [n, s] of integers; of images one, [n, c, h, w].

    Gives [n, outputs], or [n, s, outputs] without pooling.
    """

    def __init__(self, params: Params) -> None:
        super().__init__()
        self.params = params
        hidden, width = params.hidden, params.table_width
        if params.patches is not None:
            sides = params.patches.patch
            self.patch = nn.Conv2d(params.patches.channels, hidden, sides, stride=sides)
        else:
            self.word = nn.Embedding(params.vocabulary, params.rank or width)
        if params.rank is not None:
            self.factor = nn.Linear(params.rank, width, bias=False)
        self.position = nn.Embedding(params.positions, width)
        if params.segments:
            self.segment = nn.Embedding(params.segments, width)
        if params.distances:
            self.relative = nn.Embedding(params.relations, params.heads)
        self.norm = nn.LayerNorm(width, eps=params.eps)
        if params.embedding is not None:
            self.project = nn.Linear(width, hidden)
        self.layers = nn.ModuleList(
            Layer(
                params.model_copy(update={**width.model_dump(), "each": ()}),
                norm_first=params.norm_first,
            )
            for width in params.widths
        )
        widths = [hidden, *(dense.outputs for dense in params.tail)]
        self.tail = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, *tensors: Tensor) -> Tensor:
        """See above."""
        given = self._named(tensors)
        mask = self.mask(given)
        x = self.embedded(given)
        added = self.added(x, mask)
        for layer in self.layers:
            x = layer(x, added)
        return self.ending(x, mask)

    def taps(self, *tensors: Tensor) -> Outputs[Tensor]:
        """The output, and the taps "states" [n, s, hidden] that are pooled, "queries", "keys" and "values" [n, s,
        heads * size] of the last layer, and "mask" [n, s] of the tokens that count."""
        given = self._named(tensors)
        mask = self.mask(given)
        x = self.embedded(given)
        added = self.added(x, mask)
        for layer in self.layers[:-1]:
            x = layer(x, added)
        return self.last(x, mask)

    def last(
        self,
        x: Tensor,
        mask: Tensor | None,
        fed: Callable[[Tensor], Tensor] | None = None,
    ) -> Outputs[Tensor]:
        """As `taps`, from what enters the last layer. fed: as `Layer` takes it."""
        layer = self.layers[-1]
        assert isinstance(layer, Layer)
        # Queries, keys and values are computed twice: what tells them apart is worth more than a twelfth of a layer.
        read = layer.norm1(x) if self.params.norm_first else x
        taps = {
            "queries": layer.query(read),
            "keys": layer.key(read),
            "values": layer.value(read),
            "states": self.settled(layer(x, self.added(x, mask), fed=fed)),
        }
        counted = torch.ones(x.shape[:2], device=x.device) if mask is None else mask
        return Outputs(self.answer(taps["states"], mask), {**taps, "mask": counted})

    def mask(self, given: dict[str, Tensor]) -> Tensor | None:
        """[n, s], 1 for tokens that count, in float32; None where all do."""
        name = self.params.mask
        return None if name is None else given[name].to(torch.float32)

    def counted(self, given: dict[str, Tensor]) -> Tensor:
        """[n, s], 1 for tokens that count, where all of them do, too."""
        mask = self.mask(given)
        if mask is not None:
            return mask
        ids = given[self.params.ids]
        return torch.ones(len(ids), self.params.tokens(ids.shape[1]), device=ids.device)

    def embedded(self, given: dict[str, Tensor]) -> Tensor:
        """What enters the first layer, [n, s, hidden]."""
        ids = given[self.params.ids]
        patches = self.params.patches
        if patches is not None:
            places = self.patch(ids).flatten(2).transpose(1, 2)
            if patches.class_tokens:
                places = functional.pad(places, (0, 0, patches.class_tokens, 0))
            tokens: Tensor = places + self.position.weight
            return tokens
        x = self.word(ids)
        if self.params.rank is not None:
            x = self.factor(x)
        # Looked up and not cut off, so that quantisers know it for a table.
        x = x + self.position(token_places(ids, self.params.pad))
        if self.params.segments:
            x = x + self.segment(given[str(self.params.types)])
        x = self.norm(x)
        found: Tensor = x if self.params.embedding is None else self.project(x)
        return found

    def added(self, x: Tensor, mask: Tensor | None) -> Tensor | None:
        """What is added to the scores of attention of `x`, [n, s, hidden], in every layer: [n, 1, 1, s], with a bias of
        relative positions [n, heads, s, s]; None for nothing."""
        masked = None if mask is None else ((1 - mask) * _MASKED)[:, None, None, :]
        if not self.params.distances:
            return masked
        rows = self.relative(relations(x, self.params.distances))  # [s, s, heads]
        bias: Tensor = rows.permute(2, 0, 1)[None]
        return bias if masked is None else bias + masked

    def settled(self, x: Tensor) -> Tensor:
        """What is pooled, from what the last layer gives, [n, s, hidden]: with `norm_first` it is normalised."""
        return self.norm(x) if self.params.norm_first else x

    def ending(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The output from the states [n, s, hidden] behind the last layer."""
        return self.answer(self.settled(x), mask)

    def answer(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The output from states that are settled."""
        x = self._pooled(x, mask)
        if self.params.normalise_pooled:
            x = functional.normalize(x, dim=-1, eps=_LEAST_NORM)
        for linear, dense in zip(self.tail, self.params.tail, strict=True):
            x = linear(x)
            if dense.activation != "none":
                x = getattr(functional, dense.activation)(x)
        return functional.normalize(x, dim=-1, eps=_LEAST_NORM) if self.params.normalise else x

    def _named(self, tensors: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return dict(zip(self.params.inputs, tensors, strict=True))

    def _pooled(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if self.params.pooling == "none":
            return x
        if self.params.pooling == "first":
            return x[:, 0]
        if mask is None:
            return x.mean(1)
        counted = mask.sum(1, keepdim=True).clamp(min=_LEAST_TOKENS)
        return (x * mask[:, :, None]).sum(1) / counted
