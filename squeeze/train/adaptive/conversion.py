"""What every phase of making an encoder adaptive is given, and the phases before their first step."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from squeeze.students.encoder import AdaptiveEncoder, adaptive
from squeeze.train.adaptive import budget, modules, phase
from squeeze.train.supernet.importance import curvature
from squeeze.workdir import digest_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from squeeze.progress import Progress
    from squeeze.spec import AdaptivePart
    from squeeze.students.encoder import Encoder, Learners
    from squeeze.train.compute import Compute
    from squeeze.train.supernet.objective import Objective
    from squeeze.train.supernet.samples import Samples

Json = dict[str, Any]  # Any: numbers by name

_LOOKED_AT, _BATCH = 128, 32  # samples that channels are sorted by, and capacities set
_MODULES_LR, _GATES_LR = 1e-3, 1e-2  # as published
_WORDS = "word."  # a small corpus knows few of them


@dataclass(frozen=True)
class Conversion:
    """fit: to learn from; held: to sort and to set capacities by. identity: of everything that is not said here or in
    the part. Checkpoints go to `folder`; after a kill the same call goes on."""

    teacher: Encoder
    fit: Samples
    held: Samples
    objective: Objective
    part: AdaptivePart
    identity: str
    seed: int
    threads: int
    compute: Compute
    folder: Path
    progress: Progress
    checkpoint_s: float = 30.0

    def trained(self, name: str, one: phase.Phase) -> list[Json]:
        """The phase `name`, which changes what it learns. Raises ConfigError when the loss is no longer a number."""
        if not one.steps:
            return []
        known = [self.identity, self.part.key(), self.compute.key(), self.seed, self.threads]
        return phase.run(
            one,
            self.fit,
            self.compute,
            batch_size=self.part.batch_size,
            seed=self.seed,
            checkpoint_s=self.checkpoint_s,
            identity=digest_json([name, *known]),
            folder=self.folder / name,
            progress=self.progress,
        )

    def step_s(self, one: phase.Phase, seconds: float) -> float:
        """The seconds of a step of a phase, which changes what it learns."""
        return phase.step_s(
            one,
            self.fit,
            self.compute,
            batch_size=self.part.batch_size,
            seed=self.seed,
            seconds=seconds,
        )

    def still(self) -> Encoder:
        """The teacher, where it trains."""
        return copy.deepcopy(self.teacher).to(self.compute.device).requires_grad_(False)

    def cut(self) -> AdaptiveEncoder:
        """Learners are the teacher's channels, those that matter most in the first: all of them compute what it
        does."""
        found = curvature(self.teacher, [tuple(x) for x in self.batches()], seed=self.seed)
        order = [one.argsort(descending=True, stable=True) for one in found.ffn]
        torch.manual_seed(self.seed)  # of the gates, which nothing says yet
        return adaptive(self.teacher, self.part.learners, order).to(self.compute.device)

    def batches(self) -> Iterator[Tensor]:
        """Of the samples that are looked at."""
        for samples in self.held.in_order(_BATCH, _LOOKED_AT):
            yield self.held.at(samples)

    def of_modules(self, teacher: Encoder, made: AdaptiveEncoder) -> phase.Phase:
        """Learners towards the layers that they stand for."""
        learners = made.of_layers

        def loss(x: Tensor) -> Tensor:
            return modules.distance(learners, modules.seen_of(teacher, tuple(x)))

        return self._phase(_named(made, ".parts."), loss, self.part.module_steps, _MODULES_LR)

    def of_gates(self, teacher: Encoder, made: AdaptiveEncoder, ratio: float) -> phase.Phase:
        """Gates towards what learners lose. ratio: as `modules.labels` has it."""
        learners = made.of_layers

        def loss(x: Tensor) -> Tensor:
            return modules.surprise(learners, modules.seen_of(teacher, tuple(x)), ratio)

        return self._phase(_named(made, ".gate."), loss, self.part.gate_steps, _GATES_LR)

    def free(self, teacher: Encoder, made: AdaptiveEncoder) -> phase.Phase:
        """All of it, for the first half of its steps."""
        learn = {n: p for n, p in _named(made).items() if _WORDS not in n}
        loss = partial(_free, teacher, made, self.objective, self.part)
        return self._phase(learn, loss, self.part.steps // 2, self.part.lr)

    def fixed(self, teacher: Encoder, made: AdaptiveEncoder) -> phase.Phase:
        """At capacities, for the others. Which tokens come first stays as it is: an order has no gradient."""
        learn = {n: p for n, p in _named(made).items() if _WORDS not in n and ".gate." not in n}
        loss = partial(_fixed, teacher, made, self.objective)
        return self._phase(learn, loss, self.part.steps - self.part.steps // 2, self.part.lr)

    def errors(self, teacher: Encoder, learners: Sequence[Learners]) -> list[Tensor]:
        """Of each layer, [tokens, N + 1]."""
        found: list[list[Tensor]] = [[] for _ in learners]
        for x in self.batches():
            seen = modules.seen_of(teacher, tuple(x.to(self.compute.device)))
            for rows, one, layer in zip(found, learners, seen, strict=True):
                rows.append(modules.errors(one, layer))
        return [torch.cat(rows) for rows in found]

    def _phase(
        self,
        learn: Mapping[str, nn.Parameter],
        loss_of: Callable[[Tensor], Tensor],
        steps: int,
        lr: float,
    ) -> phase.Phase:
        return phase.Phase(learn, loss_of, self.objective.answer, steps=steps, lr=lr)


def _free(
    teacher: Encoder,
    made: AdaptiveEncoder,
    objective: Objective,
    part: AdaptivePart,
    x: Tensor,
) -> Tensor:
    """Towards the teacher with as many learners as gates draw, and what those may cost."""
    drawn = budget.Drawn()
    with torch.no_grad():
        wanted = teacher.taps(*x)
    loss = objective(made.taps(*x, way=drawn), wanted, _as_it_is)
    mask = wanted.taps["mask"]
    loss = loss + part.budget * budget.over_budget(drawn.shares, mask, part.compute)
    loss = loss - part.entropy * budget.evenness(drawn.likely, mask)
    return loss - part.diversity * budget.diversity(drawn.shares, mask)


def _fixed(teacher: Encoder, made: AdaptiveEncoder, objective: Objective, x: Tensor) -> Tensor:
    """Towards the teacher as the file computes it."""
    with torch.no_grad():
        wanted = teacher.taps(*x)
    found = made.taps(*x, way=lambda learners, y, mask: learners(y, mask))
    return objective(found, wanted, _as_it_is)


def _as_it_is(states: Tensor) -> Tensor:
    """The network is as wide as its teacher."""
    return states


def _named(made: AdaptiveEncoder, part: str = "") -> dict[str, nn.Parameter]:
    return {name: p for name, p in made.named_parameters() if part in name}
