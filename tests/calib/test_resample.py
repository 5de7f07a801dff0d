"""Images of another size: each new pixel worked out by hand, layouts that are decided, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze import calib
from squeeze.calib import Preprocess
from squeeze.calib.resample import resize, weights
from squeeze.errors import ConfigError
from tests.calib.interfaces import taking

RNG = np.random.default_rng(0)


def test_weights_worked_out_by_hand() -> None:
    # Twice as many: new pixels lie a quarter of an old one left and right of its middle.
    np.testing.assert_allclose(
        weights(2, 4), [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]], atol=1e-7
    )
    # Half as many: a triangle two old pixels wide on each side, cut off at the edges.
    np.testing.assert_allclose(
        weights(4, 2), [[3 / 7, 3 / 7, 1 / 7, 0], [0, 1 / 7, 3 / 7, 3 / 7]], atol=1e-7
    )
    np.testing.assert_array_equal(weights(5, 5), np.eye(5))


def test_a_flat_image_stays_flat_and_a_ramp_a_ramp() -> None:
    flat = resize(np.full((1, 9, 7), 37, np.uint8), "NHW->NHW", (4, 5))
    np.testing.assert_allclose(flat, 37, rtol=1e-6)
    ramp = resize(np.arange(8.0).reshape(1, 1, 8), "NHW->NHW", (1, 16))
    np.testing.assert_allclose(np.diff(ramp[0, 0, 1:-1]), 0.5, atol=1e-6)


@pytest.mark.parametrize("size", [(3, 5), (12, 14), (6, 3)])
def test_same_as_pillow_but_for_its_rounding(size: tuple[int, int]) -> None:
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed")
    x = RNG.integers(0, 256, (2, 6, 8, 3), dtype=np.uint8)
    wanted = [np.asarray(image.fromarray(p).resize(size[::-1], 2)) for p in x]
    assert np.abs(resize(x, "NHWC->NCHW", size) - wanted).max() < 1.001


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [((12, 10, 3), (3, 8, 8)), ((3, 12, 10), (3, 8, 8)), ((12, 10, 3), (8, 8, 3))],
)
def test_layout_is_decided_for_the_new_size(
    tmp_path: Path, stored: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    x = RNG.integers(0, 256, (12, *stored), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", x=x)
    (tmp_path / "d.toml").write_text(
        'schema = 1\nname = "d"\ndata = "d.npz"\n[preprocess]\nresize = [8, 8]\n'
    )
    raw = calib.load(str(tmp_path / "d.toml"))
    fitted = raw.fitted(taking(*wanted))
    assert fitted.inputs(fitted.fit).shape[1:] == wanted
    channels_last = np.asarray(fitted.fit.x) if stored[-1] == 3 else np.moveaxis(fitted.fit.x, 1, 3)
    by_hand = resize(channels_last, "NHWC->NHWC", (8, 8)) / 255
    got = fitted.inputs(fitted.fit)
    np.testing.assert_allclose(
        got if wanted[-1] == 3 else np.moveaxis(got, 1, 3), by_hand, atol=1e-5
    )


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((12, 16), np.float32))
    (tmp_path / "d.toml").write_text(
        'schema = 1\nname = "d"\ndata = "d.npz"\n[preprocess]\nresize = [8, 8]\n'
    )
    raw = calib.load(str(tmp_path / "d.toml"))
    with pytest.raises(ConfigError, match="have no height and width; allowed: images"):
        raw.fitted(taking(64))


@pytest.mark.parametrize("size", [(0, 4), (4,), (4, 4, 3), "large"])
def test_size_that_is_none_is_refused(size: object) -> None:
    with pytest.raises(ValueError, match="resize"):
        Preprocess.model_validate({"resize": size})
