"""Makes an encoder adaptive: learners and gates layer by layer, then all of it together, then at fixed capacities."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from squeeze.students.encoder import AdaptiveEncoder, adaptive, with_capacities
from squeeze.train import checkpoint
from squeeze.train.adaptive import budget, modules, phase
from squeeze.train.adaptive.capacity import capacities, gates_of
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

Json = dict[str, Any]  # Any: numbers by name, JSON

_LOOKED_AT, _BATCH = 128, 32  # samples that channels are sorted by, and capacities set
_MODULES_LR, _GATES_LR = 1e-3, 1e-2  # as published
_WORDS = "word."  # a small corpus knows few of them


@dataclass(frozen=True)
class Conversion:
    """What every phase of it is given. fit: to learn from; held: to sort and to set capacities by. identity: of
    everything that is not said here or in the part. Checkpoints go to `folder`; after a kill the same call goes on."""

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

    def trained(
        self,
        name: str,
        learn: Mapping[str, nn.Parameter],
        loss_of: Callable[[Tensor], Tensor],
        steps: int,
        lr: float,
    ) -> list[Json]:
        """The phase `name`, whose weights are then in `learn`. Raises ConfigError when the loss is no longer a
        number."""
        if not steps:
            return []
        known = [self.identity, self.part.key(), self.compute.key(), self.seed, self.threads]
        return phase.run(
            phase.Phase(learn, loss_of, self.objective.answer, steps=steps, lr=lr),
            self.fit,
            self.compute,
            batch_size=self.part.batch_size,
            seed=self.seed,
            checkpoint_s=self.checkpoint_s,
            identity=digest_json([name, *known]),
            folder=self.folder / name,
            progress=self.progress,
        )


def train_learners(conversion: Conversion) -> tuple[AdaptiveEncoder, list[list[float]]]:
    """The teacher, its layers cut into learners that are each as good with those before it as they can be; and of each
    layer the squared error of its first k, as a share, for k of 1 to N.

    Raises ConfigError for more learners than a layer has channels, and as `Conversion.trained`.
    """
    part = conversion.part
    with conversion.compute.session(conversion.threads):
        teacher = _still(conversion)
        made = _cut(conversion).to(conversion.compute.device)
        learners = made.of_layers
        conversion.trained(
            "modules",
            _named(made, ".parts."),
            lambda x: modules.distance(learners, modules.seen_of(teacher, tuple(x))),
            part.module_steps,
            _MODULES_LR,
        )
        found = _errors(conversion, teacher, learners)
    checkpoint.remove_all(conversion.folder / "modules")
    shares = [(one.mean(0) / one[:, 0].mean())[1:].tolist() for one in found]
    return made.cpu().eval(), shares


def train_adaptive(
    conversion: Conversion, cut: AdaptiveEncoder
) -> tuple[AdaptiveEncoder, list[Json]]:
    """What `train_learners` gave with gates, all of it trained and at capacities for `part.compute`; and the history.

    Raises as `Conversion.trained`.
    """
    part, compute, objective = conversion.part, conversion.compute, conversion.objective
    with compute.session(conversion.threads):
        teacher, made = _still(conversion), copy.deepcopy(cut).to(compute.device)
        learners = made.of_layers
        ratio = modules.ratio_for(_errors(conversion, teacher, learners), part.compute)
        conversion.trained(
            "gates",
            _named(made, ".gate."),
            lambda x: modules.surprise(learners, modules.seen_of(teacher, tuple(x)), ratio),
            part.gate_steps,
            _GATES_LR,
        )
        free = part.steps // 2
        whole = {n: p for n, p in _named(made).items() if _WORDS not in n}
        learned = partial(_free, teacher, made, objective, part)
        history = conversion.trained("free", whole, learned, free, part.lr)
        asked = gates_of(made, [tuple(x.to(compute.device)) for x in _batches(conversion)])
        made = with_capacities(made, capacities(asked, part.compute)).to(compute.device)
        # Which tokens come first stays as it is: an order has no gradient.
        rest = {n: p for n, p in _named(made).items() if _WORDS not in n and ".gate." not in n}
        learned = partial(_fixed, teacher, made, objective)
        fixed = conversion.trained("fixed", rest, learned, part.steps - free, part.lr)
        history += [{**entry, "step": free + entry["step"]} for entry in fixed]
    for name in ("gates", "free", "fixed"):
        checkpoint.remove_all(conversion.folder / name)
    return made.cpu().eval(), history


def _still(conversion: Conversion) -> Encoder:
    return copy.deepcopy(conversion.teacher).to(conversion.compute.device).requires_grad_(False)


def _cut(conversion: Conversion) -> AdaptiveEncoder:
    """Learners are the teacher's channels, those that matter most in the first: all of them compute what it does."""
    found = curvature(
        conversion.teacher, [tuple(x) for x in _batches(conversion)], seed=conversion.seed
    )
    order = [one.argsort(descending=True, stable=True) for one in found.ffn]
    torch.manual_seed(conversion.seed)  # of the gates, which nothing says yet
    return adaptive(conversion.teacher, conversion.part.learners, order)


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


def _batches(conversion: Conversion) -> Iterator[Tensor]:
    """Of the samples that are looked at."""
    for samples in conversion.held.in_order(_BATCH, _LOOKED_AT):
        yield conversion.held.at(samples)


def _errors(conversion: Conversion, teacher: Encoder, learners: Sequence[Learners]) -> list[Tensor]:
    """Of each layer, [tokens, N + 1]."""
    found: list[list[Tensor]] = [[] for _ in learners]
    for x in _batches(conversion):
        seen = modules.seen_of(teacher, tuple(x.to(conversion.compute.device)))
        for rows, one, layer in zip(found, learners, seen, strict=True):
            rows.append(modules.errors(one, layer))
    return [torch.cat(rows) for rows in found]
