"""Batches made ahead: the same ones, once each, in order; their errors arrive; the thread ends."""

from __future__ import annotations

import math
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from squeeze.errors import ConfigError
from squeeze.guides import ask_live
from squeeze.guides.views import Views
from squeeze.outputs import Outputs
from squeeze.progress import Progress
from squeeze.train import loop
from squeeze.train.ahead import ahead
from squeeze.train.batches import Batch, Batches, only_input
from squeeze.train.compute import Compute
from squeeze.train.lesson import lesson_of
from squeeze.train.pupil import Pupil
from tests.train import samples

STEPS = 6


def numbered(step: int) -> Batch:
    return Batch(torch.tensor([step]), Outputs(torch.tensor([10 * step])), None)


def threads() -> set[str]:
    return {t.name for t in threading.enumerate() if t.name.startswith("batches")}


def test_each_batch_is_made_once_and_the_next_one_is_begun() -> None:
    made: list[int] = []
    second = threading.Event()

    def counted(step: int) -> Batch:
        made.append(step)
        if step == 1:
            second.set()
        return numbered(step)

    with ahead(counted, STEPS) as batches:
        assert batches(0).x == torch.tensor([0])
        assert second.wait(60)  # nobody has asked for it
        for step in range(1, STEPS):
            assert batches(step).x == torch.tensor([step])
    assert made == list(range(STEPS))  # and none beyond the last


def test_what_a_batch_raises_arrives_at_its_step_and_the_thread_ends() -> None:
    def broken(step: int) -> Batch:
        if step == 2:
            raise ConfigError("data.npz: became shorter")
        return numbered(step)

    with ahead(broken, STEPS) as batches:
        batches(0)
        assert batches(1).x == torch.tensor([1])
        with pytest.raises(ConfigError, match="became shorter"):
            batches(2)
    assert not threads()


def test_the_thread_ends_with_a_training_that_is_left(tmp_path: Path) -> None:
    pupil, batches, course = training(tmp_path)
    with closing(loop.steps(pupil, batches.at, course)) as steps:
        next(steps)
        assert len(threads()) == 1
    assert not threads()


def test_the_thread_ends_where_the_loss_is_no_number(tmp_path: Path) -> None:
    pupil, batches, course = training(tmp_path / "teacher")

    def broken(step: int) -> Batch:
        batch = batches.at(step)
        return replace(batch, x=only_input(batch.x) * math.nan)

    with pytest.raises(ConfigError, match=r"the loss became nan by step 1") as told:
        loop.train(pupil, broken, course, identity="", folder=tmp_path, progress=Progress())
    assert told.tb is not None  # which would keep alive what nobody has closed
    assert not threads()


def test_weights_are_those_of_a_training_that_makes_each_batch_in_its_step(tmp_path: Path) -> None:
    pupil, batches, course = training(tmp_path)
    losses = [loss.item() for loss in loop.steps(pupil, batches.at, course)]
    other, batches, _ = training(tmp_path)
    expected = []
    for step in range(STEPS):
        other.begin(step)
        expected.append(loop.update(other, batches.at(step), step).item())
    assert losses == expected
    found, wanted = pupil.finished().state_dict(), other.finished().state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def training(folder: Path) -> tuple[Pupil, Batches, loop.Course]:
    """A student without dropout before its first step, its guide a teacher who is asked in each."""
    data, part = samples.calib(), samples.part(steps=STEPS)
    views = Views(data, part, 0)
    guide = ask_live(samples.linear_teacher(folder, (1, 8, 8)), views, threads=1)
    lesson = lesson_of(part, data, guide, "none")
    batches = Batches(data, views, guide, lesson, part.batch_size, 0, "cpu")
    compute = Compute("cpu", torch.float32, torch.float32)
    pupil = Pupil(samples.arch(), part, batches, compute, seed=0)
    return pupil, batches, loop.Course(STEPS, part.batch_size, 0, 100, part.lr, "distill.lr")
