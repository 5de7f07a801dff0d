"""What of an encoder matters for what its guide says, and the encoder sorted by it, so that a smaller one is a prefix.

At the teacher's own weights the guide's loss is at its least and has no gradient; what a gate of 0 instead of 1 costs
is its second order, E[(v . dy/dg)^2] over random directions v: a Taylor importance (Molchanov et al., "Importance
Estimation for Neural Network Pruning", 2019) that asks for no labels. Layers are few: sets of them are left out and the
loss is measured, for each number of layers beginning with the best sets of one more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from squeeze.students.encoder import Encoder, Gates, gated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squeeze.students.encoder import Params

Batch = tuple[Tensor, ...]  # in the order of the encoder's inputs
_DIRECTIONS = 2
_BEAM = 8  # sets of layers that are gone on with


@dataclass(frozen=True)
class Importance:
    """heads: [layers, heads]; ffn: [layers, ffn]; hidden: [hidden]; more is more important. kept: number of
    layers -> which of them, in the order in which they run."""

    heads: Tensor
    ffn: Tensor
    hidden: Tensor
    kept: dict[int, tuple[int, ...]]


def importance(encoder: Encoder, batches: Sequence[Batch], *, seed: int) -> Importance:
    """Of `encoder`, which stays as it is, on some batches of samples."""
    found = curvature(encoder, batches, seed=seed)
    assert found.hidden is not None
    heads, ffn = torch.stack(list(found.heads)), torch.stack(list(found.ffn))
    return Importance(heads, ffn, found.hidden, _kept(encoder, batches))


def curvature(encoder: Encoder, batches: Sequence[Batch], *, seed: int) -> Gates:
    """What each gate's being 0 costs to second order, summed over batches: heads, channels and hidden dimensions."""
    ones = Gates.ones(encoder.params)
    hidden = torch.ones(encoder.params.hidden, requires_grad=True)
    gates = [*ones.heads, *ones.ffn, hidden]
    totals = [torch.zeros_like(gate) for gate in gates]
    generator = torch.Generator().manual_seed(seed)
    for batch in batches:
        output, states = gated(encoder, batch, Gates(ones.heads, ones.ffn, hidden))
        for _ in range(_DIRECTIONS):
            # Both of what is said of the text and of its tokens, on one scale.
            value = _along(output, generator) + _along(states, generator)
            gradients = torch.autograd.grad(value, gates, retain_graph=True)
            for total, gradient in zip(totals, gradients, strict=True):
                total += gradient.square()
    layers = len(ones.heads)
    return Gates(totals[:layers], totals[layers:-1], totals[-1])


def order(found: Importance) -> tuple[Tensor, Tensor, Tensor]:
    """Places of heads [layers, heads], channels [layers, ffn] and hidden dimensions, most important first."""
    return (
        found.heads.argsort(dim=1, descending=True, stable=True),
        found.ffn.argsort(dim=1, descending=True, stable=True),
        found.hidden.argsort(descending=True, stable=True),
    )


def sort(params: Params, state: Mapping[str, Tensor], found: Importance) -> dict[str, Tensor]:
    """The weights of an encoder that computes the same, with what matters most first in each layer.

    params, state: with a tail, for hidden dimensions that are outputs cannot change places (`fresh_tail`).
    """
    heads, ffn, hidden = order(found)
    if params.distances:
        # One table has a column for each head of all layers.
        heads = found.heads.sum(0).argsort(descending=True, stable=True).expand_as(heads)
    size = params.head_size
    # Those of tables, unless a layer behind them widens these.
    columns_alone = {"position", "segment", *(["word"] if params.rank is None else [])}
    rows_alone = {"norm", "patch", "factor"}
    if params.embedding is not None:
        columns_alone, rows_alone = set(), {"project"}
    made: dict[str, Tensor] = {}
    for name, value in state.items():
        part, *rest = name.split(".")
        if part == "layers":
            layer, kind = int(rest[0]), rest[1]
            wide = (heads[layer][:, None] * size + torch.arange(size)).flatten()
            rows, columns = {
                "query": (wide, hidden),
                "key": (wide, hidden),
                "value": (wide, hidden),
                "out": (hidden, wide),
                "up": (ffn[layer], hidden),
                "down": (hidden, ffn[layer]),
            }.get(kind, (hidden, hidden))
            made[name] = value[rows][:, columns] if value.ndim == 2 else value[rows]
        elif part in rows_alone:
            made[name] = value[hidden]
        elif part == "relative":
            made[name] = value[:, heads[0]]
        elif part in columns_alone or name == "tail.0.weight":
            made[name] = value[:, hidden]
        else:
            made[name] = value
    return {name: value.contiguous() for name, value in made.items()}


def in_order(params: Params, state: Mapping[str, Tensor], hidden: Tensor) -> dict[str, Tensor]:
    """As `sort`, its hidden dimensions alone: those at the places `hidden` [hidden], in that order."""
    place = torch.empty(params.hidden)
    place[hidden] = -torch.arange(params.hidden, dtype=place.dtype)
    heads, ffn = (torch.zeros(params.layers, n) for n in (params.heads, params.ffn))
    return sort(params, state, Importance(heads, ffn, place, {}))


def by_hidden(params: Params, state: Mapping[str, Tensor]) -> Tensor:
    """Numbers by which hidden dimensions are told apart, [n, hidden]."""
    return state["position.weight"] if params.embedding is None else state["project.weight"].T


def order_of(columns: Tensor, sorted_columns: Tensor) -> Tensor:
    """Which of `columns` [n, hidden] each of the same columns in another order is, [hidden]."""
    ours, theirs = (np.lexsort(x.numpy()) for x in (columns, sorted_columns))
    found = torch.empty(len(ours), dtype=torch.int64)
    found[torch.from_numpy(theirs)] = torch.from_numpy(ours)
    return found


def _along(values: Tensor, generator: torch.Generator) -> Tensor:
    """A random direction of `values`, which are brought to a mean square of 1."""
    direction = torch.randn(values.shape, generator=generator)
    norm: Tensor = values.detach().norm()
    return (values * direction).sum() / norm


def _kept(encoder: Encoder, batches: Sequence[Batch]) -> dict[int, tuple[int, ...]]:
    """The best set of layers that was found, for each number of them."""
    whole = tuple(range(encoder.params.layers))
    found, beam = {len(whole): whole}, [whole]
    with torch.no_grad():
        wanted = [_of_layers(encoder, batch, whole) for batch in batches]
        for count in range(len(whole) - 1, 0, -1):
            sets = sorted({tuple(i for i in one if i != out) for one in beam for out in one})
            losses = {
                one: sum(
                    float(_distance(_of_layers(encoder, batch, one), right))
                    for batch, right in zip(batches, wanted, strict=True)
                )
                for one in sets
            }
            beam = sorted(sets, key=losses.__getitem__)[:_BEAM]
            found[count] = beam[0]
    return found


def _of_layers(encoder: Encoder, batch: Batch, kept: Sequence[int]) -> Tensor:
    """The output of the encoder with these layers alone."""
    given = dict(zip(encoder.params.inputs, batch, strict=True))
    mask = encoder.mask(given)
    x = encoder.embedded(given)
    added = encoder.added(x, mask)
    for i in kept:
        x = encoder.layers[i](x, added)
    return encoder.ending(x, mask)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """1 less the cosine, summed over samples."""
    cosine: Tensor = functional.cosine_similarity(a, b, dim=-1)
    return (1 - cosine).sum()
