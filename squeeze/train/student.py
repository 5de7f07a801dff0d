"""Trains a student on what a guide says of views of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file
from torch import nn

from squeeze.guides import Guide, open_answers
from squeeze.guides.views import Views
from squeeze.train import checkpoint, loop
from squeeze.train.batches import Batches
from squeeze.train.lesson import lesson_of
from squeeze.train.order import Order
from squeeze.train.pace import pace_of
from squeeze.train.pupil import Pupil
from squeeze.workdir import digest_file, digest_json

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.budget import Pace
    from squeeze.calib import Calib
    from squeeze.progress import Progress
    from squeeze.spec import ArchSpec, DistillPart
    from squeeze.train.compute import Compute


@dataclass(frozen=True)
class TrainedStudent:
    """`module`: in eval mode, averaged weights. `history`: dicts of step, loss, lr, samples_per_s, and how near the
    student is to the teacher on the calibrate split (agreement or cosine in points, or relative error)."""

    module: nn.Module
    history: list[dict[str, Any]]  # Any: numbers by name, JSON
    summary: str


def train_student(
    arch: ArchSpec,
    calib: Calib,
    part: DistillPart,
    *,
    answers: Path,
    seed: int,
    threads: int,
    compute: Compute,
    folder: Path,
    progress: Progress,
    begin: Path | None = None,
) -> TrainedStudent:
    """`learn_from` the answers that `guides.cache_answers` left in the folder `answers` for the same data and seed.

    Raises ConfigError as `learn_from`, and for answers to something else.
    """
    views = Views(calib, part, seed)
    return learn_from(
        open_answers(views, folder=answers),
        arch,
        calib,
        part,
        views=views,
        seed=seed,
        threads=threads,
        compute=compute,
        folder=folder,
        progress=progress,
        begin=begin,
    )


def learn_from(
    guide: Guide,
    arch: ArchSpec,
    calib: Calib,
    part: DistillPart,
    *,
    views: Views,
    seed: int,
    threads: int,
    compute: Compute,
    folder: Path,
    progress: Progress,
    begin: Path | None = None,
) -> TrainedStudent:
    """Trains a student of `arch` for `part.steps` steps on what `guide` says of `views`: a fresh one, or one that has
    the weights `begin` (.safetensors) that another training ended with.

    Checkpoints go to `folder` and are removed at the end; call again after a kill to go on. Raises ConfigError (unknown
    loss or augmentation, a tap that is not there, a learning rate at which the loss is no longer a number).
    """
    began = {} if begin is None else {"begin": digest_file(begin)}
    identity = digest_json(
        {
            **began,
            "arch": arch.model_dump(mode="json"),
            "calibrate": calib.calibrate.digest,
            "compute": compute.key(),
            "guide": guide.key(),
            "metric": calib.metric,
            "part": part.model_dump(mode="json", exclude={"checkpoint_s"}),
            "seed": seed,
            "threads": threads,
        }
    )
    with compute.session(threads):
        pupil, course = _in_training(guide, arch, calib, part, views, seed, compute, begin)
        history = loop.train(
            pupil, pupil.batches.at, course, identity=identity, folder=folder, progress=progress
        )
        module = pupil.finished()
    checkpoint.remove_all(folder)
    return TrainedStudent(module, history, f"{loop.words(history)}{_took(history, part.steps)}")


def _took(history: list[dict[str, Any]], steps: int) -> str:  # Any: JSON
    done = history[-1]["step"]
    return f"{steps:,} steps" if done == steps else f"no better after {done:,} of {steps:,} steps"


def pace_of_student(
    arch: ArchSpec,
    calib: Calib,
    part: DistillPart,
    *,
    answers: Path,
    seed: int,
    threads: int,
    compute: Compute,
) -> Pace:
    """How fast `train_student` would go, by some steps of it. Raises as it does."""
    views = Views(calib, part, seed)
    guide = open_answers(views, folder=answers)
    with compute.session(threads):
        pupil, course = _in_training(guide, arch, calib, part, views, seed, compute)
        return pace_of(pupil, pupil.batches.at, course)


def _in_training(
    guide: Guide,
    arch: ArchSpec,
    calib: Calib,
    part: DistillPart,
    views: Views,
    seed: int,
    compute: Compute,
    begin: Path | None = None,
) -> tuple[Pupil, loop.Course]:
    """A student before its first step."""
    activation = str(arch.params.get("output_activation", "none"))
    lesson = lesson_of(part, calib, guide, activation)
    order = Order.of(part, guide, views)
    batches = Batches(
        calib, views, guide, lesson, part.batch_size, seed, compute.device, order=order
    )
    course = loop.Course(
        steps=part.steps,
        batch_size=part.batch_size,
        seed=seed,
        checkpoint_s=part.checkpoint_s,
        lr=part.lr,
        lr_key="distill.lr",
        patience=part.patience,
    )
    weights = None if begin is None else load_file(begin)
    return Pupil(arch, part, batches, compute, seed=seed, weights=weights), course
