"""Embeddings of pairs, ranked by their cosines; values worked out with SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from squeeze import metrics
from squeeze.errors import ConfigError
from squeeze.metrics import Reading, interval, score
from squeeze.metrics.skill import beside_chance

RNG = np.random.default_rng(0)


def pairs(count: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings [2 * count, 2] of pairs whose cosines follow their scores, but for noise; and labels."""
    scores = RNG.random(count)
    angles = (1 - scores) * np.pi / 2 + noise * RNG.standard_normal(count)
    first = np.stack([np.ones(count), np.zeros(count)], axis=1)
    second = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (1 + RNG.random((count, 1)))
    x = np.stack([first, second], axis=1).reshape(-1, 2).astype(np.float32)
    return x, np.stack([np.repeat(np.arange(count), 2), np.repeat(scores, 2)], axis=1)


def by_hand(x: np.ndarray, y: np.ndarray) -> float:
    a, b = x[::2].astype(float), x[1::2].astype(float)
    cosines = [p @ q / np.linalg.norm(p) / np.linalg.norm(q) for p, q in zip(a, b, strict=True)]
    return float(100 * spearmanr(cosines, y[::2, 1]).statistic)


def test_rank_correlation_of_cosines() -> None:
    x, y = pairs(50, 0.3)
    assert score("pair_spearman", x, y) == pytest.approx(by_hand(x, y))
    # Exact: scores 1, 2, 3 and cosines that are in the order 0, 1, 0.6.
    exact = np.array([[1, 0], [0, 1], [1, 0], [2, 0], [1, 0], [3, 4]], np.float32)
    labels = np.array([[0, 1], [0, 1], [1, 2], [1, 2], [2, 3], [2, 3]], np.float32)
    assert score("pair_spearman", exact, labels) == pytest.approx(50)


def test_samples_may_be_in_any_order_and_halves_do_not_count() -> None:
    x, y = pairs(40, 0.3)
    order = RNG.permutation(80)
    whole = score("pair_spearman", x[order], y[order])
    assert whole == pytest.approx(by_hand(x, y))
    odd = np.concatenate([x, -x[:1]]), np.concatenate([y, [[99, 5.0]]])
    assert score("pair_spearman", *odd) == pytest.approx(whole)


def test_interval_draws_pairs() -> None:
    x, y = pairs(60, 0.5)
    found = interval(Reading("", "pair_spearman"), {"": x}, y, None)
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(2000):
        i = rng.integers(0, 60, 60)
        rows = np.stack([2 * i, 2 * i + 1], axis=1).reshape(-1)
        drawn.append(by_hand(x[rows], y[rows]))
    assert found is not None
    np.testing.assert_allclose(found, np.percentile(drawn, (2.5, 97.5)), atol=2.5)


def test_chance_is_told_from_whole_pairs() -> None:
    x, y = pairs(2000, 0.1)
    found = beside_chance(Reading("", "pair_spearman"), {"": x}, y)
    assert found.works
    assert found.value > 90
    nothing = RNG.standard_normal(x.shape).astype(np.float32)
    assert not beside_chance(Reading("", "pair_spearman"), {"": nothing}, y).works


def test_labels_of_another_form_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"allowed: \[n, 2\]"):
        score("pair_spearman", np.ones((4, 3), np.float32), np.arange(4))
    with pytest.raises(ConfigError, match="no two samples are of one pair"):
        score("pair_spearman", np.ones((2, 3), np.float32), np.array([[0, 1.0], [1, 2.0]]))


def test_a_point_is_a_point() -> None:
    assert metrics.resolve("pair_spearman").drop(82.0, 81.5) == pytest.approx(0.5)


def test_a_vector_for_each_token_is_no_embedding() -> None:
    x, y = pairs(20, 0.1)
    tokens = np.repeat(x[:, None], 5, axis=1)
    with pytest.raises(ConfigError, match=r"\[5, 2\] numbers a sample.*pools them"):
        score("pair_spearman", tokens, y)
    assert score("pair_spearman", x[:, None], y) == pytest.approx(by_hand(x, y))
