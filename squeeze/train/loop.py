"""Trains a student on the cached answers of its teacher: a fixed number of steps, the same weights for the same seed.

Nothing random is carried from step to step (views, order and dropout derive from seed and step), so a training that was
killed and goes on from a checkpoint ends with the same bytes as one that was not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from squeeze.guides.answers import open_labels
from squeeze.guides.views import Views
from squeeze.train import checkpoint
from squeeze.train.checkpoint import Checkpoint
from squeeze.train.training import Training
from squeeze.workdir import digest_json

if TYPE_CHECKING:
    from squeeze.calib import Calib
    from squeeze.progress import Progress
    from squeeze.spec import ArchSpec, DistillPart

logger = logging.getLogger(__name__)

_MONITORED = 10  # times in a training
_WORDS = {
    "agreement": "{:.1f} % agreement",
    "cosine": "{:.1f} % cosine",
    "error": "{:.3f} relative error",
}


@dataclass(frozen=True)
class DistillResult:
    """`module`: in eval mode, averaged weights. `history`: dicts of step, loss, lr, samples_per_s, and how near the
    student is to the teacher on the calibrate split (agreement or cosine in points, or relative error)."""

    module: nn.Module
    history: list[dict[str, Any]]  # Any: numbers by name, JSON
    summary: str


def distill(
    arch: ArchSpec,
    calib: Calib,
    part: DistillPart,
    *,
    labels: Path,
    seed: int,
    threads: int,
    folder: Path,
    progress: Progress,
) -> DistillResult:
    """Trains a fresh student of `arch` for `part.steps` steps on the labels that `cache_labels` left in `labels`.

    Checkpoints go to `folder` and are removed at the end; call again after a kill to go on. Raises ConfigError (unknown
    loss or augmentation, labels for something else, a learning rate at which the loss is no longer a number).
    """
    views = Views(calib, part, seed)
    known = open_labels(views, folder=labels)
    key = digest_json(
        {
            "arch": arch.model_dump(mode="json"),
            "calibrate": calib.calibrate.digest,
            "labels": known.digest,
            "metric": calib.metric,
            "part": part.model_dump(mode="json", exclude={"checkpoint_steps"}),
            "seed": seed,
            "threads": threads,
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    with torch_threads(threads):
        training = Training(arch, calib, part, views, known, seed=seed)
        first, history = 0, []
        if (found := checkpoint.read_last(folder, key)) is not None:
            first, history = found.step, found.history
            training.restore(found)
            logger.info("going on from step %d of %d", first, part.steps)
        began = time.monotonic()
        for step in range(first, part.steps):
            loss = training.step(step)
            done = step + 1
            speed = round((done - first) * part.batch_size / (time.monotonic() - began))
            if done % max(1, part.steps // _MONITORED) == 0 or done == part.steps:
                name, value = training.quality()
                rate = training.rate(step)
                history.append(
                    {"step": done, "loss": loss, "lr": rate, name: value, "samples_per_s": speed}
                )
            if done % part.checkpoint_steps == 0 or done == part.steps:
                checkpoint.write(folder, Checkpoint(done, training.state(), history), key)
            progress.update(done, part.steps, f"{_words(history)}{speed:,} samples/s")
        module = training.finished()
    checkpoint.remove_all(folder)
    return DistillResult(module, history, f"{_words(history)}{part.steps:,} steps")


def _words(history: list[dict[str, Any]]) -> str:
    for name, text in _WORDS.items():
        if history and name in history[-1]:
            return text.format(history[-1][name]) + " · "
    return ""


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Torch with this many threads and a generator of our own; as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(before)
