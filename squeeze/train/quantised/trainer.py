"""A network at quantised weights in training: three kinds of parameters, each at a rate of its own.

Weights (with biases and normalisation), the steps of LSQ, and the points of codebooks. What a method keeps fixed has
the rate 0:

quantised-distillation   weights and steps learn
differentiable           points learn, the weights stay
mixed                    the two by turns, ending with the weights
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from squeeze.outputs import Outputs
from squeeze.students.network import Inputs
from squeeze.train.precision import autocast, cast
from squeeze.train.quantised import ranges
from squeeze.train.quantised.codebook import Codebook, sort_points
from squeeze.train.quantised.settings import Method, Settings
from squeeze.train.schedule import learning_rate

if TYPE_CHECKING:
    from squeeze.losses import Loss
    from squeeze.train.checkpoint import Checkpoint, State
    from squeeze.train.quantised.network import QuantNetwork

_MOMENTUM = 0.9
# Of the rate: what Adam's steps for the weights of transformers take. MiniLM at 2 bits, 100 steps of 16 sentences, one
# seed: cosine 0.804, with SGD 0.793.
ADAM_SHARE = 0.01
# The points of a codebook move by this share of the largest one per step, at the peak.
POINTS_RATE = 2e-3
TURNS = 6


@dataclass(frozen=True)
class Switch:
    """From step `step` on activations are on grids, whose ranges are those of `plain()`: a few batches of inputs."""

    step: int
    plain: Callable[[], Iterable[Inputs]]


class Trainer:
    """A `loop.Learner`: SGD with Nesterov momentum for weights and steps, Adam for points, and for the weights of
    networks with LayerNormalization.

    Rates are tensors, so that a step can be recorded and replayed by an accelerator. dtype: of inputs and matrix
    products. mean, spread: logits are brought onto the scale of the lesson by them. switch: None leaves the activations
    as they are.
    """

    def __init__(
        self,
        network: QuantNetwork,
        loss: Loss,
        settings: Settings,
        *,
        dtype: torch.dtype = torch.float32,
        mean: Tensor | None = None,
        spread: float = 1.0,
        switch: Switch | None = None,
    ) -> None:
        device = next(network.parameters()).device
        self.network, self.settings, self.dtype, self.switch = network, settings, dtype, switch
        self.loss = loss.to(device)
        self.mean, self.spread = torch.zeros(()) if mean is None else mean, spread
        self.mean = self.mean.to(device)
        points = [m for m in network.modules() if isinstance(m, Codebook)]
        learned = {id(m.points) for m in points}
        quantiser_steps = [
            p for p in network.weight_quantisers.parameters() if id(p) not in learned
        ]
        # A group of their own: they have no gradient before the activations are switched on.
        grids = [p for p in network.activations.parameters() if p.requires_grad]
        known = learned | {id(p) for p in (*quantiser_steps, *network.activations.parameters())}
        weights = [p for p in network.parameters() if id(p) not in known and p.requires_grad]
        # A slope or a gain of nothing is no simpler network, as small weights are one.
        whole = {id(p) for p in network.learned_floats().values()}
        decayed = [p for p in weights if p.ndim > 1 and id(p) not in whole]
        other = [p for p in weights if p.ndim <= 1 or id(p) in whole]
        self.rates = {name: torch.zeros((), device=device) for name in ("weights", "steps")}
        adaptive = any(isinstance(m, nn.LayerNorm) for m in network.modules())
        self.peak = settings.lr * (ADAM_SHARE if adaptive else 1.0)
        groups: list[dict[str, Any]] = [  # Any: torch's own
            {
                "params": [] if adaptive else decayed,
                "weight_decay": settings.weight_decay,
                "lr": self.rates["weights"],
            },
            {
                "params": [] if adaptive else other,
                "lr": self.rates["weights"],
            },
            {"params": quantiser_steps, "lr": self.rates["steps"]},
            {"params": grids, "lr": self.rates["steps"]},
        ]
        # None in a float network with LayerNormalization: nothing of it is left for SGD.
        slow = [g for g in groups if g["params"]]
        self.sgd = (
            torch.optim.SGD(slow, momentum=_MOMENTUM, nesterov=True, fused=True) if slow else None
        )
        self.sizes = [float(m.points.detach().abs().amax()) for m in points]
        self.point_rates = [torch.zeros((), device=device) for _ in points]
        moved: list[dict[str, Any]] = [  # Any: torch's own
            {"params": [m.points], "lr": rate}
            for m, rate in zip(points, self.point_rates, strict=True)
        ]
        if adaptive:
            moved.append({"params": weights, "lr": self.rates["weights"]})
        self.adam = (
            torch.optim.Adam(
                moved,
                betas=(0.9, 0.99),
                fused=True,
                **({"capturable": True} if device.type == "cuda" else {}),
            )
            if moved
            else None
        )
        self.optimisers = [o for o in (self.sgd, self.adam) if o is not None]
        self.parameters = [*weights, *quantiser_steps, *grids, *(m.points for m in points)]

    def begin(self, step: int) -> None:
        """Puts the activations on grids when it is time; sets the rates and whose turn it is."""
        settings = self.settings
        if self.switch is not None and step == self.switch.step:
            plain = (cast(x, self.dtype) for x in self.switch.plain())
            ranges.calibrate(self.network, plain, settings.low, settings.high)
        share, turn = _share(step, settings.steps), _turn(step, settings.steps, settings.method)
        self.rates["weights"].fill_(self.peak * share if turn == "weights" else 0.0)
        # LSQ scales its gradients to the size of its steps; activations learn in every turn.
        self.rates["steps"].fill_(0.1 * settings.lr * share)
        for rate, size in zip(self.point_rates, self.sizes, strict=True):
            rate.fill_(POINTS_RATE * size * share if turn == "points" else 0.0)

    def outputs(self, x: Inputs) -> Outputs[Tensor]:
        """Logits [n, c] or [n, c, ...places] on the scale of the lesson."""
        x = cast(x, self.dtype)
        with autocast(x):
            logits = self.network(x)
        return Outputs((logits.float() - self.mean) / self.spread)

    def settle(self, step: int) -> None:
        """Points into order, gains above 0."""
        if self.adam is not None:
            sort_points(self.network)
        self.network.clamp_gains()

    def rate(self, step: int) -> float:
        """The rate of the weights, or of what else has its turn, as a share of the peak times the peak."""
        return self.peak * _share(step, self.settings.steps)

    def quality(self) -> None:
        """Not watched: what counts is the file, and that is measured."""

    def state(self) -> State:
        """Weights, momentum and moments (by the number of the parameter), and what the loss remembers."""
        buffers = {
            str(i): self.sgd.state[p]["momentum_buffer"]
            for i, p in enumerate(self.parameters)
            if self.sgd is not None and self.sgd.state.get(p, {}).get("momentum_buffer") is not None
        }
        moments = {
            f"{i}.{name}": value
            for i, p in enumerate(self.parameters)
            if self.adam is not None
            for name, value in self.adam.state.get(p, {}).items()
        }
        return {
            "model": self.network.state_dict(),
            "sgd": buffers,
            "adam": moments,
            "loss": self.loss.state_dict(),
        }

    def restore(self, found: Checkpoint) -> None:
        """Goes back to the state of a checkpoint."""
        self.network.load_state_dict(found.state["model"])
        self.loss.load_state_dict(found.state.get("loss", {}))
        for number, buffer in found.state.get("sgd", {}).items():
            p = self.parameters[int(number)]
            assert self.sgd is not None  # it wrote them
            self.sgd.state[p]["momentum_buffer"] = torch.empty_like(p).copy_(buffer)
        if self.adam is not None:
            for key, value in found.state.get("adam", {}).items():
                number, _, name = key.partition(".")
                p = self.parameters[int(number)]
                self.adam.state[p][name] = value.to(p.device, copy=True)
        if self.switch is not None:
            ranges.switch(self.network, on=found.step > self.switch.step)


def _share(step: int, steps: int) -> float:
    """Of the peak rate; it rises over a twentieth of the steps, in whole steps."""
    return learning_rate(step, steps=steps, peak=1.0, warmup=steps // 20 / steps)


def _turn(step: int, steps: int, method: Method) -> str:
    if method != "mixed":
        return "points" if method == "differentiable" else "weights"
    # Counted from the end, so that the weights have the last turn however few steps there are.
    return "weights" if ((steps - 1 - step) * TURNS // max(steps, 1)) % 2 == 0 else "points"
