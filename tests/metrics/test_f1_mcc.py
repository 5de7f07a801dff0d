"""F1 and Matthews' correlation: by hand, and by NumPy's covariances."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.errors import ConfigError
from squeeze.metrics import Reading, Scorer, interval, score

RNG = np.random.default_rng(0)


def logits(answers: list[int] | np.ndarray, classes: int) -> np.ndarray:
    return (4 * np.eye(classes)[np.asarray(answers)] + 0.1 * RNG.random(classes)).astype(np.float32)


#          answers            labels
ANSWERS, LABELS = [1, 1, 0, 0, 1, 0, 0, 0], np.array([1, 0, 0, 1, 1, 0, 0, 0])


def test_f1_of_two_classes_is_that_of_class_1() -> None:
    # 2 right, 3 answered, 3 labelled.
    assert score("f1", logits(ANSWERS, 2), LABELS) == pytest.approx(100 * 4 / 6)
    one_number = np.where(np.array(ANSWERS) == 1, 0.9, 0.2)[:, None].astype(np.float32)
    assert score("f1", one_number, LABELS) == pytest.approx(100 * 4 / 6)
    negative = np.where(np.array(ANSWERS) == 1, 2.0, -3.0).astype(np.float32)
    assert score("f1", negative, LABELS) == pytest.approx(100 * 4 / 6)


def test_f1_of_several_classes_is_their_mean() -> None:
    answers, labels = [0, 0, 1, 2, 2], np.array([0, 1, 1, 2, 0])
    # 0: 2*1/(2+2), 1: 2*1/(1+2), 2: 2*1/(2+1); class 3 is nowhere.
    wanted = 100 * (0.5 + 2 / 3 + 2 / 3) / 3
    assert score("f1", logits(answers, 4), labels) == pytest.approx(wanted)
    assert score("f1", logits(labels, 4), labels) == 100


def test_mcc_of_two_classes_is_their_correlation() -> None:
    wanted = 100 * np.corrcoef(ANSWERS, LABELS)[0, 1]
    assert score("mcc", logits(ANSWERS, 2), LABELS) == pytest.approx(wanted)
    assert score("mcc", logits(1 - LABELS, 2), LABELS) == pytest.approx(-100)
    assert score("mcc", logits([0] * 8, 2), LABELS) == 0


def test_mcc_of_several_classes_is_the_ratio_of_covariances() -> None:
    labels = RNG.integers(0, 3, 60)
    answers = np.where(RNG.random(60) < 0.7, labels, RNG.integers(0, 3, 60))
    x, y = np.eye(3)[answers], np.eye(3)[labels]

    def covariance(a: np.ndarray, b: np.ndarray) -> float:
        return float(((a - a.mean(0)) * (b - b.mean(0))).sum())

    wanted = 100 * covariance(x, y) / np.sqrt(covariance(x, x) * covariance(y, y))
    assert score("mcc", logits(answers, 3), labels) == pytest.approx(wanted)


@pytest.mark.parametrize("metric", ["f1", "mcc"])
def test_interval_is_of_resamples(metric: str) -> None:
    labels = RNG.integers(0, 2, 80)
    outputs = logits(np.where(RNG.random(80) < 0.8, labels, 1 - labels), 2)
    found = interval(Reading("", metric), {"": outputs}, labels, None)
    drawn = []
    for _ in range(500):
        i = RNG.integers(0, 80, 80)
        drawn.append(score(metric, outputs[i], labels[i]))
    assert found is not None
    np.testing.assert_allclose(found, np.percentile(drawn, (2.5, 97.5)), atol=4)


@pytest.mark.parametrize("metric", ["f1", "mcc"])
def test_batches_give_the_same(metric: str) -> None:
    labels = RNG.integers(0, 4, 30)
    outputs = logits(RNG.permutation(labels), 4)
    scorer = Scorer([Reading("y", metric)], labels, {"y": outputs})
    for start in range(0, 30, 7):
        scorer.take({"y": outputs[start : start + 7]})
    assert scorer.values()[0][2] == pytest.approx(score(metric, outputs, labels))


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="metric f1: labels"):
        score("f1", logits([0, 1], 2), np.array([[0, 1, 0], [1, 0, 1]]))
