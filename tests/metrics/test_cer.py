"""Texts against labelled ones, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.errors import ConfigError
from squeeze.metrics import interval, score, scores
from squeeze.metrics.reading import Reading


def path(*classes: int, of: int = 5) -> np.ndarray:
    """Scores [t, of] of which the best are these classes."""
    return np.eye(of)[list(classes)] * 0.9 + 0.02


# 0 is the blank: most steps have it.
OUTPUTS = np.stack([path(0, 1, 1, 0, 2, 0, 0, 0), path(0, 3, 0, 3, 0, 0, 4, 0)])
LABELS = np.array([[1, 2, -1, -1], [3, 3, 4, -1]])


def test_errors_are_edits_per_labelled_character() -> None:
    assert score("cer", OUTPUTS, LABELS) == 0
    # 1 2 for 1 4 2: one is missing. 3 3 4 for 3 2: one changed, one too many. Three of five.
    assert score("cer", OUTPUTS, np.array([[1, 4, 2], [3, 2, -1]])) == pytest.approx(60)


def test_blank_is_that_of_the_float_model() -> None:
    # A ruined file that says 1 at nearly every step: of 1 2 the 2 is missing, of 3 3 4 all are wrong or missing.
    ruined = np.stack([path(1, 1, 1, 1, 1, 1, 1, 1)] * 2)
    found = scores([Reading("y", "cer")], {"y": ruined}, LABELS, {"y": OUTPUTS})
    assert found[0].value == pytest.approx(100 * 4 / 5)


def test_interval_holds_the_value() -> None:
    labels = np.array([[1, 4, 2], [3, 3, 4]])
    low, high = interval(Reading("y", "cer"), {"y": OUTPUTS}, labels, None) or (1, 0)
    # Only one of the samples has an error: one in three characters.
    assert (low, high) == pytest.approx((0, 100 / 3))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.array([1, 3]), r"labels \['n'\], allowed: .*\[n, length\]"),
        (np.array([[1, 5], [3, 3]]), r"labels go up to 5, allowed: -1\.\.4"),
        (np.array([[1, 2, 0], [3, 3, 4]]), "labels have class 0, .* the blank"),
    ],
    ids=["classes", "beyond", "blank"],
)
def test_labels_that_are_no_texts_are_refused(labels: np.ndarray, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        score("cer", OUTPUTS, labels)
