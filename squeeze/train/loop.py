"""The one loop that trains: a fixed number of steps, the same weights for the same seed.

What is trained is a `Learner`: a student, a network at quantised weights, what pruning left. Nothing random is carried
from step to step (batches, order and dropout derive from seed and step), so a training that was killed and goes on from
a checkpoint ends with the same bytes as one that was not.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from squeeze.errors import ConfigError
from squeeze.guides.draw import hashed
from squeeze.losses.loss import Moment
from squeeze.train import checkpoint
from squeeze.train.ahead import ahead
from squeeze.train.batches import Batch
from squeeze.train.checkpoint import Checkpoint, State
from squeeze.train.compute import HOST

if TYPE_CHECKING:
    from squeeze.losses import Loss
    from squeeze.outputs import Outputs
    from squeeze.progress import Progress

logger = logging.getLogger(__name__)

Json = dict[str, Any]  # Any: numbers by name

_CLIP = 5.0  # of the gradient's norm: far above a healthy step, it only tames the outliers of the first ones
WATCHED = 10  # times in a training
_CHECKED = 16  # steps: reading the loss makes an accelerator wait
_WORDS = {
    "agreement": "{:.1f} % agreement",
    "cosine": "{:.1f} % cosine",
    "error": "{:.3f} relative error",
}


class Learner(Protocol):
    """What is trained: its parameters (clipped together), their optimisers, and what is its own in a step."""

    @property
    def loss(self) -> Loss:
        """How far outputs are from answers and labels."""

    @property
    def parameters(self) -> Sequence[nn.Parameter]:
        """All that learn."""

    @property
    def optimisers(self) -> Sequence[torch.optim.Optimizer]:
        """Between them they have all parameters."""

    def begin(self, step: int) -> None:
        """Before a step: its rates, and what happens at this step alone."""

    def outputs(self, x: Any) -> Outputs[Tensor]:  # Any: what its batches hold
        """Logits of a batch on the scale of the lesson, and the taps that the loss needs."""

    def settle(self, step: int) -> None:
        """After the optimisers: what follows from new weights, such as their average."""

    def rate(self, step: int) -> float:
        """The learning rate of a step, for the log."""

    def quality(self) -> tuple[str, float] | None:
        """Name and value of how good it is by now; None where that is not watched."""

    def state(self) -> State:
        """Everything that the next step depends on, beside seed and step."""

    def restore(self, found: Checkpoint) -> None:
        """Goes back to the state of a checkpoint."""


@dataclass(frozen=True)
class Course:
    """How long a training takes. `checkpoint_s`: seconds between two checkpoints, 0 for one each step; `lr`: the peak
    rate, `lr_key`: its name in a recipe, for the advice to lower it; `patience`: how often in a row it may be watched
    to be no better before it ends, 0 for as often as there are steps."""

    steps: int
    batch_size: int
    seed: int
    checkpoint_s: float
    lr: float
    lr_key: str
    patience: int = 0


def train(
    learner: Learner,
    batch_at: Callable[[int], Batch],
    course: Course,
    *,
    identity: str,
    folder: Path,
    progress: Progress,
    learn: Callable[[Learner, Batch, int], Tensor] | None = None,
) -> list[Json]:
    """Trains to the end, or until it is `stale`; returns the history: step, loss, lr, samples_per_s and the learner's
    quality, some ten times.

    Checkpoints go to `folder`, those of another `identity` are dropped; the caller removes them when it needs them no
    more. learn: as `steps` takes it. Raises ConfigError when the loss is no longer a number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first, history = 0, []
    if (found := checkpoint.read_last(folder, identity)) is not None:
        first, history = found.step, found.history
        learner.restore(found)
        logger.info("going on from step %d of %d", first, course.steps)
    if stale(history, course.patience):
        return history
    began = stored = time.monotonic()
    with closing(steps(learner, batch_at, course, first, learn=learn or update)) as learned:
        for done, loss in enumerate(learned, first + 1):
            now = time.monotonic()
            speed = round((done - first) * course.batch_size / (now - began))
            last = done == course.steps
            watched = last or done % max(1, course.steps // WATCHED) == 0
            kept = last or now - stored >= course.checkpoint_s
            if watched or kept or done % _CHECKED == 0:
                _check(float(loss), done, course)
            if watched:
                entry = {"step": done, "loss": float(loss), "lr": learner.rate(done - 1)}
                if (quality := learner.quality()) is not None:
                    entry[quality[0]] = quality[1]
                history.append({**entry, "samples_per_s": speed})
            if kept:
                checkpoint.write(folder, Checkpoint(done, learner.state(), history), identity)
                stored = now
            progress.update(done, course.steps, f"{words(history)}{speed:,} samples/s")
            if watched and stale(history, course.patience):
                logger.info("no better for %d looks: stopped after step %d", course.patience, done)
                break
    return history


def stale(history: Sequence[Json], patience: int) -> bool:
    """Whether the last `patience` looks found nothing better than one before them did. A pure function of what was
    seen, so that a resumed training stops where another does. Never where the quality is not watched."""
    name = next((n for n in _WORDS if history and n in history[-1]), None)
    if not patience or name is None or len(history) <= patience:
        return False
    sign = -1 if name == "error" else 1
    seen = [sign * entry[name] for entry in history]
    return bool(max(seen[-patience:]) <= max(seen[:-patience]))


def update(learner: Learner, batch: Batch, step: int) -> Tensor:
    """Learns from one batch; returns the loss, without waiting for it."""
    loss: Tensor = learner.loss(learner.outputs(batch.x), batch.answers, batch.labels)
    for optimiser in learner.optimisers:
        optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch has no annotation there
    nn.utils.clip_grad_norm_(learner.parameters, _CLIP, foreach=True)
    for optimiser in learner.optimisers:
        optimiser.step()
    learner.settle(step)
    return loss.detach()


def steps(
    learner: Learner,
    batch_at: Callable[[int], Batch],
    course: Course,
    first: int = 0,
    *,
    learn: Callable[[Learner, Batch, int], Tensor] = update,
) -> Generator[Tensor, None, None]:
    """The training from step `first` on, a step each time that something is asked for: its loss, without waiting.

    batch_at: a pure function of the step, which on a CPU another thread calls for the next one.
    learn: `update`, or the same in a form that an accelerator has recorded.
    """
    # An accelerator works on its own while the host makes the next batch, and records no other thread's copies.
    at_hand = all(p.device.type == HOST for p in learner.parameters)
    with ahead(batch_at, course.steps) if at_hand else nullcontext(batch_at) as batches:
        for step in range(first, course.steps):
            learner.begin(step)
            # For modules that draw themselves, such as dropout and stochastic rounding.
            torch.manual_seed(int(hashed(course.seed, step)[0] >> np.uint64(1)))
            batch = batches(step)
            learner.loss.begin(Moment(step, course.steps, batch.seen))
            yield learn(learner, batch, step)


def words(history: list[Json]) -> str:
    """How good the learner was when it was last watched, for people; empty where it is not."""
    for name, text in _WORDS.items():
        if history and name in history[-1]:
            return text.format(history[-1][name]) + " · "
    return ""


def _check(loss: float, done: int, course: Course) -> None:
    if math.isfinite(loss):
        return
    raise ConfigError(
        f"{course.lr_key}: at {course.lr:g} the loss became {loss} by step {done} of {course.steps}; lower it, such as"
        f" --set {course.lr_key}={course.lr / 4:g}"
    )
