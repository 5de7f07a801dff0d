"""How fast a training goes: some of its steps, taken for the clock alone and thrown away."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from squeeze.budget import Pace
from squeeze.train import loop

if TYPE_CHECKING:
    from torch import Tensor

    from squeeze.train.batches import Batch
    from squeeze.train.loop import Course, Learner

_WARMING = 3  # steps: the first ones choose kernels and fill caches
_FEWEST, _MOST = 5, 60
SECONDS = 4.0


def pace_of(
    learner: Learner,
    batch_at: Callable[[int], Batch],
    course: Course,
    *,
    learn: Callable[[Learner, Batch, int], Tensor] = loop.update,
    seconds: float = SECONDS,
) -> Pace:
    """The mean over some steps, which change `learner`: it is of no use afterwards. learn: as `loop.steps` takes it;
    seconds: how long at most, for as many steps as tell something."""
    with closing(loop.steps(learner, batch_at, course, learn=learn)) as learned:
        for _ in range(min(_WARMING, course.steps - 1)):
            # Reading the loss waits for an accelerator.
            float(next(learned))
        began, done = time.perf_counter(), 0
        while done < _MOST and (done < _FEWEST or time.perf_counter() - began < seconds):
            if (loss := next(learned, None)) is None:
                break
            float(loss)
            done += 1
        step_s = (time.perf_counter() - began) / done
    began = time.perf_counter()
    watched = learner.quality() is not None
    look_s = time.perf_counter() - began if watched else 0.0
    return Pace(step_s, look_s, loop.WATCHED if watched else 0)
