"""Trains a weight-sharing encoder, or one part of it alone, towards what its teacher says."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from squeeze.train import checkpoint, loop
from squeeze.train.pace import pace_of
from squeeze.train.supernet.learner import SuperLM, sandwich
from squeeze.workdir import digest_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from squeeze.budget import Pace
    from squeeze.progress import Progress
    from squeeze.spec import SupernetPart
    from squeeze.students.encoder import Params
    from squeeze.train.compute import Compute
    from squeeze.train.supernet.learner import Shared
    from squeeze.train.supernet.objective import Objective
    from squeeze.train.supernet.states import Told


@dataclass(frozen=True)
class TrainedShared:
    """weights: of the whole network. history: as `loop.train` tells it."""

    weights: dict[str, Tensor]
    history: list[dict[str, Any]]  # Any: numbers by name, JSON
    summary: str


@dataclass(frozen=True)
class SharedTraining:
    """A training of `shared` before its first step: `steps` of them, so that each of `children`, parts of it, answers
    as the teacher does. told: to learn from; held: to watch by."""

    shared: Shared
    children: Sequence[Params]
    told: Told
    held: Told
    objective: Objective
    part: SupernetPart
    steps: int
    seed: int
    threads: int
    compute: Compute

    def train(
        self, *, identity: str, folder: Path, progress: Progress, checkpoint_s: float = 30.0
    ) -> TrainedShared:
        """Trains it. identity: of everything that is not said here.

        Checkpoints go to `folder` and are removed at the end; call again after a kill to go on. Raises ConfigError when
        the loss is no longer a number.
        """
        known = digest_json(
            {
                "children": [child.model_dump(mode="json") for child in self.children],
                "compute": self.compute.key(),
                "identity": identity,
                "part": self.part.model_dump(mode="json"),
                "seed": self.seed,
                "steps": self.steps,
                "threads": self.threads,
            }
        )
        with self.compute.session(self.threads):
            learner = self._learner()
            history = loop.train(
                learner,
                learner.batch_at,
                self._course(checkpoint_s),
                identity=known,
                folder=folder,
                progress=progress,
                learn=sandwich,
            )
            weights = learner.finished()
        checkpoint.remove_all(folder)
        return TrainedShared(weights, history, f"{loop.words(history)}{self.steps:,} steps")

    def pace(self) -> tuple[Pace, float]:
        """How fast it would go, by some steps of it; and the seconds of a step of one part alone, on the average."""
        with self.compute.session(self.threads):
            learner = self._learner()
            found = pace_of(learner, learner.batch_at, self._course(0), learn=sandwich)
            return found, found.step_s / len(learner.drawn(0))

    def scoring_s(self, samples: int) -> float:
        """Seconds in which each of `children` is asked about so many held-out samples: the mean of the largest and the
        smallest, by one batch."""
        with self.compute.session(self.threads):
            learner = self._learner()
            batches = learner.held_batches(samples)
            ends = (self.children[0], self.children[-1])
            for child in ends:  # the first time fills caches
                learner.held_loss(child, batches[:1])
            began = time.perf_counter()
            for child in ends:
                learner.held_loss(child, batches[:1])
            each = (time.perf_counter() - began) / len(ends)
        return each * len(batches) * len(self.children)

    def _learner(self) -> SuperLM:
        return SuperLM(
            self.shared,
            self.children,
            self.told,
            self.held,
            self.objective,
            self.part,
            self.compute,
            steps=self.steps,
            seed=self.seed,
        )

    def _course(self, checkpoint_s: float) -> loop.Course:
        return loop.Course(
            steps=self.steps,
            batch_size=self.part.batch_size,
            seed=self.seed,
            checkpoint_s=checkpoint_s,
            lr=self.part.lr,
            lr_key="supernet.lr",
        )
