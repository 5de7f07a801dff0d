"""One training of some of an adaptive encoder's weights, by a loss that is given."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from squeeze.outputs import Outputs
from squeeze.train import loop, optimiser
from squeeze.train.batches import Batch, only_input
from squeeze.train.pace import pace_of
from squeeze.train.schedule import learning_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any

    from squeeze.losses import Loss
    from squeeze.progress import Progress
    from squeeze.train.checkpoint import Checkpoint, State
    from squeeze.train.compute import Compute
    from squeeze.train.supernet.samples import Samples

_CLIP = 1.0
_WARMUP = 0.05
_DECAY = 0.01


class Phase:
    """A `loop.Learner`. named: what learns; loss_of: of the tensors of a batch, [inputs, b, ...]."""

    def __init__(
        self,
        named: Mapping[str, nn.Parameter],
        loss_of: Callable[[Tensor], Tensor],
        answer: Loss,
        *,
        steps: int,
        lr: float,
    ) -> None:
        self.named = dict(named)
        self.loss_of, self.answer, self.steps, self.lr = loss_of, answer, steps, lr
        self.parameters = list(self.named.values())
        groups = [
            {"params": [p for p in self.parameters if p.ndim > 1], "weight_decay": _DECAY},
            {"params": [p for p in self.parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=lr, fused=True)
        self.optimisers = [self.optimiser]

    @property
    def loss(self) -> Loss:
        """Of outputs, for the loop to tell of the moment; what is learned is `loss_of`."""
        return self.answer

    def begin(self, step: int) -> None:
        """Sets the rate."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(step)

    def outputs(self, x: Tensor) -> Outputs[Tensor]:
        """What there is to compare is in `loss_of`."""
        return Outputs(x)

    def settle(self, step: int) -> None:
        """Nothing follows from new weights."""

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        return learning_rate(step, steps=self.steps, peak=self.lr, warmup=_WARMUP)

    def quality(self) -> None:
        """Not watched: what counts is the file, and that is measured."""

    def state(self) -> State:
        """What learns, and its moments."""
        moments = optimiser.moments(self.optimiser, optimiser.ADAMW, self.named)
        return {"model": dict(self.named), "moments": moments}

    def restore(self, found: Checkpoint) -> None:
        """Goes back to the state of a checkpoint."""
        with torch.no_grad():
            for name, p in self.named.items():
                p.copy_(found.state["model"][name])
        optimiser.restore(self.optimiser, found.state.get("moments", {}), self.named)


def run(
    learner: Phase,
    samples: Samples,
    compute: Compute,
    *,
    batch_size: int,
    seed: int,
    checkpoint_s: float,
    identity: str,
    folder: Path,
    progress: Progress,
) -> list[dict[str, Any]]:  # Any: numbers by name, JSON
    """Trains to the end; the last checkpoint stays in `folder`, so that a later call finds it done."""
    return loop.train(
        learner,
        partial(_batch, samples, compute, batch_size, seed),
        _course(learner, batch_size, seed, checkpoint_s),
        identity=identity,
        folder=folder,
        progress=progress,
        learn=partial(_update, compute),
    )


def step_s(
    learner: Phase,
    samples: Samples,
    compute: Compute,
    *,
    batch_size: int,
    seed: int,
    seconds: float,
) -> float:
    """The seconds of a step, by some of them, which take `seconds` at most."""
    return pace_of(
        learner,
        partial(_batch, samples, compute, batch_size, seed),
        _course(learner, batch_size, seed, 0),
        learn=partial(_update, compute),
        seconds=seconds,
    ).step_s


def _batch(samples: Samples, compute: Compute, batch_size: int, seed: int, step: int) -> Batch:
    x = samples.at(samples.drawn(step, batch_size, seed)).to(compute.device)
    return Batch(x, Outputs(x), None)


def _update(compute: Compute, learner: loop.Learner, batch: Batch, step: int) -> Tensor:
    assert isinstance(learner, Phase)
    learner.optimiser.zero_grad(set_to_none=True)
    half = compute.dtype is torch.bfloat16
    with torch.autocast(compute.device, torch.bfloat16, enabled=half):
        loss = learner.loss_of(only_input(batch.x))
    loss.backward()  # type: ignore[no-untyped-call]  # torch has no annotation there
    nn.utils.clip_grad_norm_(learner.parameters, _CLIP, foreach=True)
    learner.optimiser.step()
    return loss.detach()


def _course(learner: Phase, batch_size: int, seed: int, checkpoint_s: float) -> loop.Course:
    return loop.Course(learner.steps, batch_size, seed, checkpoint_s, learner.lr, "adaptive.lr")
