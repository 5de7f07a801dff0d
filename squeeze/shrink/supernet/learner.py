"""Training of a weight-sharing convolutional network: in each step its largest part, its smallest and some between.

The sandwich rule: Yu and Huang, "Universally Slimmable Networks and Improved Training Techniques", 2019. All parts
learn the teacher's answers: the network began as the teacher, so that these are better than what its largest part says.
In training each part normalises by its own batch; statistics are taken when a part is asked (`choice.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from squeeze.guides.draw import hashed
from squeeze.outputs import Outputs
from squeeze.students import Network
from squeeze.train.batches import only_input
from squeeze.train.norms import NORMS
from squeeze.train.precision import autocast, cast
from squeeze.train.schedule import learning_rate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from squeeze.shrink.supernet.slices import Part, Slices
    from squeeze.train.batches import Batch, Batches
    from squeeze.train.checkpoint import Checkpoint, State
    from squeeze.train.compute import Compute
    from squeeze.train.loop import Learner

_MOMENTUM = 0.9
_DECAY = 1e-4
_CLIP = 5.0
_WARMUP = 0.05
_WATCHED, _WATCHED_BATCH = 500, 250  # samples
_MOMENTS = "momentum_buffer"


class Slimmable:
    """A `loop.Learner`: SGD with Nesterov momentum. parts: what may be drawn, the smallest first and the largest last.
    between: how many others are drawn in a step. lr: the peak rate. seed: of what is drawn."""

    def __init__(
        self,
        slices: Slices,
        weights: Mapping[str, Tensor],
        parts: Sequence[Part],
        batches: Batches,
        compute: Compute,
        *,
        steps: int,
        lr: float,
        between: int,
        seed: int,
    ) -> None:
        self.slices, self.parts, self.batches = slices, list(parts), batches
        self.steps, self.lr, self.between, self.seed = steps, lr, between, seed
        self.loss = batches.lesson.loss.to(compute.device)
        self.dtype = compute.dtype_for(slices.network)
        self.mean = torch.from_numpy(batches.lesson.mean).to(compute.device)
        learned = {name for name, _ in slices.network.named_parameters()}
        self.named = {
            name: nn.Parameter(value.to(compute.device, copy=True))
            for name, value in weights.items()
            if name in learned
        }
        self.parameters = list(self.named.values())
        groups = [
            {"params": [p for p in self.parameters if p.ndim > 1], "weight_decay": _DECAY},
            {"params": [p for p in self.parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.SGD(
            [group for group in groups if group["params"]], lr, _MOMENTUM, nesterov=True
        )
        self.optimisers = [self.optimiser]
        self._modules: dict[Part, Network] = {}

    def begin(self, step: int) -> None:
        """Sets the rate."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(step)

    def drawn(self, step: int) -> list[Part]:
        """The largest, the smallest, and `between` others at random; of one alone, that one."""
        if len(self.parts) == 1:
            return self.parts
        draws = [int(hashed(self.seed, step, i)[0]) for i in range(self.between)]
        others = [self.parts[draw % len(self.parts)] for draw in draws]
        return [self.parts[-1], self.parts[0], *others]

    def outputs(self, x: Tensor) -> Outputs[Tensor]:
        """Of the largest part."""
        return self.outputs_of(self.parts[-1], x)

    def outputs_of(self, part: Part, x: Tensor) -> Outputs[Tensor]:
        """Logits [n, c] of a part on the scale of the lesson, normalised by this batch."""
        given = cast(x, self.dtype)
        with autocast(given):
            logits = functional_call(
                self._module(part), self.slices.weights(self.named, part), (given,)
            )
        return Outputs((logits.float() - self.mean) / self.batches.lesson.spread)

    def settle(self, step: int) -> None:
        """Nothing follows from new weights."""

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        return learning_rate(step, steps=self.steps, peak=self.lr, warmup=_WARMUP)

    def quality(self) -> tuple[str, float]:
        """How near the largest and the smallest part are to the guide on inputs not learned from: the mean."""
        lesson, plain = self.batches.lesson, self.batches.guide.plain[:_WATCHED]
        found = []
        with torch.no_grad():
            for part in (self.parts[0], self.parts[-1]):
                made = [
                    self.outputs_of(part, only_input(x)).logits.cpu()
                    for x in self.batches.plain(len(plain), _WATCHED_BATCH)
                ]
                found.append(lesson.quality(torch.cat(made), lesson.logits(plain)))
        return found[0][0], float(np.mean([value for _, value in found]))

    def state(self) -> State:
        """Weights, momentum, and what the loss remembers."""
        buffers = {
            name: self.optimiser.state[p][_MOMENTS]
            for name, p in self.named.items()
            if self.optimiser.state.get(p, {}).get(_MOMENTS) is not None
        }
        return {"model": dict(self.named), "momentum": buffers, "loss": self.loss.state_dict()}

    def restore(self, found: Checkpoint) -> None:
        """Goes back to the state of a checkpoint."""
        with torch.no_grad():
            for name, p in self.named.items():
                p.copy_(found.state["model"][name])
        for name, value in found.state.get("momentum", {}).items():
            p = self.named[name]
            self.optimiser.state[p][_MOMENTS] = torch.empty_like(p).copy_(value)
        self.loss.load_state_dict(found.state.get("loss", {}))

    def finished(self) -> dict[str, Tensor]:
        """The learned weights of the whole network."""
        return {name: p.detach().cpu() for name, p in self.named.items()}

    def _module(self, part: Part) -> Network:
        """A part without weights, whose normalisation keeps no statistics."""
        if part not in self._modules:
            with torch.device("meta"):
                made = Network(self.slices.description(part))
            for layer in made.modules():
                if isinstance(layer, NORMS):
                    layer.running_mean = layer.running_var = layer.num_batches_tracked = None
            self._modules[part] = made.train()
        return self._modules[part]


def sandwich(learner: Learner, batch: Batch, step: int) -> Tensor:
    """`loop.update` for a Slimmable: the mean gradient of the parts that are drawn, then one step of the optimiser."""
    assert isinstance(learner, Slimmable)
    learner.optimiser.zero_grad(set_to_none=True)
    drawn = learner.drawn(step)
    losses = []
    for part in drawn:
        made = learner.outputs_of(part, only_input(batch.x))
        loss = learner.loss(made, batch.answers, batch.labels) / len(drawn)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no annotation there
        losses.append(loss.detach())
    nn.utils.clip_grad_norm_(learner.parameters, _CLIP, foreach=True)
    learner.optimiser.step()
    learner.settle(step)
    return torch.stack(losses).sum()
