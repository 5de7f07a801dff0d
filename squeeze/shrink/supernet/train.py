"""Trains a weight-sharing convolutional network on what its teacher says of views of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.shrink.supernet.learner import Slimmable, sandwich
from squeeze.train import checkpoint, loop
from squeeze.train.quantised.quantise import batches_of
from squeeze.train.supernet.train import TrainedShared
from squeeze.workdir import digest_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from squeeze.progress import Progress
    from squeeze.shrink.supernet.slices import Part, Slices
    from squeeze.train.compute import Compute
    from squeeze.train.quantised.settings import Settings, Source


def train_slices(
    slices: Slices,
    weights: Mapping[str, Tensor],
    parts: Sequence[Part],
    settings: Settings,
    source: Source,
    *,
    between: int,
    identity: str,
    compute: Compute,
    threads: int,
    folder: Path,
    progress: Progress,
) -> TrainedShared:
    """Trains the network of `weights` so that each of `parts` answers as the teacher does.

    identity: of everything that is not an argument here. Checkpoints go to `folder` and are removed at the end; call
    again after a kill to go on. Raises ConfigError when the loss is no longer a number.
    """
    known = digest_json(
        {
            "between": between,
            "compute": compute.key(),
            "identity": identity,
            "parts": [part.key() for part in parts],
            "seed": source.seed,
            "settings": settings.key(),
            "threads": threads,
        }
    )
    with compute.session(threads):
        batches = batches_of(settings, source, compute)
        learner = Slimmable(
            slices,
            weights,
            parts,
            batches,
            compute,
            steps=settings.steps,
            lr=settings.lr,
            between=between,
            seed=source.seed,
        )
        course = loop.Course(
            steps=settings.steps,
            batch_size=settings.batch_size,
            seed=batches.seed,
            checkpoint_s=source.distill.checkpoint_s,
            lr=settings.lr,
            lr_key="shrink.lr",
        )
        history = loop.train(
            learner,
            batches.at,
            course,
            identity=known,
            folder=folder,
            progress=progress,
            learn=sandwich,
        )
        trained = {**weights, **learner.finished()}
    checkpoint.remove_all(folder)
    return TrainedShared(trained, history, f"{loop.words(history)}{settings.steps:,} steps")
