"""Sets as people have them at first: without anything to train with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze import calib
from squeeze.interface import Interface, TensorSpec

INTERFACE = Interface((TensorSpec("x", "float32", (8,)),), (TensorSpec("y", "float32", (3,)),))
RNG = np.random.default_rng(0)


def test_validation_and_test_arrays_with_labels_are_enough(tmp_path: Path) -> None:
    x, y = RNG.standard_normal((12, 8)).astype(np.float32), np.arange(12) % 3
    np.savez(tmp_path / "d.npz", x_val=x, y_val=y, x_test=x + 1, y_test=y)
    found = calib.load(str(tmp_path / "d.npz"), trained=False).fitted(INTERFACE)
    assert [len(part) for part in (found.fit, found.calibrate, found.evaluate)] == [0, 12, 12]


def test_folders_of_validation_and_test_images_are_splits(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed: pip install pillow")
    for split in ("val", "test"):
        for name in ("bird", "cat"):
            place = tmp_path / "d" / split / name
            place.mkdir(parents=True)
            for i in range(6):
                image.fromarray(RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(
                    place / f"{i}.png"
                )
    found = calib.load(str(tmp_path / "d"), trained=False)
    assert [len(part) for part in (found.fit, found.calibrate, found.evaluate)] == [0, 12, 12]
    assert found.class_names == ("bird", "cat")


def test_samples_of_many_axes_of_one_are_flattened(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=RNG.standard_normal((50, *(1,) * 20, 8)).astype(np.float32))
    found = calib.load(str(tmp_path / "d.npz")).fitted(INTERFACE)
    assert found.feed(found.fit, 0, 2)["x"].shape == (2, 8)
