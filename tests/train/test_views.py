"""Views: replayable, and blended in pairs with their labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from squeeze.calib import Calib, Preprocess, Split
from squeeze.errors import ConfigError
from squeeze.guides import views
from squeeze.guides.views import Views
from tests.train import samples


def test_a_view_is_the_same_in_any_batch() -> None:
    made = Views(samples.calib(), samples.part(), 0)
    whole = made.at(np.arange(200), 1)
    order = np.random.default_rng(0).permutation(200)[:37]
    some = made.at(order, np.ones(37, np.int64))
    np.testing.assert_array_equal(some.x, whole.x[order])
    assert some.labels is not None
    assert whole.labels is not None
    np.testing.assert_array_equal(some.labels, whole.labels[order])


def test_labels_of_blends_are_shares_that_sum_to_one() -> None:
    data = samples.calib()
    made = Views(data, samples.part(), 0).at(np.arange(200), 0)
    assert made.labels is not None
    np.testing.assert_allclose(made.labels.sum(1), 1, rtol=1e-6)
    pure = made.labels.max(1) == 1
    assert data.fit.y is not None
    # Not all: a pure one may be a blend of a kind with itself, but then the kind is right too.
    assert (made.labels.argmax(1) == data.fit.y)[pure].all()


def test_data_without_labels_has_none_in_its_views() -> None:
    data = samples.calib("vector", classes=None, metric="mse")
    made = Views(data, samples.part(), 0).at(np.arange(50), 0)
    assert made.labels is None
    assert made.x.dtype == np.float32


def test_blends_of_real_labels_keep_their_shape() -> None:
    data = samples.calib("vector", classes=None, metric="mse")
    y = np.arange(400, dtype=np.float32).reshape(200, 2)
    made = Views(replace(data, fit=replace(data.fit, y=y)), samples.part(), 0).at(np.arange(50), 0)
    assert made.labels is not None
    assert made.labels.shape == (50, 2)
    # The two of a sample are one apart, and so they stay in a blend.
    np.testing.assert_allclose(made.labels[:, 1] - made.labels[:, 0], 1, atol=1e-4)
    assert 10 < (made.labels[:, 0] != y[:50, 0]).sum() < 40


def test_without_blends_labels_stay_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "MIX", 0.0)
    data = samples.calib()
    made = Views(data, samples.part(), 0).at(np.arange(50), 0)
    assert made.labels is not None
    assert data.fit.y is not None
    np.testing.assert_array_equal(made.labels, data.fit.y[:50])


def test_augment_none_gives_the_plain_inputs() -> None:
    data = samples.calib()
    made = Views(data, samples.part(augment="none"), 0).at(np.arange(50), 3)
    np.testing.assert_array_equal(made.x, data.inputs(data.fit, 0, 50))


def test_samples_of_several_inputs_have_one_view_that_is_a_feed() -> None:
    made = Views(of_two(), samples.part(), 0)
    assert made.count == 1
    found = made.at(np.array([4, 2]), 0)
    assert isinstance(found.x, dict)
    np.testing.assert_array_equal(found.x["ids"], of_two().fit.arrays["ids"][[4, 2]])
    np.testing.assert_array_equal(found.x["mask"], np.ones((2, 3)))


def test_several_inputs_are_not_augmented() -> None:
    with pytest.raises(ConfigError, match="'noise' changes an only input"):
        Views(of_two(), samples.part(augment="noise"), 0)


def of_two() -> Calib:
    plain = Preprocess.model_validate({"layout": "as-is", "dtype": "int64", "scale": 1.0})
    arrays = {"ids": np.arange(18).reshape(6, 3), "mask": np.ones((6, 3), np.int64)}
    split = Split(arrays, None, "two")
    known = {name: plain for name in arrays}
    return Calib("two", "two", "two", split, split, split, known, "tokens", None, None)
