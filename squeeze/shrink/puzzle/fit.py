"""A replacement learns what its part makes: mean squared error of outputs, on inputs that the part had in the teacher.

Block-wise distillation (Bercovich et al., "Puzzle: Distillation-Based NAS for Inference-Optimized LLMs", 2024): parts
learn apart from each other, so that each is fitted once, whatever stands beside it later. What goes in and out is kept
in bfloat16, which has the range of float, and no more of it than there is room for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from squeeze.losses import LOSSES
from squeeze.outputs import Outputs
from squeeze.shrink.walk import walk
from squeeze.train import loop
from squeeze.train.batches import Batch
from squeeze.train.optimiser import Kind, moments, restore
from squeeze.train.pace import pace_of
from squeeze.train.schedule import learning_rate, picks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from squeeze.progress import Progress
    from squeeze.shrink.puzzle.parts import Part
    from squeeze.shrink.walk import Node
    from squeeze.students.network import Network
    from squeeze.train.checkpoint import Checkpoint, State

MOST_BYTES = 128 << 20  # of what is kept of one part
_STORED = torch.bfloat16
_BATCH, _AT_ONCE = 32, 64  # samples
_WARMUP = 0.05
_CHECKPOINT_S = 30.0
_NAME = "imitation"  # of the training, whose folder is of one replacement
_ADAM = Kind(1.0, 0.0, ("exp_avg", "exp_avg_sq", "step"))


@dataclass(frozen=True)
class Ends:
    """x, y: [n, ...] each, what goes into a part and what comes out."""

    x: Tensor
    y: Tensor


def samples_kept(part: Part, count: int) -> int:
    """How many samples of `count` there is room for."""
    each = _STORED.itemsize * (torch.Size(part.before).numel() + torch.Size(part.behind).numel())
    return max(1, min(count, MOST_BYTES // each))


def ends_of(network: Network, part: Part, batches: Iterable[Tensor]) -> Ends:
    """What goes into `part` and comes out of it where `network` is given these batches [n, ...]."""
    wanted = (part.entry, part.exit)
    found: dict[str, list[Tensor]] = {name: [] for name in wanted}
    for batch in batches:

        def note(_: Node, values: Mapping[str, Tensor]) -> None:
            for name in wanted:
                if name in values:
                    found[name].append(values[name].to(_STORED))

        note({}, network.given(batch))
        walk(network, batch, after=note)
    return Ends(*(torch.cat(found[name]) for name in wanted))


def error_of(replacement: Network, ends: Ends) -> float:
    """Mean squared error as a share of the variance of what comes out."""
    total, y = 0.0, ends.y.float()
    with torch.no_grad():
        for start in range(0, len(y), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            total += float((replacement(ends.x[rows].float()) - y[rows]).square().sum())
    return total / max(float((y - y.mean()).square().sum()), 1e-12)


def fit(
    replacement: Network,
    ends: Ends,
    *,
    steps: int,
    lr: float,
    seed: int,
    folder: Path,
    progress: Progress,
) -> None:
    """Trains `replacement`, in eval mode, in place: `steps` steps of Adam at a peak rate of `lr`.

    Checkpoints go to `folder`, from which the same call goes on. Raises ConfigError where the loss is no number any
    more.
    """
    learner = Imitator(replacement, ends, steps=steps, lr=lr)
    if not steps or not learner.parameters:
        return
    course = _course(steps, lr, seed)
    batches = _Batches(ends, learner.spread, seed)
    loop.train(learner, batches.at, course, identity=_NAME, folder=folder, progress=progress)


def step_s(replacement: Network, ends: Ends, *, steps: int, lr: float, seed: int) -> float:
    """The seconds of a step of `fit`, by as few of them as tell something, for there are many replacements; they change
    this one."""
    learner = Imitator(replacement, ends, steps=steps, lr=lr)
    if not learner.parameters:
        return 0.0
    batches = _Batches(ends, learner.spread, seed)
    return pace_of(learner, batches.at, _course(steps, lr, seed), seconds=0.0).step_s


def _course(steps: int, lr: float, seed: int) -> loop.Course:
    return loop.Course(steps, _BATCH, seed, _CHECKPOINT_S, lr, "puzzle.lr")


@dataclass(frozen=True)
class _Batches:
    ends: Ends
    spread: float
    seed: int

    def at(self, step: int) -> Batch:
        """What goes in at this step, and what is to come out."""
        rows, _ = picks(step, n=len(self.ends.x), batch_size=_BATCH, views=1, seed=self.seed)
        chosen = torch.from_numpy(rows)
        wanted = self.ends.y[chosen].float() / self.spread
        return Batch(self.ends.x[chosen].float(), Outputs(wanted), None)


class Imitator:
    """A `loop.Learner` that makes what its part makes, by Adam (Kingma and Ba, 2015), in units of the standard
    deviation of that: else one rate would not do for all parts."""

    def __init__(self, replacement: Network, ends: Ends, *, steps: int, lr: float) -> None:
        self.replacement, self.steps, self.lr = replacement, steps, lr
        self.loss = LOSSES["mse"](label_weight=0.0)
        self.named = dict(replacement.named_parameters())
        self.parameters = list(self.named.values())
        self.optimisers = [torch.optim.Adam(self.parameters, lr)] if self.parameters else []
        self.spread = max(float(ends.y.float().std()), 1e-6)

    def begin(self, step: int) -> None:
        """Sets the rate."""
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.rate(step)

    def outputs(self, x: Tensor) -> Outputs[Tensor]:
        """What the replacement makes of [n, ...]."""
        return Outputs(self.replacement(x) / self.spread)

    def settle(self, step: int) -> None:
        """Nothing follows from new weights."""

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        return learning_rate(step, steps=self.steps, peak=self.lr, warmup=_WARMUP)

    def quality(self) -> None:
        """It is judged in the whole network, once it has learned."""

    def state(self) -> State:
        """Weights and moments."""
        kept = [moments(optimiser, _ADAM, self.named) for optimiser in self.optimisers]
        return {"model": dict(self.named), **({"adam": kept[0]} if kept else {})}

    def restore(self, found: Checkpoint) -> None:
        """Goes back to the state of a checkpoint."""
        with torch.no_grad():
            for name, p in self.named.items():
                p.copy_(found.state["model"][name])
        for optimiser in self.optimisers:
            restore(optimiser, found.state.get("adam", {}), self.named)
