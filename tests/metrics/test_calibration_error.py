"""Expected calibration error against numbers that were worked out by hand: 15 bins of width 1/15."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.metrics.calibration_error import calibration_error

# In bins of their own: 0.1 + 0.8 + 0.3 + 0.4 over four samples, of which the second one is wrong.
SHARES = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
LABELS = np.array([0, 1, 1, 1])


def test_each_bin_is_held_against_its_share_of_right_answers() -> None:
    assert calibration_error(SHARES, LABELS, SHARES) == pytest.approx(40.0)


def test_samples_of_one_bin_make_up_for_each_other() -> None:
    # (13/15, 14/15] has both: half of them are right, and 0.92 is what they say.
    shares = np.array([[0.91, 0.09], [0.93, 0.07]])
    assert calibration_error(shares, np.array([0, 1]), shares) == pytest.approx(42.0)


def test_upper_end_belongs_to_a_bin_and_its_lower_end_does_not() -> None:
    # 0.75 and 0.8 = 12/15 are in (11/15, 12/15], 0.81 is in the next one: |1 - 1.55| + |1 - 0.81|.
    shares = np.array([[0.75, 0.25], [0.8, 0.2], [0.81, 0.19]])
    found = calibration_error(shares, np.array([0, 1, 0]), shares)
    assert found == pytest.approx(100 * (0.55 + 0.19) / 3)


def test_logits_go_through_a_softmax_and_probabilities_through_no_second_one() -> None:
    logits = np.log(SHARES) + np.array([[3.0], [-50.0], [0.0], [900.0]])
    assert calibration_error(logits, LABELS, logits) == pytest.approx(40.0)


def test_the_teacher_tells_what_the_outputs_are() -> None:
    # Rows of a softmax in int8 need not add up to 1.
    rough = SHARES * 1.02
    assert calibration_error(rough, LABELS, SHARES) == pytest.approx(
        100 * (abs(1 - 0.918) + 0.816 + abs(1 - 0.714) + abs(1 - 0.612)) / 4
    )


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_one_number_tells_two_classes_apart(shape: tuple[int, ...]) -> None:
    # Sure of 1 by 0.9, 0.8 (wrong), of 0 by 0.7, 0.6: the same bins and shares as above.
    ones = np.array([0.9, 0.8, 0.3, 0.4]).reshape(shape)
    labels = np.array([1, 0, 0, 0])
    assert calibration_error(ones, labels, ones) == pytest.approx(40.0)
    logits = np.log(ones / (1 - ones))
    assert calibration_error(logits, labels, logits) == pytest.approx(40.0)


def test_a_certain_and_right_answer_has_no_error() -> None:
    sure = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert calibration_error(sure, np.array([0, 1]), sure) == 0


def test_answers_without_a_probability_have_none() -> None:
    each_for_itself = np.array([[0.9, 0.9], [0.1, 0.8]])
    assert calibration_error(each_for_itself, np.array([0, 1]), each_for_itself) is None
    whole = np.array([0, 1])
    assert calibration_error(whole, whole, whole) is None
