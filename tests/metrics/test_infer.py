"""The metric that is meant where nobody names one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from squeeze.metrics import labelled_metric, score, unlabelled_metric

N = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
UNIT = N / np.linalg.norm(N, axis=1, keepdims=True)
PROBABILITIES = np.abs(N) / np.abs(N).sum(axis=1, keepdims=True)
IDS = np.array([3, 0, 2, 2, 1, 3])


@pytest.mark.parametrize(
    ("labels", "outputs", "name"),
    [
        (np.array([0, 1, 2, 3, 0, 1]), N, "top1"),
        (np.eye(4, dtype=int)[[0, 1, 2, 3, 0, 1]], N, "top1"),
        (np.array([[1, 1, 0, 0], [0, 1, 1, 0]] * 3), N, "auc"),
        (np.array([0, 1, 0, 1, 0, 1]), N[:, :1], "top1"),
        (np.array([0.0, 1, 0, 1, 0, 1]), N[:, 0], "top1"),
        (np.array([3, 17, 4, 9, 20, 1]), N[:, :1], "mse"),
        (N[:, 0], N[:, :1], "mse"),
        (N + 1, N, "mse"),
        (np.array([3, 0, 2, 2, 1, 1]), IDS, "top1"),
    ],
)
def test_labels_say_which_metric(labels: np.ndarray, outputs: np.ndarray, name: str) -> None:
    assert labelled_metric(labels, outputs) == name
    assert math.isfinite(score(name, outputs, labels))


@pytest.mark.parametrize(
    ("outputs", "name"),
    [
        (N, "agreement"),
        (PROBABILITIES, "agreement"),
        (1 / (1 + np.exp(-N[:, :1])), "agreement"),
        (1 / (1 + np.exp(-N[:, 0])), "agreement"),
        (np.abs(N[:, :1]) / 10, "channel_error"),  # never above a half
        (IDS, "agreement"),
        (IDS.reshape(6, 1, 1), "agreement"),
        (N > 0, "agreement"),
        (UNIT, "cosine"),
        (N[:, :1], "error"),
        (N.reshape(6, 1, 2, 2), "channel_error"),
        (N.reshape(6, 2, 2), "channel_error"),
        (PROBABILITIES.reshape(6, 4, 1), "agreement"),
    ],
)
def test_without_labels_outputs_say_which_metric(outputs: np.ndarray, name: str) -> None:
    assert unlabelled_metric(outputs) == name
    assert score(name, outputs, None) == pytest.approx(
        100 if name in ("agreement", "cosine") else 0
    )


def test_integer_outputs_are_answers() -> None:
    # Of IDS 3 0 2 2 1 3 the labels share four of six; as a share of equal values with a teacher too.
    other = np.array([3, 0, 2, 1, 1, 0])
    assert score("top1", IDS, other) == pytest.approx(100 * 4 / 6)
    assert score("agreement", IDS, None, reference=other) == pytest.approx(100 * 4 / 6)
    maps = np.zeros((2, 2, 3), np.int64)
    changed = maps.copy()
    changed[0, 0, 0] = 1
    assert score("agreement", changed, None, reference=maps) == pytest.approx(100 * 11 / 12)
