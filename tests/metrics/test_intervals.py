"""Intervals of 95 %: by hand, against scipy, and against what resampling one by one gives."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap, spearmanr

from squeeze.metrics import METRICS, Reading, interval, score

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(300, 3))
CLASSES = RNG.integers(0, 3, 300)
LOGITS[np.arange(300), CLASSES] += 1.0


def of(metric: str, outputs: np.ndarray, labels: np.ndarray | None) -> tuple[float, float] | None:
    return interval(Reading("y", metric), {"y": outputs}, labels, None)


def test_share_has_wilsons_interval() -> None:
    labels = np.zeros(10, int)
    outputs = np.eye(2)[[0] * 8 + [1] * 2]
    # 8 of 10: centre (0.8 + 1.9208 / 10) / 1.38416, half 1.95996 * sqrt(0.016 + 0.0096036) / 1.38416.
    assert of("top1", outputs, labels) == pytest.approx((49.02, 94.33), abs=0.005)
    low, high = of("top1", LOGITS, CLASSES) or (0, 0)
    hits = int((LOGITS.argmax(axis=1) == CLASSES).sum())
    known = binomtest(hits, 300).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((100 * known.low, 100 * known.high))


def test_share_without_a_miss_stays_within_a_hundred() -> None:
    low, high = of("agreement", LOGITS, None) or (0, 0)
    assert high == pytest.approx(100)
    assert high <= 100
    assert low == pytest.approx(100 * 300 / (300 + 1.959964**2))


@pytest.mark.parametrize("metric", ["auc", "cosine", "error", "mse", "spearman"])
def test_others_have_the_interval_of_resampled_samples(metric: str) -> None:
    """Against scipy's bootstrap, which calls the metric for each resample; both are random."""
    labels = CLASSES if metric == "auc" else LOGITS + RNG.normal(size=LOGITS.shape)
    low, high = of(metric, LOGITS, labels) or (0, 0)
    known = bootstrap(
        (np.arange(300),),
        lambda drawn: score(metric, LOGITS[drawn], labels[drawn]),
        vectorized=False,
        n_resamples=400,
        method="percentile",
        random_state=1,
    ).confidence_interval
    assert low < score(metric, LOGITS, labels) < high
    width = known.high - known.low
    assert (low, high) == pytest.approx((known.low, known.high), abs=0.15 * width)


def test_resampled_auc_and_ranks_are_those_of_the_drawn_samples() -> None:
    a = np.round(RNG.normal(size=60), 1)  # with ties
    b = np.round(a + RNG.normal(size=60), 1)
    counts = RNG.multinomial(60, np.full(60, 1 / 60), 5)
    of_ranks, of_pairs = METRICS["spearman"].resampled, METRICS["auc"].resampled
    assert of_ranks is not None
    assert of_pairs is not None
    drawn = [np.repeat(np.arange(60), times) for times in counts]
    by_hand = [100 * spearmanr(a[i], b[i]).statistic for i in drawn]
    np.testing.assert_allclose(of_ranks(a, b, counts), by_hand)
    positive = (b > 0).astype(int)
    pairs = [np.sign(a[i][positive[i] == 1][:, None] - a[i][positive[i] == 0]) for i in drawn]
    np.testing.assert_allclose(of_pairs(a, positive, counts), [50 * (1 + p.mean()) for p in pairs])


def test_interval_is_the_same_every_time() -> None:
    labels = LOGITS + RNG.normal(size=LOGITS.shape)
    assert of("error", LOGITS, labels) == of("error", LOGITS, labels)


def test_places_of_a_map_are_no_independent_samples() -> None:
    maps = np.zeros((4, 2, 10, 10))
    maps[:, 0] = 1
    labels = np.zeros((4, 10, 10), int)
    labels[0] = 1
    # One of four samples is wrong everywhere: the interval is that of four samples, not of 400 places.
    known = binomtest(3, 4).proportion_ci(method="wilson")
    assert of("top1", maps, labels) == pytest.approx((100 * known.low, 100 * known.high))
    labels[0, :5] = 0
    # Half of it is: means of four draws from 50, 100, 100, 100; three or four 50s in 5 % of them, none in 32 %.
    assert of("top1", maps, labels) == (62.5, 100)


def test_metric_of_the_users_is_called_again_and_may_have_no_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_interval.py").write_text(
        "def mean(outputs, labels): return outputs.mean()\n"
        "def fails(outputs, labels): raise ValueError('never')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    values = RNG.normal(size=200)
    low, high = of("own_interval:mean", values, values) or (0, 0)
    half = 1.96 * values.std() / np.sqrt(200)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
    assert of("own_interval:fails", values, values) is None
    sys.modules.pop("own_interval")


@pytest.mark.parametrize("metric", ["channel_error", "r2"])
def test_worst_of_many_alike_fields_has_its_own_interval(metric: str) -> None:
    """The worst of each resample is worse than the worst of all samples: their percentiles lie beside the value."""
    rng = np.random.default_rng(1)
    labels = rng.normal(size=(12, 64))
    outputs = labels + 0.3 * rng.normal(size=labels.shape)
    value = score(metric, outputs, labels)
    alone = [score(metric, outputs[:, [i]], labels[:, [i]]) for i in range(64)]
    worst = alone.index(value)
    assert of(metric, outputs, labels) == of(metric, outputs[:, [worst]], labels[:, [worst]])
    low, high = of(metric, outputs, labels) or (0, 0)
    assert low < value < high
