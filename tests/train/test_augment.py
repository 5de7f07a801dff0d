"""Views of single modalities: what each may change and what it must leave."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.calib.arrays import from_arrays
from squeeze.errors import ConfigError
from squeeze.guides import augment
from squeeze.guides.draw import Draws
from tests.train import samples

N = 400


def draws(n: int = N, view: int = 0) -> Draws:
    return Draws(0, np.arange(n), np.full(n, view))


def stats(fill: np.ndarray, std: float = 1.0) -> augment.Statistics:
    return augment.Statistics(fill, np.full_like(fill, std), "channels-first")


@pytest.mark.parametrize("name", [n for n in augment.AUGMENTS if n != "none"])
def test_a_view_repeats_exactly_and_differs_from_the_next(name: str) -> None:
    shape = {
        "image": (2, 9, 7),
        "region": (2, 20, 24),
        "spectrogram": (1, 20, 8),
        "signal": (2, 30),
        "vector": (5,),
    }[name]
    x = np.random.default_rng(0).normal(size=(N, *shape)).astype(np.float32)
    kept = x.copy()
    zero = stats(np.zeros((1, *shape), np.float32))
    first = augment.apply(name, x, draws(), zero)
    assert first.shape == x.shape
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, augment.apply(name, x, draws(), zero))
    assert (first != augment.apply(name, x, draws(view=1), zero)).any()
    np.testing.assert_array_equal(x, kept)


def test_image_moves_a_pixel_by_up_to_an_eighth_and_mirrors_half() -> None:
    x = np.zeros((N, 1, 32, 32), np.float32)
    x[:, :, 16, 10] = 1
    out = augment.image(x, draws(), stats(np.full((1, 1, 32, 32), 0, np.float32)))
    rows, columns = np.nonzero(out[:, 0])[1:]
    assert set(rows) == set(range(12, 21))
    left, right = columns[columns < 16], columns[columns >= 16]
    assert set(left) == set(range(6, 15))
    assert set(right) == {31 - c for c in range(6, 15)}
    assert 0.4 < len(left) / len(columns) < 0.6


def test_image_fills_with_the_blank_input_and_erases_about_half_of_the_views() -> None:
    x = np.ones((N, 3, 16, 16), np.float32)
    fill = np.broadcast_to(np.array([-1, -2, -3], np.float32).reshape(1, 3, 1, 1), (1, 3, 16, 16))
    out = augment.image(x, draws(), stats(fill))
    for channel, value in enumerate((-1, -2, -3)):
        assert set(np.unique(out[:, channel])) == {1.0, float(value)}
    centre = (out[:, 0, 4:12, 4:12] != 1).any(axis=(1, 2))  # no shift of 2 reaches there
    assert 0.15 < centre.mean() < 0.5  # some lie at the rim


def test_signal_keeps_its_shape_in_time_up_to_shift_and_gain() -> None:
    x = np.zeros((N, 1, 80), np.float32)
    x[:, 0, 40] = 1
    out = augment.signal(x, draws(), stats(np.zeros((1, 1, 80), np.float32), std=0.0))
    peaks = out[:, 0].argmax(1)
    assert peaks.min() == 30
    assert peaks.max() == 50
    heights = out[:, 0].max(1)
    assert 0.8 <= heights.min() < 0.85
    assert 1.2 < heights.max() <= 1.25 + 1e-6


def test_spectrogram_masks_bands_with_the_mean_and_shifts_the_longer_axis() -> None:
    x = np.zeros((N, 1, 48, 12), np.float32)
    x[:, 0, 24] = 1  # one moment, all frequencies
    out = augment.spectrogram(x, draws(), stats(np.zeros((1, 1, 48, 12), np.float32)))
    moments = np.flatnonzero((out[:, 0] == 1).any(axis=(0, 2)))
    assert moments.min() >= 24 - 6
    assert moments.max() <= 24 + 6
    assert len(moments) > 8
    whole = (out[:, 0] == 1).all(axis=2).any(axis=1)
    assert 0.2 < whole.mean() < 0.9  # the others have a band of frequencies masked
    assert set(np.unique(out)) == {0.0, 1.0, np.float32(1 / 48)}


def test_vector_noise_follows_the_spread_of_each_feature() -> None:
    x = np.zeros((4000, 3), np.float32)
    spread = np.array([[0.0, 1.0, 10.0]], np.float32)
    out = augment.vector(x, draws(4000), augment.Statistics(x[:1], spread, "flat"))
    # The strength is uniform in 0..0.1, so the mean square is 0.01 / 3.
    np.testing.assert_allclose(out.std(0), spread[0] * 0.1 / np.sqrt(3), rtol=0.05)


@pytest.mark.parametrize("shape", [(8, 10, 3), (8, 10)])
def test_other_image_layouts_get_the_same_view(shape: tuple[int, ...]) -> None:
    data = samples.calib(shape=shape)
    found = augment.statistics(data)
    x = data.inputs(data.fit, 0, 50)
    view = augment.apply("image", x, draws(50), found)
    assert view.shape == x.shape
    first = np.moveaxis(x, -1, 1) if len(shape) == 3 else x[:, None]
    fill = np.full((1, *first.shape[1:]), -2, np.float32)  # (0 / 255 - 0.5) / 0.25
    expected = augment.image(first, draws(50), stats(fill))
    got = np.moveaxis(view, -1, 1) if len(shape) == 3 else view[:, None]
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_auto_goes_by_modality() -> None:
    assert augment.choose("auto", samples.calib("image")) == "image"
    assert augment.choose("auto", samples.calib("vector")) == "vector"
    assert augment.choose("none", samples.calib("signal")) == "none"


def test_unknown_augmentation_is_said_with_the_nearest_name() -> None:
    with pytest.raises(
        ConfigError, match=r"distill.augment: unknown 'imagge'. Did you mean 'image'"
    ):
        augment.choose("imagge", samples.calib())


def test_augmentation_for_another_rank_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'image' needs inputs of rank 3"):
        augment.choose("image", samples.calib("vector"))


def test_whole_numbers_are_left_as_they_are_or_refused() -> None:
    x = np.zeros((4, 6), np.int64)
    tokens = from_arrays("words", fit=x, calibrate=x, evaluate=x, modality="tokens")
    assert augment.choose("auto", tokens) == "none"
    with pytest.raises(ConfigError, match=r"'vector' changes real numbers, but words holds int64"):
        augment.choose("vector", tokens)
