"""Samples in two splits are counted and said; sets without samples to train with calibrate and judge."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from squeeze import calib
from squeeze.calib.shared import judges_what_trains
from squeeze.errors import ConfigError
from tests.calib.conftest import Save

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
Y = np.arange(60) % 3


def test_samples_that_two_splits_share_are_counted_whatever_their_order(
    save: Save, caplog: pytest.LogCaptureFixture
) -> None:
    test = np.concatenate([X[[7, 3, 7]], X[50:]])  # three of 13: a sample that comes twice is two
    with caplog.at_level(logging.WARNING):
        data = calib.load(save("d.npz", x_train=X[:40], x_val=X[40:50], x_test=test))
    said = "3 of 13 samples to evaluate are among those to fit or calibrate, too"
    assert said in caplog.text
    assert any(said in text for text in data.assumed)
    assert "to calibrate are" not in caplog.text


def test_samples_to_choose_by_that_are_trained_on_are_said(
    save: Save, caplog: pytest.LogCaptureFixture
) -> None:
    calib.load(save("d.npz", x_train=X[:40], x_val=X[38:50], x_test=X[50:]))
    assert "2 of 12 samples to calibrate are among those to fit, too" in caplog.text
    assert "to evaluate are" not in caplog.text


def test_nothing_is_said_of_splits_that_share_nothing(
    save: Save, caplog: pytest.LogCaptureFixture
) -> None:
    # The same numbers, but of another input; and labels alike.
    arrays = {"a_train": X[:40], "b_train": X[20:], "a_test": X[20:30], "b_test": X[10:20]}
    calib.load(save("d.npz", **arrays), inputs=("a", "b"))
    calib.load(save("e.npz", x=X, y=Y))
    assert "samples to" not in caplog.text


def test_samples_of_several_inputs_are_the_same_where_all_are(
    save: Save, caplog: pytest.LogCaptureFixture
) -> None:
    arrays = {"a_train": X[:40], "b_train": X[20:], "a_test": X[:10], "b_test": X[20:30]}
    calib.load(save("d.npz", **arrays), inputs=("a", "b"))
    assert "10 of 10 samples to evaluate" in caplog.text


@pytest.mark.parametrize(
    ("arrays", "wanted"),
    [
        ({"x_train": X, "x_test": X[::-1]}, True),  # of which a part calibrates
        ({"x_train": X[:20], "x_val": X[30:], "x_test": X[19::-1]}, True),
        ({"x_train": X[:20], "x_val": X[30:], "x_test": X[:19]}, False),
        ({"x_train": X[:20], "x_val": X[30:], "x_test": X[:21]}, False),
        ({"x": X}, False),
    ],
    ids=["train-is-test", "in-another-order", "a-part", "one-more", "drawn"],
)
def test_what_judges_is_what_trains_where_each_sample_is(
    save: Save, arrays: dict[str, np.ndarray], wanted: bool
) -> None:
    assert judges_what_trains(*calib.load(save("d.npz", **arrays)).splits.values()) == wanted


def test_validation_and_test_arrays_alone_calibrate_and_judge(save: Save) -> None:
    data = calib.load(save("d.npz", x_val=X[:25], y_val=Y[:25], x_test=X[25:], y_test=Y[25:]))
    assert [len(split) for split in data.splits.values()] == [0, 25, 35]
    np.testing.assert_array_equal(np.asarray(data.calibrate.x), X[:25])
    np.testing.assert_array_equal(np.asarray(data.evaluate.x), X[25:])
    np.testing.assert_array_equal(data.calibrate.y, Y[:25])
    assert calib.describe(data)["splits"]["fit"]["samples"] == 0


def test_integers_without_samples_to_train_with_have_their_range(save: Save) -> None:
    pixels = RNG.integers(0, 256, (30, 8, 8)).astype(np.int64)
    data = calib.load(save("d.npz", x_val=pixels[:20], x_test=pixels[20:]))
    assert data.modality == "image"
    assert calib.describe(data)["samples"]["max"] == pixels.max()


def test_validation_arrays_alone_are_no_set(save: Save) -> None:
    with pytest.raises(ConfigError, match="cannot tell the samples"):
        calib.load(save("d.npz", x_val=X, y_val=Y))
