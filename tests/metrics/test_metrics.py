from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from squeeze.errors import ConfigError
from squeeze.metrics import METRICS, describe, resolve, score
from squeeze.metrics.auc import area

LOGITS = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [1.0, 0.0, 0.5], [0.1, 0.2, 0.3]], np.float32)


def test_top1_counts_hits() -> None:
    assert score("top1", LOGITS, np.array([0, 1, 1, 2])) == 75
    assert score("top1", LOGITS, np.eye(3)[[0, 1, 1, 2]]) == 75
    assert score("top1", LOGITS, np.array([[0], [1], [1], [2]])) == 75


def test_top1_of_maps_counts_places() -> None:
    outputs = np.zeros((1, 2, 2, 2), np.float32)
    outputs[0, 1, 0] = 1  # class 1 in the upper row
    assert score("top1", outputs, np.array([[[1, 1], [1, 0]]])) == 75


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_top1_of_one_output_takes_logits_and_probabilities(shape: tuple[int, ...]) -> None:
    labels = np.array([0, 1, 1, 0])
    assert score("top1", np.array([-1.0, 0.2, 3.0, 0.1]).reshape(shape), labels) == 75
    assert score("top1", np.array([0.4, 0.6, 0.9, 0.7]).reshape(shape), labels) == 75


def test_top1_refuses_labels_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"top1: labels \[4, 5\] do not fit outputs \[4, 3\]"):
        score("top1", LOGITS, np.zeros((4, 5), int))


def test_area_counts_pairs_and_halves_ties() -> None:
    # Pairs (positive, negative): 0.8>0.3, 0.8>0.5, 0.5>0.3, 0.5=0.5 -> 3.5 of 4.
    scores, positive = np.array([0.8, 0.3, 0.5, 0.5]), np.array([True, False, True, False])
    assert area(scores, positive) == 0.875


@pytest.mark.parametrize(
    "outputs",
    [
        np.array([0.8, 0.3, 0.5, 0.5]),
        np.array([[0.8], [0.3], [0.5], [0.5]]),
        np.array([[0.2, 0.8], [0.7, 0.3], [0.5, 0.5], [0.5, 0.5]]),
        np.array([[-900.0, 900.0], [5.0, 0.0], [1.0, 2.0], [3.0, 4.0]]),
    ],
    ids=["flat", "one-output", "probabilities", "logits"],
)
def test_auc_of_two_classes_takes_one_or_two_outputs(outputs: np.ndarray) -> None:
    assert score("auc", outputs, np.array([1, 0, 1, 0])) == 87.5


def test_auc_of_three_classes_is_the_mean_of_one_against_the_rest() -> None:
    # Rows are probabilities. Class 0 against the rest: 0.6 > 0.3, 0.2 -> 2 of 2, and 0.25 < 0.3 -> 1 of 2: 3 of 4.
    # Class 1: 0.5 > 0.1, 0.3, 0.35 -> 3 of 3. Class 2: 0.6 > 0.3, 0.2, 0.4 -> 3 of 3.
    outputs = np.array([[0.6, 0.1, 0.3], [0.3, 0.5, 0.2], [0.25, 0.35, 0.4], [0.2, 0.2, 0.6]])
    assert score("auc", outputs, np.array([0, 1, 0, 2])) == pytest.approx(100 * (0.75 + 1 + 1) / 3)
    # The same ranks come from logits with these softmax values.
    assert score("auc", np.log(outputs) + 3, np.array([0, 1, 0, 2])) == pytest.approx(
        100 * (0.75 + 1 + 1) / 3
    )


def test_auc_of_several_labels_is_the_mean_over_columns() -> None:
    outputs = np.array([[0.9, 0.1], [0.2, 0.3], [0.4, 0.2]])
    labels = np.array([[1, 0], [0, 0], [1, 1]])
    # Column 0: 2 of 2 pairs. Column 1: 0.2 > 0.1, 0.2 < 0.3 -> 1 of 2.
    assert score("auc", outputs, labels) == 75


def test_auc_says_what_is_missing_when_there_is_one_class_only() -> None:
    with pytest.raises(ConfigError, match="one class only"):
        score("auc", LOGITS, np.zeros(4, int))
    with pytest.raises(ConfigError, match="labels must be 0 or 1"):
        score("auc", LOGITS[:, :2], np.array([0, 1, 2, 0]))
    with pytest.raises(ConfigError, match="do not fit"):
        score("auc", LOGITS, np.zeros((4, 2), int))


def test_mse_is_the_mean_of_squares() -> None:
    assert score("mse", np.array([[1.0], [2.0]]), np.array([0.0, 4.0])) == 2.5
    assert score("mse", np.array([1.0, 2.0]), np.array([[0.0], [4.0]])) == 2.5
    with pytest.raises(ConfigError, match="one number for each output"):
        score("mse", LOGITS, np.zeros(4))


def test_cosine_is_the_mean_over_rows() -> None:
    outputs = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    labels = np.array([[6.0, 8.0], [0.0, 2.0], [1.0, 0.0], [0.0, 0.0]])
    # 1 (parallel), 0 (right angle), 0 (one is zero), 1 (both are).
    assert score("cosine", outputs, labels) == 50


def test_spearman_of_one_output_ranks_over_samples() -> None:
    # d = 0, 1, 1, 0, 0: 1 - 6 * 2 / (5 * 24) = 0.9.
    assert score("spearman", np.array([1.0, 3.0, 2.0, 4.0, 50.0]), np.arange(5)) == pytest.approx(
        90
    )
    # Ranks 1.5 1.5 3 4 against 1 2 3 4: Pearson 4.5 / sqrt(4.5 * 5).
    tied = score("spearman", np.array([[7.0], [7.0], [8.0], [9.0]]), np.arange(4))
    assert tied == pytest.approx(100 * 4.5 / math.sqrt(22.5))


def test_spearman_of_several_outputs_is_the_mean_over_rows() -> None:
    outputs = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    assert score("spearman", outputs, np.array([[10.0, 20.0, 30.0]] * 2)) == pytest.approx(0)
    constant = np.ones((2, 3))
    assert score("spearman", constant, outputs) == 0
    assert score("spearman", constant, constant) == 100


def test_agreement_compares_classes_with_the_teacher_and_ignores_labels() -> None:
    teacher = LOGITS[:, [0, 2, 1]]
    # Classes 0 1 0 2 against 0 2 0 1.
    assert score("agreement", LOGITS, np.zeros(4), reference=teacher) == 50
    assert score("agreement", LOGITS, None) == 100
    with pytest.raises(ConfigError, match="the same shape"):
        score("agreement", LOGITS, None, reference=teacher[:, :2])


def test_agreement_of_one_output_uses_the_teachers_threshold() -> None:
    logits = np.array([-3.0, 0.3, 0.4, 2.0])
    assert score("agreement", np.array([0.1, 0.3, 0.4, 0.9]), None, reference=logits) == 75
    probabilities = np.array([0.1, 0.6, 0.4, 0.9])
    assert score("agreement", np.array([0.2, 0.7, 0.6, 0.8]), None, reference=probabilities) == 75


@pytest.mark.parametrize("name", ["cosine", "mse", "spearman"])
def test_score_compares_with_the_teacher_when_there_are_no_labels(name: str) -> None:
    itself = score(name, LOGITS, None)
    assert itself == pytest.approx(0 if name == "mse" else 100)
    assert score(name, LOGITS, None, reference=LOGITS[::-1]) != pytest.approx(itself)


@pytest.mark.parametrize("name", ["top1", "auc"])
def test_score_says_what_to_do_when_labels_are_missing(name: str) -> None:
    with pytest.raises(
        ConfigError, match=f"{name}: needs labels.*agreement, channel_error, cosine, "
    ):
        score(name, LOGITS, None, reference=LOGITS)


def test_score_refuses_as_many_labels_as_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="4 outputs but 3 labels"):
        score("top1", LOGITS, np.zeros(3, int))
    with pytest.raises(ConfigError, match="there are no samples"):
        score("top1", LOGITS[:0], np.zeros(0, int))


def test_drop_is_in_points_and_for_mse_in_percent() -> None:
    assert resolve("top1").drop(90.0, 88.5) == 1.5
    assert resolve("cosine").drop(90.0, 95.0) == -5
    assert resolve("mse").drop(2.0, 2.5) == pytest.approx(25)
    assert resolve("mse").drop(0.0, 0.0) == 0
    assert resolve("mse").drop(0.0, 0.1) == math.inf


def test_describe_has_unit_and_name() -> None:
    assert describe("top1", 94.184) == "94.18 % top-1"
    assert describe("agreement", 100.0) == "100.00 % teacher agreement"
    assert describe("mse", 0.01234567) == "0.01235 mean squared error"
    assert describe("error", 0.5) == "0.50 % relative squared error"


def test_resolve_suggests_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown 'top2'\. Did you mean 'top1'"):
        resolve("top2")
    assert {key: metric.key for key, metric in METRICS.items()} == {key: key for key in METRICS}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_metrics.py").write_text(
        "import numpy as np\n"
        "VALUE = 3\n"
        "def share(outputs, labels): return np.float32((outputs > labels).mean())\n"
        "def fails(outputs, labels): raise KeyError('no such column')\n"
        "def nothing(outputs, labels): return float('nan')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_metrics"
    sys.modules.pop("own_metrics", None)


def test_resolve_takes_a_function_of_the_users(own: str) -> None:
    metric = resolve(f"{own}:share")
    outputs = np.array([1.0, 2.0, 3.0, 4.0])
    name = metric.key
    assert score(name, outputs, np.array([0.0, 5.0, 0.0, 0.0])) == 0.75
    assert resolve(name).drop(0.75, 0.5) == 0.25
    with pytest.raises(ConfigError, match="needs labels"):
        score(name, outputs, None)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (":absent", "cannot be imported.*PYTHONPATH"),
        (":VALUE", "got a int"),
        (":fails", "failed: KeyError"),
        (":nothing", "gave nan"),
    ],
)
def test_score_says_what_is_wrong_with_a_function_of_the_users(
    own: str, function: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        score(own + function, np.zeros(2), np.zeros(2))
    with pytest.raises(ConfigError, match="cannot be imported"):
        resolve("no.such.module:f")
