from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import cases
from benchmarks.cases import CASES, Case, MissingData
from squeeze import calib


@pytest.fixture
def tiny_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set of images that needs no data folder."""
    rng = np.random.default_rng(0)

    def make() -> cases.Arrays:
        return {
            "x_train": rng.integers(0, 256, (40, 4, 4, 3), np.uint8),
            "y_train": np.arange(40) % 2,
            "x_test": rng.integers(0, 256, (10, 4, 4, 3), np.uint8),
            "y_test": np.arange(10) % 2,
        }

    monkeypatch.setitem(cases.IMAGES, "tiny", make)


@pytest.mark.usefixtures("tiny_images")
def test_calibration_file_is_read_by_squeeze_as_meant(tmp_path: Path) -> None:
    case = Case("small", "none.pt2", "tiny", scale="1/255", mean=(0.1, 0.2, 0.3), std=(1, 2, 4))
    found = calib.load(case.calib(tmp_path))
    assert (found.name, found.metric, found.classes) == ("small", "top1", 2)
    assert (len(found.fit) + len(found.calibrate), len(found.evaluate)) == (40, 10)
    stored = np.load(tmp_path / "tiny.npz")["x_test"][:1].transpose(0, 3, 1, 2)
    mean, std = (np.reshape(v, (1, 3, 1, 1)) for v in ((0.1, 0.2, 0.3), (1, 2, 4)))
    got = found.preprocess.apply(np.load(tmp_path / "tiny.npz")["x_test"][:1])
    np.testing.assert_allclose(got, (stored / 255 - mean) / std, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("tiny_images")
def test_case_without_scaling_keeps_the_range_of_the_pixels(tmp_path: Path) -> None:
    found = calib.load(Case("raw", "none.pt2", "tiny").calib(tmp_path))
    assert found.preprocess.scale == 1.0


@pytest.mark.usefixtures("tiny_images")
def test_images_are_decoded_once(tmp_path: Path) -> None:
    case = Case("small", "none.pt2", "tiny")
    case.calib(tmp_path)
    before = (tmp_path / "tiny.npz").read_bytes()
    case.calib(tmp_path)
    assert (tmp_path / "tiny.npz").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["small.toml", "tiny.npz"]


def test_missing_data_is_said_with_its_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SQUEEZE_DATA", str(tmp_path))
    with pytest.raises(MissingData, match=r"resnet56_jpeg\.pt2: not found.*SQUEEZE_DATA"):
        CASES["cifar-resnet56"].teacher_path()


def test_bundled_case_needs_no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEEZE_DATA", "/nonexistent")
    assert CASES["fashion"].calib() == "fashion"
    assert CASES["fashion"].teacher_path().is_file()


@pytest.mark.data
def test_wake_words_are_split_in_halves_of_equal_classes_without_a_shared_image() -> None:
    try:
        arrays = cases.wake_words()
    except MissingData as e:
        pytest.skip(str(e))
    assert np.bincount(arrays["y_train"]).tolist() == [250, 250]
    assert np.bincount(arrays["y_test"]).tolist() == [250, 250]
    fitted = {x.tobytes() for x in arrays["x_train"]}
    assert not [x for x in arrays["x_test"] if x.tobytes() in fitted]
