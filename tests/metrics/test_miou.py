from __future__ import annotations

import numpy as np
import pytest

from squeeze.errors import ConfigError
from squeeze.metrics import score


def maps(*rows: list[int], classes: int = 3) -> np.ndarray:
    """Scores [n, classes, 1, places] of which those of the classes in `rows` are highest."""
    return np.moveaxis(np.eye(classes)[np.array(rows)], 2, 1)[:, :, None] * 2 - 1


def test_miou_is_the_mean_over_classes_of_all_samples_together() -> None:
    wanted, got = [[0, 0, 1, 1], [0, 0, 0, 0]], [[0, 1, 1, 1], [0, 0, 0, 0]]
    # Class 0: 5 of 6 places. Class 1: 2 of 3. Class 2 has nobody.
    by_hand = 100 * (5 / 6 + 2 / 3) / 2
    assert score("miou", maps(*got), None, maps(*wanted)) == pytest.approx(by_hand)
    assert score("miou", maps(*got), np.array(wanted)[:, None]) == pytest.approx(by_hand)
    # A class that the labels have not counts against the model.
    assert score("miou", maps([2, 0, 1, 1], got[1]), None, maps(*wanted)) == pytest.approx(
        100 * (5 / 6 + 1 + 0) / 3
    )


def test_labels_of_255_do_not_count() -> None:
    labels = np.array([[[0, 0, 255, 1]], [[0, 0, 0, 0]]])
    # Class 0: 5 of 6. Class 1: 1 of 2.
    got = maps([0, 1, 0, 1], [0, 0, 0, 0])
    assert score("miou", got, labels) == pytest.approx(100 * (5 / 6 + 1 / 2) / 2)


@pytest.mark.parametrize(("low", "high"), [(0.2, 0.8), (-1.0, 0.3)], ids=["shares", "logits"])
def test_one_score_a_place_is_yes_or_no(low: float, high: float) -> None:
    wanted = np.where(np.array([[1, 1, 0, 0]]), high, low).reshape(1, 1, 1, 4)
    got = np.where(np.array([[1, 0, 0, 0]]), high, low).reshape(1, 1, 1, 4)
    # Yes: 1 of 2. No: 2 of 3.
    assert score("miou", got, None, wanted) == pytest.approx(100 * (1 / 2 + 2 / 3) / 2)


def test_miou_refuses_vectors_and_labels_of_another_size() -> None:
    with pytest.raises(ConfigError, match=r"miou: labels \[2, 3\] do not fit outputs \[2, 3\]"):
        score("miou", np.zeros((2, 3)), None)
    with pytest.raises(ConfigError, match="a class for each place"):
        score("miou", maps([0, 1, 2]), np.zeros((1, 1, 2), int))
