"""A rate at which a network that is nearly right stays so: one at which it unlearns everything is lowered.

What begins with weights that were trained answers better than one constant does. Where it no longer does some way into
the training, as regressions with large gradients do, the rate was too high, and the training begins again at a tenth.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from squeeze.losses.loss import Moment
from squeeze.outputs import Outputs
from squeeze.train import loop

if TYPE_CHECKING:
    from squeeze.train.batches import Batch, Batches
    from squeeze.train.quantised.settings import Settings
    from squeeze.train.quantised.trainer import Trainer

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Of the rate, one after the other; the last one is not judged.
SHARES = (1.0, 0.1, 0.01)
# Of the steps: where it is judged, behind the warm-up.
_JUDGED_AT = (0.1, 0.25)


class UnlearnedError(Exception):
    """At this step the network answers worse than one constant, and began better."""

    def __init__(self, step: int) -> None:
        super().__init__(f"by step {step}")
        self.step = step


def at_a_rate(settings: Settings, lr_key: str, run: Callable[[Settings, bool], T]) -> T:
    """What `run(settings, may_unlearn)` gives at the first of the rates at which nothing is unlearned: it raises
    UnlearnedError where something is and it may not be. lr_key: the rate's name in a recipe."""
    for share in SHARES[:-1]:
        told = replace(settings, lr=share * settings.lr)
        try:
            return run(told, False)
        except UnlearnedError as e:
            logger.warning(
                "%s: at %g the network answers worse than one constant by step %d of %d; it begins again at a tenth",
                lr_key,
                told.lr,
                e.step,
                settings.steps,
            )
    return run(replace(settings, lr=SHARES[-1] * settings.lr), True)


def judged(trainer: Trainer, batches: Batches) -> Callable[[loop.Learner, Batch, int], Tensor]:
    """`loop.update` that raises UnlearnedError. A pure function of the weights, so that a resumed training decides as
    another does; to be made before the first step."""
    steps = trainer.settings.steps
    first = batches.at(0)
    trainer.loss.begin(Moment(0, steps, first.seen))
    trainer.network.eval()
    with torch.no_grad():
        began = trainer.loss(trainer.outputs(first.x), first.answers, first.labels)
        better = bool(began < _of_one_constant(trainer, first))
    trainer.network.train()
    at = {int(share * steps) for share in _JUDGED_AT} if better else set()

    def learn(learner: loop.Learner, batch: Batch, step: int) -> Tensor:
        loss = loop.update(learner, batch, step)
        if step in at and step and not bool(loss <= _of_one_constant(trainer, batch)):
            raise UnlearnedError(step)
        return loss

    return learn


@torch.no_grad()
def _of_one_constant(trainer: Trainer, batch: Batch) -> Tensor:
    """The loss of a batch of the answers' mean."""
    wanted = batch.answers.logits
    constant = Outputs(wanted.mean(0, keepdim=True).expand_as(wanted))
    found: Tensor = trainer.loss(constant, batch.answers, batch.labels)
    return found
