"""Order of samples and learning rate as functions of the step."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.train.schedule import learning_rate, picks


def test_learning_rate_rises_then_falls_as_half_a_cosine() -> None:
    rates = [learning_rate(s, steps=110, peak=0.2, warmup=10 / 110) for s in range(110)]
    np.testing.assert_allclose(rates[:10], np.linspace(0.02, 0.2, 10))
    assert rates[60] == pytest.approx(0.1)
    assert rates[109] < 0.001
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_learning_rate_is_positive_when_there_is_a_single_step() -> None:
    assert learning_rate(0, steps=1, peak=0.2, warmup=0.05) == pytest.approx(0.2)


@pytest.mark.parametrize("batch_size", [7, 50, 120])
def test_every_epoch_sees_every_sample_once(batch_size: int) -> None:
    steps = -(-150 // batch_size)
    drawn = np.concatenate(
        [picks(s, n=50, batch_size=batch_size, views=3, seed=1)[0] for s in range(steps)]
    )
    for epoch in range(3):
        assert sorted(drawn[epoch * 50 : (epoch + 1) * 50]) == list(range(50))
    assert list(drawn[:50]) != list(drawn[50:100])


def test_a_sample_goes_through_all_views_before_one_repeats() -> None:
    samples, views = picks(0, n=20, batch_size=80, views=4, seed=0)
    for sample in range(20):
        assert sorted(views[samples == sample]) == [0, 1, 2, 3]
    assert len(set(views[:20])) > 1
