"""Agreement of classes where the teacher itself has hardly decided."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.metrics import score

SPREAD = np.array([[9.0, 0, 0], [0, 9, 0], [0, 0, 9]])  # makes logits vary by several units


def beside(row: list[float]) -> np.ndarray:
    return np.vstack([SPREAD, row])


def chosen(k: int) -> np.ndarray:
    return np.vstack([SPREAD, np.eye(3)[k]])


@pytest.mark.parametrize(
    ("row", "chosen_class", "percent"),
    [
        ([2.0, 1.96, 0.0], 1, 100),  # a gap of 0.04: 4 % likelier
        ([2.0, 1.9, 0.0], 1, 75),
        ([2.0, 1.96, 0.0], 2, 75),  # the third class is far off
    ],
)
def test_a_class_that_the_teacher_scores_as_high_as_its_own_is_no_miss(
    row: list[float], chosen_class: int, percent: float
) -> None:
    assert score("agreement", chosen(chosen_class), None, reference=beside(row)) == percent


def test_a_tie_of_probabilities_is_told_by_their_ratio() -> None:
    teacher = np.array(
        [[0.98, 0.01, 0.01], [0.02, 0.97, 0.01], [0.40, 0.41, 0.19], [0.40, 0.45, 0.15]]
    )
    model = np.array([[0.9, 0.1, 0], [0.1, 0.9, 0], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    # ln(0.41/0.40) = 0.025, ln(0.45/0.40) = 0.118
    assert score("agreement", model, None, reference=teacher) == 75


def test_outputs_whose_whole_range_is_small_are_not_all_ties() -> None:
    teacher, model = SPREAD / 1000, SPREAD[::-1] / 1000
    assert score("agreement", model, None, reference=teacher) == pytest.approx(100 / 3)


def test_one_number_is_undecided_about_its_threshold() -> None:
    logits = np.array([-4.0, 4, -0.03, 0.03, -0.2])
    assert score("agreement", np.ones(5), None, reference=logits) == pytest.approx(60)
    probabilities = np.array(
        [0.02, 0.98, 0.49, 0.51, 0.45]
    )  # logit(0.51) = 0.040, logit(0.45) = -0.201
    assert score("agreement", np.full(5, 0.9), None, reference=probabilities) == pytest.approx(60)


def test_places_of_a_map_are_looked_at_one_by_one() -> None:
    teacher = np.zeros((2, 2, 1, 2))
    teacher[0, 0], teacher[1, 1] = 5, 5
    teacher[0, :, 0, 1] = 1.0, 0.98
    model = teacher.copy()
    model[0, :, 0, 1] = 0, 1  # a near tie
    model[1, :, 0, 0] = 1, 0  # a miss
    assert score("agreement", model, None, reference=teacher) == 75
