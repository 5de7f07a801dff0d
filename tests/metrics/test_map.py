"""Detectors against labelled boxes: by hand, and beside an average precision that is written in another way."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.errors import ConfigError
from squeeze.interface import Interface, TensorSpec
from squeeze.metrics import Reading, Scorer, interval, readings, score, scores, scores_of

ANCHORS = 40
NONE = [-1.0] * 5


def fields(*boxes: tuple[float, float, float, float, int, float], classes: int = 2) -> np.ndarray:
    """One sample [4 + classes, anchors]: (x1, y1, x2, y2, class, score) each; the rest far away and below 0.001."""
    sample = np.zeros((4 + classes, ANCHORS))
    sample[:4] = np.array([[500.0], [500.0], [1.0], [1.0]])
    sample[4:] = 0.0001
    for i, (x1, y1, x2, y2, kind, sure) in enumerate(boxes):
        sample[:4, i] = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
        sample[4 + kind, i] = sure
    return sample


# Of class 0 four boxes are labelled, of class 1 one.
LABELS = np.array(
    [
        [[0, 0, 40, 40, 0], [100, 0, 140, 40, 0], [0, 100, 40, 140, 1]],
        [[0, 0, 40, 40, 0], [100, 0, 140, 40, 0], NONE],
    ]
)
OUTPUTS = np.stack(
    [
        # right; moved by 10 of 40, 30 of 50 shared: 0.6; the dog moved by 4: 36 of 44, 0.818
        fields((0, 0, 40, 40, 0, 0.9), (110, 0, 150, 40, 0, 0.8), (4, 100, 44, 140, 1, 0.7)),
        # where nothing is, surer than the right one; the other is not found
        fields((300, 0, 340, 40, 0, 0.6), (0, 0, 40, 40, 0, 0.5)),
    ]
)


def test_average_precision_is_that_by_hand() -> None:
    # Class 0 at 0.5: right, right, wrong, right of 4: precision 1 up to a recall of 0.5 (51 of the 101 recalls), 0.75
    # up to 0.75 (25 of them), then 0. Class 1: 1.
    cat_half = (51 + 25 * 0.75) / 101
    assert score("map50", OUTPUTS, LABELS) == pytest.approx(100 * (cat_half + 1) / 2)
    # From 0.65 on the moved cat is wrong: right, wrong, wrong, right: 1 up to 0.25 (26), 0.5 up to 0.5 (25). The dog is
    # right up to 0.8, at seven thresholds of ten; the moved cat at 0.5, 0.55 and 0.6.
    cat_more = (26 + 25 * 0.5) / 101
    wanted = (0.3 * cat_half + 0.7 * cat_more + 0.7) / 2
    assert score("map", OUTPUTS, LABELS) == pytest.approx(100 * wanted)


def test_second_box_on_one_label_is_wrong_and_order_of_labels_is_none() -> None:
    labels = LABELS[:1, :1]
    twice = fields((0, 0, 40, 40, 0, 0.6), (0, 10, 40, 50, 0, 0.9))[None]  # 0.6 of it: two boxes
    # At 0.5 the surer one takes the label; at 0.65 and more it is wrong and the other right: 1 / 2.
    assert score("map50", twice, labels) == pytest.approx(100)
    assert score("map", twice, labels) == pytest.approx(100 * (3 + 7 * 0.5) / 10)
    assert score("map", OUTPUTS, LABELS[:, ::-1]) == pytest.approx(score("map", OUTPUTS, LABELS))


def test_suppression_drops_a_box_over_a_better_one() -> None:
    labels = LABELS[:1, :1]
    near = fields((0, 0, 40, 40, 0, 0.6), (0, 1, 40, 41, 0, 0.9))[None]  # 0.95 of it
    # One box is left, right up to 0.95: 39 / 41.
    assert score("map", near, labels) == pytest.approx(100)
    # The better one is another thing for another class.
    assert score("map50", near, np.array([[[0, 0, 40, 40, 1]]])) == 0


def test_samples_come_in_batches_and_only_records_of_them_are_kept() -> None:
    scorer = Scorer([Reading("y", "map")], LABELS, {"y": OUTPUTS})
    for i in range(2):
        scorer.take({"y": OUTPUTS[i : i + 1]})
    (found,) = scores_of(scorer)
    assert found.value == score("map", OUTPUTS, LABELS)
    assert not scorer._tallies[0].parts
    low, high = scorer.intervals()[0] or (0, 0)
    assert 0 < low < found.value < high <= 100


def test_ruined_model_scores_nothing_and_keeps_the_form_of_the_float_model() -> None:
    ruined = OUTPUTS.copy()
    ruined[:, 2:4] = -1  # no sizes: alone this would be no detector
    ruined[:, 4:] = 0
    assert scores([Reading("y", "map")], {"y": ruined}, LABELS, {"y": OUTPUTS})[0].value == 0


def independent(boxes: list[np.ndarray], labels: np.ndarray, least: float) -> float:
    """The same, one box, class and recall at a time; boxes: [d, 6] of corners, score, class for each sample."""
    found = []
    for kind in sorted({int(row[4]) for one in labels for row in one if row[4] >= 0}):
        wanted = sum(int(row[4] == kind) for one in labels for row in one)
        taken: set[tuple[int, int]] = set()
        rows = [(-b[4], i, j) for i, one in enumerate(boxes) for j, b in enumerate(one)]
        right = []
        for _, i, j in sorted(r for r in rows if boxes[r[1]][r[2]][5] == kind):
            best, at = 0.0, -1
            for k, row in enumerate(labels[i]):
                if row[4] == kind and (i, k) not in taken:
                    x1, y1, x2, y2 = boxes[i][j][:4]
                    wide = min(x2, row[2]) - max(x1, row[0])
                    high = min(y2, row[3]) - max(y1, row[1])
                    shared = max(wide, 0) * max(high, 0)
                    both = (x2 - x1) * (y2 - y1) + (row[2] - row[0]) * (row[3] - row[1]) - shared
                    if shared / both > best:
                        best, at = shared / both, k
            right.append(best >= least)
            if best >= least:
                taken.add((i, at))
        total = 0.0
        for recall in range(101):
            reached = [
                sum(right[: n + 1]) / (n + 1)
                for n in range(len(right))
                if 100 * sum(right[: n + 1]) >= recall * wanted
            ]
            total += max(reached, default=0.0)
        found.append(total / 101)
    return 100 * sum(found) / len(found)


def test_many_boxes_score_as_another_implementation_says() -> None:
    rng = np.random.default_rng(3)
    labels = np.full((6, 6, 5), -1.0)
    rows = np.zeros((6, 14, 6))  # sorted out by the model
    for i in range(6):
        count = int(rng.integers(2, 7))
        corner = rng.uniform(0, 200, (count, 2))
        labels[i, :count] = np.hstack(
            [corner, corner + rng.uniform(30, 60, (count, 2)), rng.integers(0, 3, (count, 1))]
        )
        for j in range(14):
            if count and j < 10:
                box = labels[i, j % count]
                moved = np.concatenate([box[:2], box[2:4]]) + rng.normal(0, 6, 4)
                rows[i, j, :4] = moved
                rows[i, j, 5] = box[4] if rng.uniform() < 0.8 else rng.integers(0, 3)
            else:
                rows[i, j, :4] = [1, 1, 40 + j, 40]
            rows[i, j, 4] = rng.uniform(0.01, 1)
        rows[i] = rows[i, np.argsort(-rows[i, :, 4])]
    boxes = list(rows)
    half = independent(boxes, labels, 0.5)
    assert 5 < half < 95
    assert score("map50", rows, labels) == pytest.approx(half)
    thresholds = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    mean = np.mean([independent(boxes, labels, t) for t in thresholds])
    assert score("map", rows, labels) == pytest.approx(mean)


def test_interval_is_that_of_samples_drawn_again() -> None:
    rng = np.random.default_rng(0)
    n = 20
    outputs = np.concatenate([OUTPUTS] * (n // 2))
    labels = np.concatenate([LABELS] * (n // 2))
    found = interval(Reading("y", "map50"), {"y": outputs}, labels, None)
    assert found is not None
    drawn = [rng.integers(0, n, n) for _ in range(80)]
    values = [score("map50", outputs[d], labels[d]) for d in drawn]
    np.testing.assert_allclose(found, np.percentile(values, [2.5, 97.5]), atol=5)


def interface(**outputs: tuple[int, ...]) -> Interface:
    given = tuple(TensorSpec(name, "float32", shape) for name, shape in outputs.items())
    return Interface((TensorSpec("x", "float32", (4,)),), given)


def test_output_with_boxes_is_read_and_a_pair_together() -> None:
    whole = interface(mask=(3, 8), y=(6, ANCHORS))
    given = {"mask": np.random.default_rng(0).normal(size=(2, 3, 8)), "y": OUTPUTS}
    assert readings(whole, LABELS, given, "map") == (Reading("y", "map"),)
    pair = interface(b=(ANCHORS, 4), s=(ANCHORS, 2))
    parts = {"b": np.swapaxes(OUTPUTS[:, :4], 1, 2), "s": np.swapaxes(OUTPUTS[:, 4:], 1, 2)}
    (found,) = readings(pair, LABELS, parts, "map50")
    assert found == Reading("b", "map50", ("s",))
    value = scores([found], parts, LABELS, parts)[0].value
    assert value == pytest.approx(score("map50", OUTPUTS, LABELS))


@pytest.mark.parametrize(
    ("outputs", "labels", "words"),
    [
        (OUTPUTS, LABELS[..., :4], r"labels \['n', 3, 4\], allowed: \[n, boxes, 5\]"),
        (OUTPUTS, LABELS[:, 0], "allowed: .n, boxes, 5"),
        (np.zeros((2, 6, 40)), LABELS, r"no boxes can be told in outputs \['n', 6, 40\]"),
        (OUTPUTS, np.full((2, 3, 5), -1.0), "none of the 2 samples has a labelled box"),
        (OUTPUTS, LABELS / np.array([640, 640, 640, 640, 1]), "units of the model's boxes"),
    ],
    ids=["four", "one-row", "no-detector", "no-box", "other-units"],
)
def test_labels_and_outputs_that_say_nothing_are_refused(
    outputs: np.ndarray, labels: np.ndarray, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        score("map", outputs, labels)
