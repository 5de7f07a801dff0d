"""The error of the worst field: by hand, which axis has the fields, and what a field is held to at least."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.metrics import score
from squeeze.metrics.fields import fields_axis

RNG = np.random.default_rng(0)


def detector(anchors: int = 50, samples: int = 8) -> np.ndarray:
    """[n, 4 + 3, anchors]: boxes in pixels, scores of 0 to 1."""
    boxes = RNG.uniform(0, 640, (samples, 4, anchors))
    scores = RNG.uniform(0, 1, (samples, 3, anchors)) ** 4
    return np.concatenate([boxes, scores], axis=1).astype(np.float32)


def test_worst_channel_counts() -> None:
    # Channel 0: spread 1 + 1, missed 0. Channel 1: means 10 and 30, spread 2 * 25 + 2 * 25 = 100, missed 4 + 4.
    wanted = np.array([[[1.0, 5.0], [15.0, 25.0]], [[-1.0, 5.0], [5.0, 35.0]]])
    got = wanted.copy()
    got[:, 1, 0] += 2
    assert score("channel_error", got, wanted) == pytest.approx(8)


def test_detector_without_scores_is_all_wrong_though_its_boxes_dominate() -> None:
    wanted = detector()
    got = wanted.copy()
    got[:, 4:] = 0
    flat, other = wanted.reshape(-1), got.reshape(-1)
    cosine = flat @ other / np.linalg.norm(flat) / np.linalg.norm(other)
    assert cosine > 0.99999
    assert score("error", got, wanted) < 0.01
    assert score("channel_error", got, wanted) > 90
    assert score("channel_error", np.swapaxes(got, 1, 2), np.swapaxes(wanted, 1, 2)) > 90


@pytest.mark.parametrize("axis", [1, 3])
def test_axis_of_the_fields_is_the_one_whose_sizes_differ(axis: int) -> None:
    maps = RNG.normal(size=(4, 6, 7, 8)) * np.moveaxis(
        np.geomspace(0.01, 100, (6, 7, 8)[axis - 1]).reshape(-1, 1, 1), 0, axis - 1
    )
    assert fields_axis(maps) == axis


def test_axis_of_the_fields_of_detectors_sequences_and_vectors() -> None:
    assert fields_axis(detector()) == 1
    assert fields_axis(np.swapaxes(detector(), 1, 2)) == 2
    boxes = RNG.uniform(0.2, 0.8, (8, 300, 4))
    one_class = np.concatenate([boxes, RNG.uniform(0, 0.01, (8, 300, 1))], axis=2)
    assert fields_axis(one_class) == 2
    assert fields_axis(RNG.normal(size=(4, 100, 5)) * [1, 20, 0.1, 3, 500]) == 2
    # Anchors at the border are smaller, but the four of a box are its fields; long features of few steps are too.
    borders = RNG.normal(size=(4, 100, 4)) * np.where(np.arange(100) % 10, 1, 0.3)[:, None]
    assert fields_axis(borders) == 2
    assert fields_axis(RNG.normal(size=(4, 6, 200)) * np.geomspace(0.01, 10, 200)) == 2
    assert fields_axis(RNG.normal(size=(4, 64, 8, 8))) == 1
    assert fields_axis(RNG.normal(size=(4, 8, 8, 64))) == 3
    assert fields_axis(RNG.normal(size=(4, 1, 8, 40)) * np.geomspace(0.01, 10, 40)) == 1
    assert fields_axis(RNG.normal(size=(4, 9))) == 1
    assert fields_axis(RNG.normal(size=4)) is None


def test_field_that_is_nearly_constant_is_held_to_a_tenth_of_its_size() -> None:
    wanted = np.stack([RNG.normal(size=400), 5 + 1e-4 * RNG.normal(size=400)], axis=1)
    got = wanted.copy()
    got[:, 1] += 0.05  # 1 % of the field
    # Its root mean square is 5 and its deviation next to nothing: (0.05 / 0.5)^2.
    assert score("channel_error", got, wanted) == pytest.approx(1, rel=1e-3)


def test_class_that_is_never_likely_does_not_count() -> None:
    wanted = RNG.uniform(0, 1, (20, 3, 40)) ** 4
    wanted[:, 2] *= 1e-4
    got = wanted.copy()
    got[:, 2] = 0
    # The other scores come near 1: what is held to is 0.01, of which the class has a thousandth or two.
    assert score("channel_error", got, wanted) < 0.01
    got[:, 2] = 0.1
    assert score("channel_error", got, wanted) == pytest.approx(100 * (0.1 / 0.01) ** 2, rel=0.1)


def test_small_field_beside_a_large_one_is_seen_down_to_a_thousandth() -> None:
    wanted = RNG.normal(size=(500, 2)) * [1000.0, 2.0]
    got = wanted.copy()
    got[:, 1] = wanted[:, 1].mean()
    assert score("channel_error", got, wanted) == pytest.approx(100, rel=0.01)
    wanted[:, 1] /= 200
    got = wanted.copy()
    got[:, 1] = 0
    # A deviation of 0.01 is held to 1: 0.01 %.
    assert score("channel_error", got, wanted) == pytest.approx(0.01, rel=0.2)


def test_one_number_a_sample_is_one_field() -> None:
    # Mean 2, spread 2; missed 0.5 of it.
    assert score("channel_error", np.array([1.0, 2, 3.5]), np.array([1.0, 2, 3])) == pytest.approx(
        12.5
    )


def test_constants_and_single_samples_have_an_error_too() -> None:
    zeros = np.zeros((4, 3, 5))
    assert score("channel_error", zeros, zeros) == 0
    assert score("channel_error", zeros + 1e-9, zeros) == 100
    one = np.full((1, 2, 3), 4.0)
    # No deviation between samples: of 0.4, a tenth of the size, 0.04 are missed.
    assert score("channel_error", one + 0.04, one) == pytest.approx(1)
