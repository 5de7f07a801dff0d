"""A training with masks: it learns both of what it is asked, and goes on after a kill with the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from squeeze import calib, students
from squeeze.guides.views import Views
from squeeze.progress import Progress
from squeeze.spec import DistillPart, MaskedPart
from squeeze.train.compute import Compute
from squeeze.train.masked.grid import shared_grid
from squeeze.train.masked.train import MaskedPupil, MaskedTraining, TrainedMasked
from tests.students.test_encoder import random_encoder
from tests.students.test_encoder_images import PARAMS
from tests.train.masked.test_network import SIZE, arch

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.calib import Calib

STEPS = 6


class Killed(Exception):
    """Stands for the end of a process."""


class KilledAt(Progress):
    """Ends a training after so many steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def update(self, done: int, total: int, note: str = "") -> None:
        if done == self.step:
            raise Killed


def smooth(count: int = 96) -> Calib:
    """Images of one wave each, of which a part says the rest."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    phase, slope = (
        random.uniform(0, 6, (count, 3, 1, 1)),
        random.uniform(0.2, 0.5, (count, 1, 1, 1)),
    )
    x = np.sin(slope * rows + slope * columns + phase).astype(np.float32)
    made = calib.from_arrays(
        "waves", fit=x, calibrate=x[:32] * 0.9, evaluate=x[:32] * 0.8, modality="image"
    )
    return made


def train(
    folder: Path, steps: int = STEPS, progress: Progress | None = None, checkpoint_s: float = 0.0
) -> TrainedMasked:
    grid = shared_grid(SIZE, (4, 4), (4, 4))
    assert grid is not None
    return MaskedTraining(
        arch(),
        random_encoder(PARAMS),
        grid,
        smooth(),
        MaskedPart(steps=steps, batch_size=32, share=0.5),
        DistillPart(augment="none"),
        seed=0,
        threads=1,
        compute=Compute.choose("cpu", "fp32"),
    ).train(
        identity="waves",
        folder=folder,
        progress=progress or Progress(),
        checkpoint_s=checkpoint_s,
    )


@pytest.mark.parametrize("step", [1, 4])
def test_killed_training_goes_on_to_the_same_weights(step: int, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole").weights
    with pytest.raises(Killed):
        train(tmp_path / "killed", progress=KilledAt(step))
    resumed = train(tmp_path / "killed").weights
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_training_learns_pixels_and_states_and_gives_a_student_without_its_end(
    tmp_path: Path,
) -> None:
    found = train(tmp_path, steps=100, checkpoint_s=1e9)
    losses = [entry["loss"] for entry in found.history]
    assert losses[-1] < 0.6 * losses[0]
    state = students.build(arch()).state_dict()
    assert found.weights.keys() == {n for n in state if not n.startswith("classifier.")}
    assert all(value.shape == state[n].shape for n, value in found.weights.items())


def test_both_networks_are_shown_the_same_units() -> None:
    grid = shared_grid(SIZE, (4, 4), (4, 4))
    assert grid is not None
    encoder, views = random_encoder(PARAMS), Views(smooth(), DistillPart(augment="none"), 0)
    part = MaskedPart(steps=2, batch_size=8, share=0.5)
    pupil = MaskedPupil(arch(), encoder, grid, views, part, Compute.choose("cpu", "fp32"), seed=0)
    batch = pupil.batch_at(1)
    assert isinstance(batch.x, dict)
    x, order = batch.x["images"], batch.x["order"]
    with torch.no_grad():
        wanted = pupil.teacher(x, order[:, :3])
        mine = pupil.outputs(batch.x)
    assert torch.equal(batch.answers.taps["visible"], wanted)
    assert mine.taps["visible"].shape == wanted.shape
    assert mine.logits.shape == batch.answers.logits.shape == (8, 3, 48)
