"""Trains a weight-sharing encoder, or one part of it alone, towards what its teacher says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from squeeze.train import checkpoint, loop
from squeeze.train.supernet.learner import SuperLM, sandwich
from squeeze.workdir import digest_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

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


def train_shared(
    shared: Shared,
    children: Sequence[Params],
    told: Told,
    held: Told,
    objective: Objective,
    part: SupernetPart,
    *,
    steps: int,
    identity: str,
    seed: int,
    threads: int,
    compute: Compute,
    folder: Path,
    progress: Progress,
    checkpoint_s: float = 30.0,
) -> TrainedShared:
    """Trains `shared` for `steps` so that each of `children`, parts of it, answers as the teacher does.

    told: to learn from; held: to watch by. identity: of everything that is not an argument here. Checkpoints go to
    `folder` and are removed at the end; call again after a kill to go on. Raises ConfigError when the loss is no longer
    a number.
    """
    known = digest_json(
        {
            "children": [child.model_dump(mode="json") for child in children],
            "compute": compute.key(),
            "identity": identity,
            "part": part.model_dump(mode="json"),
            "seed": seed,
            "steps": steps,
            "threads": threads,
        }
    )
    with compute.session(threads):
        learner = SuperLM(
            shared, children, told, held, objective, part, compute, steps=steps, seed=seed
        )
        course = loop.Course(
            steps=steps,
            batch_size=part.batch_size,
            seed=seed,
            checkpoint_s=checkpoint_s,
            lr=part.lr,
            lr_key="supernet.lr",
        )
        history = loop.train(
            learner,
            learner.batch_at,
            course,
            identity=known,
            folder=folder,
            progress=progress,
            learn=sandwich,
        )
        weights = learner.finished()
    checkpoint.remove_all(folder)
    return TrainedShared(weights, history, f"{loop.words(history)}{steps:,} steps")
