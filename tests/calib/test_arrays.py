"""Sets made from arrays in memory: judged by agreement, taken as they are."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze import calib
from squeeze.errors import ConfigError
from tests.calib.interfaces import taking


def test_arrays_reach_the_model_as_they_are() -> None:
    x = np.random.default_rng(0).normal(size=(6, 2, 4, 4)).astype(np.float32)
    found = calib.from_arrays(
        "own", fit=x[:2], calibrate=x[2:4], evaluate=x[4:], modality="image", assumed=("told",)
    ).fitted(taking(2, 4, 4, outputs=3))
    np.testing.assert_array_equal(found.inputs(found.calibrate), x[2:4])
    assert (found.metric, found.fit.y, found.assumed) == (None, None, ("told",))
    assert calib.describe(found)["splits"]["evaluate"]["samples"] == 2


def test_splits_must_be_alike_and_not_empty() -> None:
    x = np.zeros((2, 3), np.float32)
    for other in (x[:0], x.astype(np.float64), x[:, :2]):
        with pytest.raises(ConfigError, match="alike in shape and type"):
            calib.from_arrays("own", fit=x, calibrate=other, evaluate=x, modality="vector")
