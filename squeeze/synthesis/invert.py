"""Inputs from noise, by gradient descent on the objective: batches of images that a teacher takes for its own kind."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from squeeze.calib.modality import channel
from squeeze.errors import ConfigError
from squeeze.synthesis.objective import class_loss, prior, statistics_distance
from squeeze.synthesis.views import cropped, shifted, smallest_area
from squeeze.synthesis.watched import NEEDS_DATA, Watched, watch
from squeeze.train.threads import torch_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from squeeze.progress import Progress
    from squeeze.teacher import Teacher

logger = logging.getLogger(__name__)

BATCH_SIZE = 64
BETAS = (0.5, 0.9)


@dataclass(frozen=True)
class Descent:
    """How samples are sought: Adam's rate at the start, and the largest magnitude of a value (None: any)."""

    lr: float
    limit: float | None


# For calibration the statistics count as much as the class (published for training: 0.01 to 0.25 of it): ranges came
# nearer to those of real images.
STATISTICS_WEIGHT = 1.0
NORMED = Descent(0.25, None)
# Nothing holds the values back where the norms are folded, and a class is soon sure. Pixels, which have bounds, are
# rarely beyond two deviations.
FOLDED = Descent(0.1, 2.0)


@dataclass(frozen=True)
class Inverted:
    """Samples [n, ...] float32; how many batch normalisations they match; the share the teacher takes as wanted."""

    x: NDArray[np.float32]
    norms: int
    recognised: float | None


def invert(
    teacher: Teacher,
    count: int,
    *,
    steps: int,
    seed: int,
    threads: int,
    progress: Progress,
) -> Inverted:
    """`count` samples for `teacher`. Same arguments, same samples. torch's random state and threads stay as they were.

    Raises ConfigError when the teacher gives neither batch normalisations nor classes to go by, or cannot be run in
    torch back to its input, or the samples run away.
    """
    with torch_threads(threads):
        generator = torch.Generator().manual_seed(seed)
        run = watch(teacher)
        norms = _examined(teacher, run)
        parts = []
        batches = -(-count // BATCH_SIZE)
        for i, size in enumerate(np.diff(np.linspace(0, count, batches + 1).astype(int)).tolist()):
            work = _Sought(teacher, run, NORMED if norms else FOLDED, generator)
            parts.append(work.samples(size, steps, progress, i, batches))
        x = torch.cat([part for part, _ in parts])
        if not bool(torch.isfinite(x).all()):
            raise ConfigError(f"{teacher.source}: {NEEDS_DATA}: the samples became infinite")
        hits = [hit for _, hit in parts if hit is not None]
        recognised = float(torch.cat(hits).float().mean()) if hits else None
    return Inverted(x.numpy(), norms, recognised)


def _examined(teacher: Teacher, run: Watched) -> int:
    """How many batch normalisations there are. Raises ConfigError when the descent cannot work."""
    x = torch.zeros((2, *teacher.input.shape), requires_grad=True)
    try:
        output, norms = run(x)
    except (RuntimeError, ValueError) as e:
        said = str(e).strip().split("\n")[0]
        raise ConfigError(f"{teacher.source}: {NEEDS_DATA}: torch cannot run it: {said}") from e
    if output.shape != (2, *teacher.output.shape):
        raise ConfigError(
            f"{teacher.source}: {NEEDS_DATA}: the model takes only one sample at once"
        )
    if not output.requires_grad:
        raise ConfigError(
            f"{teacher.source}: {NEEDS_DATA}: no gradient reaches the input of the model"
        )
    classes = len(teacher.output.shape) == 1 and class_loss(
        teacher.output_activation, teacher.output.shape[0]
    )
    if not norms and not classes:
        raise ConfigError(
            f"{teacher.source}: {NEEDS_DATA}: the model has neither batch normalisations nor classes"
        )
    return len(norms)


class _Sought:
    def __init__(
        self, teacher: Teacher, run: Watched, descent: Descent, generator: torch.Generator
    ) -> None:
        self.run, self.descent, self.generator = run, descent, generator
        shape = teacher.input.shape
        self.shape = shape
        self.channels_last = len(shape) == 3 and channel(shape) == 2
        # Axes of the batch along which neighbours are alike: height and width, or time.
        self.positions = [1, 2] if self.channels_last else list(range(2, len(shape) + 1))
        self.channel = 3 if self.channels_last else 1
        outputs = teacher.output.shape
        self.classes = max(2, outputs[0]) if len(outputs) == 1 else 0
        self.loss = class_loss(teacher.output_activation, outputs[0]) if self.classes else None

    def samples(
        self, count: int, steps: int, progress: Progress, batch: int, batches: int
    ) -> tuple[Tensor, Tensor | None]:
        """[count, ...], and whether each is taken for the class that was wanted."""
        x = torch.randn((count, *self.shape), generator=self.generator).requires_grad_(True)
        wanted = torch.randperm(count, generator=self.generator) % max(1, self.classes)
        optimizer = torch.optim.Adam([x], lr=self.descent.lr, betas=BETAS)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = (
                self.descent.lr * (1 + math.cos(math.pi * step / steps)) / 2
            )
            loss = self._objective(self._view(x, step / steps), x, wanted)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if (limit := self.descent.limit) is not None:
                x.data.clamp_(-limit, limit)
            progress.update(batch * steps + step + 1, batches * steps, "steps of synthesis")
        x = x.detach()
        if self.loss is None:
            return x, None
        with torch.no_grad():
            output, _ = self.run(x)
        taken = output.argmax(1) if output.shape[1] > 1 else (output[:, 0] > 0.5).long()
        return x, taken == wanted

    def _objective(self, view: Tensor, x: Tensor, wanted: Tensor) -> Tensor:
        output, norms = self.run(view)
        total = torch.zeros(())
        if self.loss is not None:
            total = total + self.loss(output, wanted)
        if norms:
            return total + STATISTICS_WEIGHT * statistics_distance(norms)
        return total + prior(x, self.positions, self.channel)

    def _view(self, x: Tensor, done: float) -> Tensor:
        if len(self.positions) == 2:
            moved = x.permute(0, 3, 1, 2) if self.channels_last else x
            moved = cropped(moved, smallest_area(done), self.generator)
            x = moved.permute(0, 2, 3, 1) if self.channels_last else moved
        return shifted(x, self.positions, self.generator)
