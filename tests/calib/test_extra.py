"""Samples without labels beside those of a set: each once, stored alike, none of them among what judges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze import calib
from squeeze.calib.extra import with_extra
from squeeze.errors import ConfigError


def images(path: Path, x: np.ndarray, y: np.ndarray | None = None) -> calib.Calib:
    np.savez(path, x=x, **({} if y is None else {"y": y}))
    return calib.load(str(path))


def pictures(count: int, seed: int, side: int = 4) -> np.ndarray:
    shape = (count, side, side, 3)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def test_samples_are_added_to_those_that_train(tmp_path: Path) -> None:
    data = images(tmp_path / "a.npz", pictures(60, 0), np.arange(60) % 3)
    more = images(tmp_path / "b.npz", pictures(25, 1))
    found = with_extra(data, [more])
    assert len(found.fit) == len(data.fit) + 25
    assert (data.fit.extra, found.fit.extra) == (0, 25)
    np.testing.assert_array_equal(found.fit.x[: len(data.fit)], data.fit.x[:])
    rows = {row.tobytes() for row in np.asarray(found.fit.x[len(data.fit) :])}
    assert rows == {row.tobytes() for row in pictures(25, 1)}
    assert found.fit.y is None
    assert found.calibrate is data.calibrate
    assert found.evaluate is data.evaluate
    assert found.digest != data.digest
    assert any("25 more samples to fit with" in words for words in found.assumed)
    assert any("labels of the samples to fit with are not used" in w for w in found.assumed)


def test_what_judges_is_not_trained_on_and_nothing_is_there_twice(tmp_path: Path) -> None:
    x = pictures(60, 0)
    data = images(tmp_path / "a.npz", x)
    more = images(tmp_path / "b.npz", np.concatenate([x, pictures(5, 2), pictures(5, 2)]))
    found = with_extra(data, [more])
    assert len(found.fit) == len(data.fit) + 5
    assert any("5 more samples to fit with, 65 were there already" in w for w in found.assumed)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (pictures(9, 1, side=5), r"are uint8 \[5, 5, 3\], those of .* are uint8 \[4, 4, 3\]"),
        (pictures(9, 1).astype(np.float32), r"are float32 \[4, 4, 3\], those of"),
    ],
)
def test_samples_that_are_stored_otherwise_are_refused(
    tmp_path: Path, other: np.ndarray, message: str
) -> None:
    data = images(tmp_path / "a.npz", pictures(60, 0))
    with pytest.raises(ConfigError, match=f"--extra .*b.npz: samples of input 'x' {message}"):
        with_extra(data, [images(tmp_path / "b.npz", other)])


def test_no_other_data_change_nothing(tmp_path: Path) -> None:
    data = images(tmp_path / "a.npz", pictures(60, 0), np.arange(60) % 3)
    assert with_extra(data, []) is data
