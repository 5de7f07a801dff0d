"""Checkpoints come by time, whatever a step takes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from squeeze.guides import cache_answers
from squeeze.progress import Progress
from squeeze.spec import DistillPart
from squeeze.train.compute import Compute
from squeeze.train.student import train_student
from tests.train import samples

STEPS = 12


class Watching(Progress):
    """Lets ten seconds go by with each step, and keeps which checkpoints lie there after it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seconds, self.seen = folder, 0.0, dict[int, list[int]]()

    def now(self) -> float:
        self.seconds += 1e-6  # as no clock tells the same time twice
        return self.seconds

    def update(self, done: int, total: int, note: str = "") -> None:
        there = sorted(self.folder.glob("checkpoint_*.json"))
        self.seen[done] = [int(path.stem.removeprefix("checkpoint_")) for path in there]
        self.seconds += 10.0


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answers")
    cache_answers(
        samples.linear_teacher(folder / "model", (1, 8, 8)),
        samples.calib(),
        samples.part(),
        seed=5,
        threads=1,
        folder=folder / "answers",
        progress=Progress(),
    )
    return folder / "answers"


@pytest.mark.parametrize(
    ("checkpoint_s", "wanted"),
    [(30.0, [4, 7, 10]), (50.0, [6, 11]), (0.0, [*range(1, STEPS)]), (1000.0, [])],
)
def test_checkpoints_are_as_far_apart_as_asked(
    checkpoint_s: float,
    wanted: list[int],
    answers: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watching = Watching(tmp_path / "checkpoints")
    monkeypatch.setattr(time, "monotonic", watching.now)
    train_student(
        samples.arch(),
        samples.calib(),
        samples.part(steps=STEPS, checkpoint_s=checkpoint_s),
        answers=answers,
        seed=5,
        threads=1,
        compute=Compute.choose("cpu"),
        folder=tmp_path / "checkpoints",
        progress=watching,
    )
    written = sorted({step for there in watching.seen.values() for step in there} - {STEPS})
    assert written == wanted


def test_half_a_minute_is_the_default() -> None:
    assert DistillPart().checkpoint_s == 30.0
