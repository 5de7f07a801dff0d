"""An encoder whose layers give each token as many learners as it needs, in the place of their two linear layers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from squeeze.outputs import Outputs
from squeeze.spec import Frozen
from squeeze.students.encoder.learners import GATE_WIDTH, WHOLE, Learners, places, widths
from squeeze.students.encoder.network import Encoder, Layer
from squeeze.students.encoder.params import Costs, Params

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ADAPTIVE = "adaptive-encoder"
Capacity = Annotated[int, Field(ge=0, le=WHOLE)]


class AdaptiveParams(Frozen):
    """An encoder with `learners` a layer, and of each layer and learner its capacity in 64ths of the tokens."""

    encoder: Params
    learners: Annotated[int, Field(ge=2, le=64)]
    capacities: tuple[tuple[Capacity, ...], ...]

    @model_validator(mode="after")
    def _numbers_agree(self) -> AdaptiveParams:
        """Raises ValueError for layers or learners without a capacity, for one that is more than that of a learner
        before it, and for fewer channels than learners."""
        counts = [len(row) for row in self.capacities]
        if counts != [self.learners] * self.encoder.layers:
            raise ValueError(
                f"capacities: got {counts} of {self.encoder.layers} layers of {self.learners}"
            )
        if any(list(row) != sorted(row, reverse=True) for row in self.capacities):
            raise ValueError("capacities: no learner has more tokens than those before it")
        least = min(width.ffn for width in self.encoder.widths)
        if least < self.learners:
            raise ValueError(f"learners: got {self.learners} for a layer of {least} channels")
        return self

    @classmethod
    def whole(cls, encoder: Params, learners: int) -> AdaptiveParams:
        """Every learner sees every token."""
        return cls(
            encoder=encoder,
            learners=learners,
            capacities=((WHOLE,) * learners,) * encoder.layers,
        )

    def costs(self, tokens: int) -> Costs:
        """What the exported file has for a sample of `tokens` tokens that all count."""
        whole, h = self.encoder.costs(tokens), self.encoder.hidden
        params, macs = whole.params, whole.macs
        gate = (h + GATE_WIDTH + self.learners + 1) * GATE_WIDTH
        for width, row in zip(self.encoder.widths, self.capacities, strict=True):
            for ffn, capacity in zip(widths(width.ffn, self.learners), row, strict=True):
                macs -= 2 * h * ffn * (tokens - places(tokens, capacity))
                params += h if capacity else -2 * h * ffn - ffn
            params -= h  # of the bias that learners have each of
            if any(0 < capacity < WHOLE for capacity in row):
                macs += gate * tokens
                params += gate + 2 * GATE_WIDTH + self.learners + 1
        return Costs(params, macs)


class AdaptiveEncoder(nn.Module):
    """Tensors in, and out, as `Encoder` has them."""

    def __init__(self, params: AdaptiveParams) -> None:
        super().__init__()
        self.params = params
        self.encoder = Encoder(params.encoder)
        self.learners = nn.ModuleList(
            Learners(
                params.encoder.hidden,
                width.ffn,
                params.learners,
                params.encoder.activation,
                capacities,
            )
            for width, capacities in zip(params.encoder.widths, params.capacities, strict=True)
        )
        for layer in self.encoder.layers:
            assert isinstance(layer, Layer)
            layer.up, layer.down = nn.Identity(), nn.Identity()  # type: ignore[assignment]

    def forward(self, *tensors: Tensor) -> Tensor:
        """As a file computes it."""
        found: Tensor = self.taps(*tensors, way=lambda learners, y, mask: learners(y, mask)).logits
        return found

    @property
    def of_layers(self) -> list[Learners]:
        """The learners of each layer."""
        return list(self.learners)  # type: ignore[arg-type]

    def taps(
        self, *tensors: Tensor, way: Callable[[Learners, Tensor, Tensor | None], Tensor]
    ) -> Outputs[Tensor]:
        """As `Encoder.taps`. way: what learners give for [n, s, hidden] and the mask [n, s]."""
        encoder = self.encoder
        given = dict(zip(encoder.params.inputs, tensors, strict=True))
        mask = encoder.mask(given)
        x = encoder.embedded(given)
        added = encoder.added(x, mask)

        def fed(learners: Learners, y: Tensor) -> Tensor:
            return way(learners, y, mask)

        *before, last = (partial(fed, one) for one in self.of_layers)
        for layer, one in zip(encoder.layers, before, strict=False):
            x = layer(x, added, fed=one)
        return encoder.last(x, mask, last)


def adaptive(
    encoder: Encoder, learners: int, order: Sequence[Tensor] | None = None
) -> AdaptiveEncoder:
    """The same network, each layer cut into `learners`. order: of each layer its channels, those first that the first
    learner gets."""
    params = encoder.params
    made = AdaptiveEncoder(AdaptiveParams.whole(params, learners))
    rest = {n: v for n, v in encoder.state_dict().items() if not _is_fed(n)}
    made.encoder.load_state_dict(rest)
    with torch.no_grad():
        for i, (layer, parts) in enumerate(zip(encoder.layers, made.of_layers, strict=True)):
            assert isinstance(layer, Layer)
            channels = torch.arange(layer.up.out_features) if order is None else order[i]
            for part, own in zip(parts.each, channels.tensor_split(learners), strict=True):
                part.up.weight.copy_(layer.up.weight[own])
                part.up.bias.copy_(layer.up.bias[own])
                part.down.weight.copy_(layer.down.weight[:, own])
                part.down.bias.zero_()
            parts.each[0].down.bias.copy_(layer.down.bias)
    return made.eval()


def with_capacities(
    encoder: AdaptiveEncoder, capacities: Sequence[Sequence[int]]
) -> AdaptiveEncoder:
    """The same weights, with other capacities."""
    params = encoder.params.model_dump() | {"capacities": capacities}
    made = AdaptiveEncoder(AdaptiveParams.model_validate(params))
    made.load_state_dict(encoder.state_dict())
    return made.eval()


def _is_fed(name: str) -> bool:
    part, *rest = name.split(".")
    return part == "layers" and rest[1] in ("up", "down")
