"""One optimiser step of training at quantised weights, for whoever brings the batches.

Three kinds of parameters learn, each at a rate of its own: weights (with biases and normalisation), the steps of LSQ,
and the points of codebooks. What a method keeps fixed has the rate 0:

quantised-distillation   weights and steps learn
differentiable           points learn, the weights stay
mixed                    the two by turns, ending with the weights
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from squeeze.interface import Outputs
from squeeze.train.quantised.codebook import Codebook, sort_points

if TYPE_CHECKING:
    from squeeze.train.quantised.network import QuantNetwork

Method = Literal["quantised-distillation", "differentiable", "mixed"]

_CLIP = 5.0
_MOMENTUM = 0.9
# The points of a codebook move by this share of the largest one per step, at the peak.
POINTS_RATE = 2e-3
TURNS = 6


class Trainer:
    """SGD with Nesterov momentum for weights and steps, Adam for points. Rates are tensors, so that a step can be
    recorded and replayed by an accelerator."""

    def __init__(
        self, network: QuantNetwork, loss: nn.Module, *, weight_decay: float = 1e-4
    ) -> None:
        self.network, self.loss = network, loss
        points = [m for m in network.modules() if isinstance(m, Codebook)]
        learned = {id(m.points) for m in points}
        steps = [p for p in network.weight_quantisers.parameters() if id(p) not in learned]
        # A group of their own: they have no gradient before the activations are switched on.
        grids = [p for p in network.activations.parameters() if p.requires_grad]
        known = learned | {id(p) for p in (*steps, *network.activations.parameters())}
        weights = [p for p in network.parameters() if id(p) not in known and p.requires_grad]
        device = next(network.parameters()).device
        self.rate = {name: torch.zeros((), device=device) for name in ("weights", "steps")}
        groups = [
            {
                "params": [p for p in weights if p.ndim > 1],
                "weight_decay": weight_decay,
                "lr": self.rate["weights"],
            },
            {"params": [p for p in weights if p.ndim <= 1], "lr": self.rate["weights"]},
            {"params": steps, "lr": self.rate["steps"]},
            {"params": grids, "lr": self.rate["steps"]},
        ]
        self.sgd = torch.optim.SGD(
            [g for g in groups if g["params"]], momentum=_MOMENTUM, nesterov=True, fused=True
        )
        self.sizes = [float(m.points.detach().abs().amax()) for m in points]
        self.point_rates = [torch.zeros((), device=device) for _ in points]
        self.adam = (
            torch.optim.Adam(
                [
                    {"params": [m.points], "lr": rate}
                    for m, rate in zip(points, self.point_rates, strict=True)
                ],
                betas=(0.9, 0.99),
                fused=True,
                **({"capturable": True} if device.type == "cuda" else {}),
            )
            if points
            else None
        )
        self.parameters = [*weights, *steps, *grids, *(m.points for m in points)]

    def set_rates(self, step: int, *, steps: int, peak: float, method: Method) -> None:
        """The rates of step number `step`: a short rise, then a half cosine to 0; and whose turn it is."""
        rising = max(1, steps // 20)
        share = (step + 1) / rising
        if step >= rising:
            share = 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))
        turn = _turn(step, steps, method)
        self.rate["weights"].fill_(peak * share if turn == "weights" else 0.0)
        # LSQ scales its gradients to the size of its steps; activations learn in every turn.
        self.rate["steps"].fill_(0.1 * peak * share)
        for rate, size in zip(self.point_rates, self.sizes, strict=True):
            rate.fill_(POINTS_RATE * size * share if turn == "points" else 0.0)

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Momentum and moments, by the number of the parameter."""
        buffers = {
            str(i): self.sgd.state[p]["momentum_buffer"]
            for i, p in enumerate(self.parameters)
            if self.sgd.state.get(p, {}).get("momentum_buffer") is not None
        }
        moments = {
            f"{i}.{name}": value
            for i, p in enumerate(self.parameters)
            if self.adam is not None
            for name, value in self.adam.state.get(p, {}).items()
        }
        return {"sgd": buffers, "adam": moments}

    def restore(self, state: dict[str, dict[str, Tensor]]) -> None:
        """Goes on from what `state` gave."""
        for number, buffer in state.get("sgd", {}).items():
            p = self.parameters[int(number)]
            self.sgd.state[p]["momentum_buffer"] = torch.empty_like(p).copy_(buffer)
        if self.adam is not None:
            for key, value in state.get("adam", {}).items():
                number, _, name = key.partition(".")
                self.adam.state[self.parameters[int(number)]][name] = value.clone()

    def step(self, x: Tensor, teacher: Tensor, labels: Tensor | None) -> Tensor:
        """Learns from a batch; returns the loss, without waiting for it."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=x.dtype is torch.bfloat16):
            logits = self.network(x)
        value: Tensor = self.loss(Outputs(logits, None, None), Outputs(teacher, None, None), labels)
        self.sgd.zero_grad(set_to_none=True)
        if self.adam is not None:
            self.adam.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]  # torch has no annotation there
        nn.utils.clip_grad_norm_(self.parameters, _CLIP, foreach=True)
        self.sgd.step()
        if self.adam is not None:
            self.adam.step()
            sort_points(self.network)
        self.network.clamp_gains()
        return value.detach()


def _turn(step: int, steps: int, method: Method) -> str:
    if method != "mixed":
        return "points" if method == "differentiable" else "weights"
    # Counted from the end, so that the weights have the last turn however few steps there are.
    return "weights" if ((steps - 1 - step) * TURNS // max(steps, 1)) % 2 == 0 else "points"
