"""Preprocessings by name, against the formulas of those who use them, written out in NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze import calib
from squeeze.calib.preprocess import Preprocess
from squeeze.calib.presets import NAMES, asked_for
from squeeze.errors import ConfigError

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3)).astype(np.uint8)
PIXELS[0, 0, 0] = 255
UNIT = PIXELS.transpose(0, 3, 1, 2) / 255.0
MEAN = np.asarray([0.485, 0.456, 0.406]).reshape(3, 1, 1)
STD = np.asarray([0.229, 0.224, 0.225]).reshape(3, 1, 1)
CAFFE = np.asarray([103.939, 116.779, 123.68]).reshape(3, 1, 1)

EXPECTED = {
    "unit": UNIT,
    "signed": UNIT * 2 - 1,
    "bytes": UNIT * 255,
    "imagenet": (UNIT - MEAN) / STD,
    "caffe": UNIT[:, ::-1] * 255 - CAFFE,
    "unit-bgr": UNIT[:, ::-1],
    "signed-bgr": UNIT[:, ::-1] * 2 - 1,
    "bytes-bgr": UNIT[:, ::-1] * 255,
    "imagenet-bgr": (UNIT[:, ::-1] - MEAN) / STD,
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stored", [PIXELS, (PIXELS / 255).astype(np.float32)])
def test_of_bytes_and_of_floats(name: str, stored: np.ndarray) -> None:
    made = asked_for(name, Preprocess(layout="NHWC->NCHW"), stored, "data.npz")
    np.testing.assert_allclose(made.apply(stored), EXPECTED[name], rtol=1e-4, atol=1e-4)


def test_numbers_go_before_the_name_and_the_name_before_the_toml() -> None:
    said = Preprocess(layout="NHWC->NCHW", scale=3.0, mean=(7.0,))
    made = asked_for({"name": "imagenet", "scale": "1/51"}, said, PIXELS, "data.npz")
    wanted = (PIXELS.transpose(0, 3, 1, 2) / 51 - MEAN) / STD
    np.testing.assert_allclose(made.apply(PIXELS), wanted, rtol=1e-4, atol=1e-4)


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    plain = Preprocess()
    with pytest.raises(
        ConfigError, match=r"--preprocess: unknown 'imagnet'\. Did you mean 'imagenet'"
    ):
        asked_for("imagnet", plain, PIXELS, "data.npz")
    with pytest.raises(ConfigError, match=r"values -3\.\.2; --preprocess unit is for pixels"):
        asked_for("unit", plain, np.asarray([-3.0, 2.0]), "data.npz")
    with pytest.raises(ConfigError, match="std must be above 0"):
        asked_for({"std": [0.0]}, plain, PIXELS, "data.npz")
    x = np.zeros((20, 3), np.float32)
    np.savez(tmp_path / "two.npz", a=x, b=x)
    with pytest.raises(
        ConfigError, match=r"there are inputs a, b; say for each under \[preprocess"
    ):
        calib.load(str(tmp_path / "two.npz"), inputs=["a", "b"], preprocess="unit")


def test_channels_to_reverse_must_be_there() -> None:
    with pytest.raises(ConfigError, match="no axis of 3 channels to reverse"):
        Preprocess(layout="as-is", channel_order="reversed").apply(np.zeros((2, 1, 4, 4)))
