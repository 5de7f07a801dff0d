"""Regions of images: what is cut out is what torch cuts out there, and it is drawn as the papers draw it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from squeeze.guides import cache_answers, regions
from squeeze.guides.draw import Draws
from squeeze.guides.regions import Regions
from squeeze.progress import Progress
from squeeze.train.compute import Compute
from squeeze.train.student import TrainedStudent, train_student
from tests.train import samples


def draws(n: int) -> Draws:
    return Draws(0, np.arange(n), np.zeros(n, np.int64))


def of(top: float, left: float, height: float, width: float, *, mirrored: bool = False) -> Regions:
    places = (np.array([value]) for value in (top, left, height, width))
    return Regions(*places, np.array([mirrored]))


def test_the_whole_image_is_itself_and_mirrored_the_other_way_round() -> None:
    x = np.random.default_rng(0).normal(size=(1, 2, 5, 7)).astype(np.float32)
    np.testing.assert_allclose(regions.cut(x, of(0, 0, 1, 1)), x, atol=1e-6)
    mirrored = regions.cut(x, of(0, 0, 1, 1, mirrored=True))
    np.testing.assert_allclose(mirrored, x[..., ::-1], atol=1e-6)


def test_a_part_of_a_row_by_hand() -> None:
    x = np.array([0, 10, 20, 30], np.float32).reshape(1, 1, 1, 4)
    # The right half, 2..4: new centres at 2.25, 2.75, 3.25, 3.75, old ones at 2.5 and 3.5.
    found = regions.cut(x, of(0, 0.5, 1, 0.5))
    np.testing.assert_allclose(found.ravel(), [17.5, 22.5, 27.5, 30])


def test_regions_are_those_of_torch() -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(1, 3, 12, 16)).astype(np.float32)
    top, left, height, width = 0.2, 0.1, 0.5, 0.6
    rows = 2 * (top + height * (np.arange(12) + 0.5) / 12) - 1
    columns = 2 * (left + width * (np.arange(16) + 0.5) / 16) - 1
    grid = np.stack(np.broadcast_arrays(columns[None, :], rows[:, None]), -1).astype(np.float32)
    expected = functional.grid_sample(
        torch.from_numpy(x),
        torch.from_numpy(grid[None]),
        padding_mode="border",
        align_corners=False,
    )
    found = regions.cut(x, of(top, left, height, width))
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_areas_aspects_and_places_are_those_of_the_papers() -> None:
    large = regions.drawn(draws(4000), 224 * 224)
    area, aspect = large.height * large.width, large.width / large.height
    assert 0.07 < area.min() < 0.09  # cut off at a side of 1 where it is wide
    assert 0.95 < area.max() <= 1
    assert 3 / 4 - 1e-9 <= aspect.min() < 0.76
    assert 1.32 < aspect.max() <= 4 / 3 + 1e-9
    assert (large.top + large.height).max() <= 1
    assert (large.left + large.width).max() <= 1
    assert large.top.min() < 0.01
    assert 0.45 < large.mirrored.mean() < 0.55
    # Of small images no less than 16 x 16 pixels, and of tiny ones all.
    small = regions.drawn(draws(4000), 32 * 32)
    assert 0.24 < (small.height * small.width).min() < 0.26
    tiny = regions.drawn(draws(10), 8 * 8)
    assert (tiny.height * tiny.width).min() >= 3 / 4


class Stopping(Progress):
    """Ctrl-C in the middle of a training."""

    def update(self, done: int, total: int, note: str = "") -> None:
        if done == 20:
            raise KeyboardInterrupt


def test_a_student_of_sorted_regions_learns_and_goes_on_after_a_kill_to_the_same_bytes(
    tmp_path: Path,
) -> None:
    shape = (1, 20, 20)
    data = samples.calib(shape=shape)
    part = samples.part(
        augment="region",
        steps=40,
        views=4,
        crops=4,
        drop_unsure=0.1,
        label_unsure=0.1,
        thin_sure=0.2,
        keep=0.5,
    )
    teacher = samples.linear_teacher(tmp_path / "teacher", shape, gain=3.0)
    answers = tmp_path / "answers"
    cache_answers(teacher, data, part, seed=0, threads=1, folder=answers, progress=Progress())

    def trained(folder: Path, progress: Progress) -> TrainedStudent:
        return train_student(
            samples.arch(shape),
            data,
            part,
            answers=answers,
            seed=0,
            threads=1,
            compute=Compute.choose("cpu"),
            folder=folder,
            progress=progress,
        )

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", Stopping())
    resumed, whole = (trained(tmp_path / name, Progress()) for name in ("killed", "whole"))
    for name, value in whole.module.state_dict().items():
        assert torch.equal(value, resumed.module.state_dict()[name]), name
    # Three classes: by chance it is a third.
    assert whole.history[-1]["agreement"] > 60
