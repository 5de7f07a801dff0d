"""The cache of answers: what is stored, and what survives kills and damage."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from squeeze.errors import ConfigError, MeasureError
from squeeze.guides import Cached, answers, cache_answers, open_answers
from squeeze.guides.views import Views
from squeeze.progress import Progress
from tests.train import samples


class Killed(BaseException):
    pass


class Recorder(Progress):
    """Remembers the updates; stops the run after so many of them."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.updates: list[tuple[int, int, str]] = []
        self.stop_after = stop_after

    def update(self, done: int, total: int, note: str = "") -> None:
        self.updates.append((done, total, note))
        if len(self.updates) == self.stop_after:
            raise Killed


def cached(folder: Path, progress: Progress | None = None, *, n: int = 200, seed: int = 3) -> None:
    cache_answers(
        samples.linear_teacher(folder / "model", (1, 8, 8)),
        samples.calib(n=n),
        samples.part(),
        seed=seed,
        threads=1,
        folder=folder / "answers",
        progress=progress or Progress(),
    )


def opened(folder: Path, *, n: int = 200, seed: int = 3) -> Cached:
    views = Views(samples.calib(n=n), samples.part(), seed)
    return open_answers(views, folder=folder / "answers")


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((folder / "answers").iterdir())}


def test_answers_are_the_teacher_on_the_replayed_views(tmp_path: Path) -> None:
    cached(tmp_path)
    found = opened(tmp_path)
    rows = np.array([5, 199, 0, 5])
    views = np.array([1, 0, 1, 0])
    x = Views(samples.calib(), samples.part(), 3).at(rows, views).x
    weight, bias = samples.linear(64, 3)
    expected = x.reshape(4, -1) @ weight + bias
    np.testing.assert_allclose(found.at(rows, views).logits, expected, rtol=2e-3, atol=2e-3)
    assert found.logits[0].dtype == np.float16
    data = samples.calib()
    plain = data.inputs(data.calibrate).reshape(60, -1) @ weight + bias
    np.testing.assert_allclose(found.plain, plain, rtol=2e-3, atol=2e-3)


def test_disk_is_two_bytes_a_class_and_view(tmp_path: Path) -> None:
    cached(tmp_path)
    files = contents(tmp_path)
    assert sorted(files) == ["answers.json", "calibrate.npy", "view_00.npy", "view_01.npy"]
    assert len(files["view_00.npy"]) == 200 * 3 * 2 + 128  # the header of .npy


def test_a_run_that_was_stopped_makes_only_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "CHUNK", 64)
    cached(tmp_path / "whole")
    with pytest.raises(Killed):
        cached(tmp_path / "halved", Recorder(stop_after=6))
    assert "view_00.npy" in contents(tmp_path / "halved")
    second = Recorder()
    cached(tmp_path / "halved", second)
    assert second.updates[-1][:2] == (400, 400)
    assert [done for done, _, note in second.updates if not note] == [200, 264, 328]
    whole, halved = contents(tmp_path / "whole"), contents(tmp_path / "halved")
    assert {n: b for n, b in halved.items() if n.endswith(".npy")} == {
        n: b for n, b in whole.items() if n.endswith(".npy")
    }


@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_a_damaged_file_is_said_and_made_again(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    cached(tmp_path)
    before = contents(tmp_path)
    path = tmp_path / "answers" / "view_01.npy"
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(data[:-7])
    else:
        data[-1] ^= 4
        path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        cached(tmp_path)
    assert "view_01.npy: damaged; made again" in caplog.text
    assert contents(tmp_path) == before


def test_answers_of_another_seed_are_not_mixed_in(tmp_path: Path) -> None:
    cached(tmp_path, seed=3)
    with pytest.raises(ConfigError, match="other data, views or seed"):
        opened(tmp_path, seed=4)
    cached(tmp_path, seed=4)
    assert opened(tmp_path, seed=4).logits[0].shape == (200, 3)


def test_opening_what_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cache of answers is missing or damaged"):
        opened(tmp_path)


def test_huge_class_logits_stay_finite_in_half_precision(tmp_path: Path) -> None:
    teacher = samples.linear_teacher(tmp_path / "model", (1, 8, 8), gain=1e6)
    data, part = samples.calib(), samples.part(views=1)
    cache_answers(
        teacher, data, part, seed=0, threads=1, folder=tmp_path / "answers", progress=Progress()
    )
    found = open_answers(Views(data, part, 0), folder=tmp_path / "answers")
    assert np.isfinite(found.logits[0]).all()
    assert np.abs(found.logits[0]).max() == 60_000


def test_values_keep_single_precision(tmp_path: Path) -> None:
    teacher = samples.linear_teacher(tmp_path / "model", (6,), outputs=1, offset=1e5)
    data, part = samples.calib("vector", classes=None, metric="mse"), samples.part(views=1)
    cache_answers(
        teacher, data, part, seed=0, threads=1, folder=tmp_path / "answers", progress=Progress()
    )
    found = open_answers(Views(data, part, 0), folder=tmp_path / "answers")
    assert found.logits[0].dtype == np.float32
    mean, spread = found.moments()
    assert mean[0] == pytest.approx(1e5, rel=1e-3)
    assert 0.1 < spread < 10


def test_a_teacher_that_gives_infinity_is_refused(tmp_path: Path) -> None:
    teacher = samples.linear_teacher(tmp_path / "model", (1, 8, 8), gain=1e38)
    with pytest.raises(MeasureError, match="NaN or infinite outputs"):
        cache_answers(
            teacher,
            samples.calib(),
            samples.part(),
            seed=0,
            threads=1,
            folder=tmp_path / "answers",
            progress=Progress(),
        )
