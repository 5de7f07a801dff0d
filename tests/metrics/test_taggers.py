"""Taggers: tokens and exact spans, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze.errors import ConfigError
from squeeze.metrics import Beside, Reading, scores
from squeeze.metrics.span_f1 import Tag, spans

NAMES = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
NUMBER = {name: i for i, name in enumerate(NAMES)}


def classes(*rows: str) -> np.ndarray:
    """[n, t] of names; - is a token without a label."""
    return np.array([[NUMBER.get(name, -1) for name in row.split()] for row in rows])


def logits(*rows: str) -> np.ndarray:
    return 5 * np.eye(len(NAMES), dtype=np.float32)[np.maximum(classes(*rows), 0)]


def value(
    metric: str, outputs: np.ndarray, labels: np.ndarray, names: tuple[str, ...] = NAMES
) -> float:
    beside = Beside(dict, class_names=names)
    return scores([Reading("y", metric)], {"y": outputs}, labels, None, beside)[0].value


LABELS = classes("- B-PER I-PER O B-LOC -", "- O B-LOC - I-LOC O", "- B-PER B-PER O O -")
# Right: PER 1..3 of the first; LOC of the second, whose middle token does not count; one of two PER of the third.
FOUND = logits("O B-PER I-PER O O B-PER", "B-LOC O B-LOC B-PER I-LOC O", "O B-PER I-PER O O O")


def test_tokens_without_a_label_do_not_count() -> None:
    # Of 4, 4 and 4 tokens 3, 4 and 3 are right.
    assert value("token_accuracy", FOUND, LABELS) == pytest.approx(100 * 10 / 12)
    assert value("token_accuracy", FOUND.argmax(-1), LABELS) == pytest.approx(100 * 10 / 12)


def test_spans_are_right_as_a_whole() -> None:
    # Labelled 5: PER, LOC, LOC, PER, PER; found 3: PER, LOC, PER of two tokens; right 2.
    assert value("span_f1", FOUND, LABELS) == pytest.approx(100 * 2 * 2 / (5 + 3))
    assert value("span_f1", logits("O O O O O O"), classes("- O O O O -")) == 100


def test_kind_and_ends_have_to_agree() -> None:
    gold = classes("B-PER I-PER O")
    assert value("span_f1", logits("B-LOC I-LOC O"), gold) == 0
    assert value("span_f1", logits("B-PER O O"), gold) == 0
    assert value("span_f1", logits("O I-PER O"), gold) == 0
    # An I- without a B- begins a span.
    assert value("span_f1", logits("I-PER I-PER O"), gold) == 100


def test_spans_of_other_markings() -> None:
    def of(*names: str) -> set[tuple[int, int, str]]:
        made = {
            "O": Tag(None),
            "B": Tag("X", begins=True),
            "I": Tag("X"),
            "E": Tag("X", ends=True),
            "S": Tag("X", begins=True, ends=True),
        }
        return spans([made[name] for name in names])

    assert of("B", "I", "E", "S", "O", "S") == {(0, 3, "X"), (3, 4, "X"), (5, 6, "X")}
    assert of("B", "B", "I") == {(0, 1, "X"), (1, 3, "X")}
    assert of("B", "E", "I") == {(0, 2, "X"), (2, 3, "X")}


def test_names_that_are_no_spans_are_refused() -> None:
    with pytest.raises(
        ConfigError, match="needs the names of 5 classes as O, B-KIND and I-KIND, got NOUN"
    ):
        value("span_f1", FOUND, LABELS, ("NOUN", "VERB", "ADJ", "DET", "X"))
    with pytest.raises(ConfigError, match="got none"):
        value("span_f1", FOUND, LABELS, ())


def test_outputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="metric token_accuracy: labels"):
        value("token_accuracy", FOUND[:, :5], LABELS)
    with pytest.raises(ConfigError, match="labels go up to 4"):
        value("token_accuracy", FOUND[:, :, :3], LABELS)
