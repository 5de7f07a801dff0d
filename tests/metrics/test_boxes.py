"""Boxes of detectors: which forms are told, and how many boxes are the float model's, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.errors import ConfigError
from squeeze.metrics import Reading, interval, score, scores
from squeeze.metrics.boxes import Form, form_of, overlaps

RNG = np.random.default_rng(0)
ANCHORS = 40


def fields(*boxes: tuple[float, float, float, float, int, float], classes: int = 2) -> np.ndarray:
    """One sample [4 + classes, anchors]: (x, y, w, h, class, score) each, the rest far away with low scores."""
    sample = np.zeros((4 + classes, ANCHORS))
    sample[:4] = np.array([[5.0], [5.0], [1.0], [1.0]])
    sample[4:] = 0.01
    for i, (x, y, w, h, kind, sure) in enumerate(boxes):
        sample[:4, i] = x, y, w, h
        sample[4 + kind, i] = sure
    return sample


CAT, DOG = (100, 100, 40, 40, 0, 0.9), (300, 100, 40, 40, 1, 0.8)
WANTED = np.stack([fields(CAT, DOG), fields(CAT), fields(DOG)])


def f1(*samples: np.ndarray) -> float:
    return score("f1_boxes", np.stack(samples), None, WANTED)


def test_overlap_is_intersection_over_union() -> None:
    a = np.array([[0.0, 0, 2, 2], [5, 5, 5, 9]])
    b = np.array([[1.0, 0, 3, 2], [0, 0, 2, 2], [9, 9, 8, 8]])
    # 2 of 6; the same box; a box without area, and one that is turned inside out, share nothing.
    np.testing.assert_allclose(overlaps(a, b), [[2 / 6, 1, 0], [0, 0, 0]])


def test_boxes_are_matched_by_place_and_class() -> None:
    assert f1(*WANTED) == 100
    # The cat of the second sample is gone: 3 matched of 3 and 4.
    assert f1(WANTED[0], fields(), WANTED[2]) == pytest.approx(100 * 6 / 7)
    # Moved by 10 of 40: 30 of 50 are shared, 0.6. By 20: 20 of 60.
    moved = fields((110, 100, 40, 40, 0, 0.9))
    assert f1(WANTED[0], moved, WANTED[2]) == 100
    away = fields((120, 100, 40, 40, 0, 0.9))
    assert f1(WANTED[0], away, WANTED[2]) == pytest.approx(100 * 6 / 8)
    # The right place, but a dog.
    assert f1(WANTED[0], fields((*CAT[:4], 1, 0.9)), WANTED[2]) == pytest.approx(100 * 6 / 8)


def test_scores_that_are_lost_lose_all_boxes() -> None:
    lost = WANTED.copy()
    lost[:, 4:] = 0
    assert score("f1_boxes", lost, None, WANTED) == 0


def test_box_over_a_better_one_of_its_class_is_no_box() -> None:
    twice = fields(CAT, DOG, (102, 100, 40, 40, 0, 0.6))
    assert f1(twice, *WANTED[1:]) == 100
    another = fields(
        CAT, DOG, (102, 100, 40, 40, 1, 0.6)
    )  # of another class it is one: 4 of 4 and 5
    assert f1(another, *WANTED[1:]) == pytest.approx(100 * 8 / 9)


def test_fields_may_come_last_with_objectness() -> None:
    wanted = np.swapaxes(WANTED, 1, 2)
    with_object = np.concatenate(
        [wanted[..., :4], np.full((3, ANCHORS, 1), 0.5), wanted[..., 4:]], axis=2
    )
    assert form_of(with_object) == Form(2, corners=False, first=5, objectness=True)
    unlikely = with_object.copy()
    unlikely[1, :, 4] = 0.1  # 0.1 * 0.9 is below 0.25
    assert score("f1_boxes", unlikely, None, with_object) == pytest.approx(100 * 6 / 7)
    assert form_of(wanted[..., :5]) == Form(2, corners=False, first=4)


def test_corners_and_a_softmax_with_a_background_are_told() -> None:
    low = WANTED[:, :2] - WANTED[:, 2:4] / 2
    boxes = np.swapaxes(np.concatenate([low, low + WANTED[:, 2:4]], axis=1), 1, 2)
    some = np.swapaxes(WANTED[:, 4:], 1, 2)
    softmax = np.concatenate([1 - some.sum(axis=2, keepdims=True), some], axis=2)
    found = np.concatenate([boxes, softmax], axis=2)
    assert form_of(found) == Form(2, corners=True, background=0)
    gone = found.copy()
    gone[1, 0, 4:] = 1, 0, 0
    assert score("f1_boxes", gone, None, found) == pytest.approx(100 * 6 / 7)


def test_boxes_that_the_model_sorted_out_are_taken_as_they_are() -> None:
    wanted = np.zeros((2, 10, 6))
    wanted[:, 0] = 10, 10, 50, 50, 0.9, 3
    wanted[:, 1] = 12, 10, 50, 50, 0.8, 3  # over the first: its suppression let it stand
    assert form_of(wanted) == Form(2, corners=True, sorted_out=True)
    other = wanted.copy()
    other[0, 1, 5] = 2
    # 3 of 4 and 4.
    assert score("f1_boxes", other, None, wanted) == 75


def test_threshold_follows_a_model_that_is_never_sure() -> None:
    wanted = WANTED.copy()
    wanted[:, 4:] *= 0.1  # the highest are 0.09, 0.09 and 0.08: from 0.045 on a box counts
    lost = wanted.copy()
    lost[0, 4:, 1] = 0.04
    assert score("f1_boxes", lost, None, wanted) == pytest.approx(100 * 6 / 7)


@pytest.mark.parametrize(
    "outputs",
    [
        RNG.normal(size=(3, 6, 40)),  # negative sizes: offsets to anchors
        np.concatenate([WANTED[:, :4], RNG.normal(size=(3, 2, 40))], axis=1),  # logits
        np.concatenate([WANTED, np.full((3, 10, 40), 7.0)], axis=1),  # key points behind the scores
        WANTED[:, :, :10],
        RNG.uniform(size=(3, 40)),
        RNG.uniform(size=(3, 6, 8, 8)),
    ],
    ids=["offsets", "logits", "key-points", "few", "vectors", "maps"],
)
def test_other_outputs_hold_no_boxes(outputs: np.ndarray) -> None:
    assert form_of(outputs) is None
    with pytest.raises(
        ConfigError, match=r"no boxes can be told in outputs \['n', .*channel_error"
    ):
        score("f1_boxes", outputs, None)


def test_too_few_anchors_are_refused_with_the_number_that_is_enough() -> None:
    with pytest.raises(ConfigError, match=r"\['n', 6, 19\].*20 anchors or more"):
        score("f1_boxes", WANTED[:, :, :19], None)
    assert form_of(WANTED[:, :, :20]) is not None


def test_boxes_and_scores_of_two_outputs_are_read_together() -> None:
    teacher = {"b": np.swapaxes(WANTED[:, :4], 1, 2), "s": np.swapaxes(WANTED[:, 4:], 1, 2)}
    student = {"b": teacher["b"], "s": teacher["s"] * [1.0, 0.1]}
    pair = Reading("b", "f1_boxes", ("s",))
    (found,) = scores([pair], student, None, teacher)
    # Both dogs are gone: 2 matched of 2 and 4.
    assert (found.output, found.metric, found.value) == (
        "b",
        "f1_boxes",
        pytest.approx(100 * 4 / 6),
    )
    low, high = interval(pair, student, None, teacher) or (0, 0)
    assert low == 0
    assert high == 100
