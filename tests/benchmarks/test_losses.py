"""The table of losses: paired by seed, with the interval of the difference."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.losses import compared, fitting
from squeeze.losses import LOSSES


def test_losses_are_compared_seed_by_seed() -> None:
    usual, other = [80.0, 82.0, 81.0], [80.5, 83.0, 81.3]
    rows = [
        {"pair": "p", "loss": loss, "seed": seed, "metric": metric}
        for loss, metrics in (("kd", usual), ("dist", other), ("at", [70.0]))
        for seed, metric in enumerate(metrics)
    ]
    best, kd, worst = compared(rows)
    assert (best["loss"], kd["loss"], worst["loss"]) == ("dist", "kd", "at")
    gains = np.subtract(other, usual)
    assert best["gain"] == pytest.approx(gains.mean())
    # 4.303: Student's t for two degrees of freedom.
    assert best["half"] == pytest.approx(4.303 * gains.std(ddof=1) / 3**0.5, rel=1e-3)
    assert (kd["gain"], kd["half"]) == (0, 0)
    assert (worst["gain"], worst["half"], worst["seeds"]) == (-10, None, 1)


def test_without_the_usual_loss_nothing_is_compared() -> None:
    (row,) = compared([{"pair": "p", "loss": "pld", "seed": 0, "metric": 90.0}])
    assert (row["metric"], row["gain"], row["half"]) == (90.0, None, None)


def test_only_losses_of_classes_and_features_are_trained() -> None:
    assert set(LOSSES) - set(fitting()) == {"bce", "cosine", "mse"}
