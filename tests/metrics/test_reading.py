"""Which metric is read off which output, what scores and drops that gives, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze.errors import ConfigError, MeasureError
from squeeze.interface import Interface, TensorSpec
from squeeze.metrics import Reading, Score, drops, readings, scores, split_name

RNG = np.random.default_rng(0)
LABELS = np.arange(12) % 5


def giving(**shapes: tuple[int, ...]) -> Interface:
    """A model with float outputs of these shapes."""
    outputs = tuple(TensorSpec(name, "float32", shape) for name, shape in shapes.items())
    return Interface((TensorSpec("x", "float32", (3,)),), outputs)


def answers(interface: Interface) -> dict[str, np.ndarray]:
    return {s.name: RNG.normal(size=(12, *s.shape)).astype(s.dtype) for s in interface.outputs}


DETECTOR = giving(boxes=(4, 9), scores=(5,), embedding=(16,))


def test_labels_are_read_off_the_first_output_that_they_fit() -> None:
    assert readings(DETECTOR, LABELS, answers(DETECTOR)) == (Reading("scores", "top1"),)
    several = giving(few=(4,), enough=(5,), more=(6,))
    assert readings(several, LABELS, answers(several))[0].output == "enough"
    numbers = RNG.normal(size=(12, 16)).astype(np.float32)
    assert readings(DETECTOR, numbers, answers(DETECTOR)) == (Reading("embedding", "mse"),)
    maps = giving(image=(5,), places=(6, 2, 2))
    found = readings(maps, RNG.integers(0, 5, (12, 2, 2)), answers(maps), "top1")
    assert found == (Reading("places", "top1"),)
    ids = Interface(
        maps.inputs, (TensorSpec("values", "float32", (3,)), TensorSpec("id", "int64", ()))
    )
    assert readings(ids, LABELS, {"values": RNG.normal(size=(12, 3)), "id": LABELS}) == (
        Reading("id", "top1"),
    )


def test_output_that_is_named_is_read() -> None:
    found = readings(DETECTOR, LABELS, answers(DETECTOR), "auc", "embedding")
    assert found == (Reading("embedding", "auc"),)
    assert readings(DETECTOR, LABELS, answers(DETECTOR), "auc@embedding") == found
    only = giving(logits=(3,))
    assert readings(only, LABELS, answers(only), "top1")[0].output == "logits"


def test_without_labels_each_output_has_its_metric() -> None:
    assert readings(DETECTOR, None, answers(DETECTOR)) == (
        Reading("boxes", "channel_error"),
        Reading("scores", "agreement"),
        Reading("embedding", "cosine"),
        Reading("embedding", "neighbours"),
    )
    assert readings(DETECTOR, None, answers(DETECTOR), None, "boxes") == (
        Reading("boxes", "channel_error"),
    )


def test_metric_without_labels_goes_to_the_outputs_that_it_fits() -> None:
    found = readings(DETECTOR, None, answers(DETECTOR), "agreement")
    assert [r.output for r in found] == ["scores", "embedding"]
    # Agreement is with the teacher, whether there are labels or not.
    assert readings(DETECTOR, LABELS, answers(DETECTOR), "agreement") == found
    mixed = Interface(
        DETECTOR.inputs, (TensorSpec("id", "int64", ()), TensorSpec("map", "float32", (2, 2)))
    )
    given = {"id": LABELS, "map": RNG.normal(size=(12, 2, 2))}
    assert readings(mixed, None, given, "cosine") == (Reading("map", "cosine"),)
    assert readings(mixed, None, given, "agreement") == (Reading("id", "agreement"),)
    # Where it fits none, what was asked for is done.
    maps = giving(map=(2, 2, 2))
    assert readings(maps, None, answers(maps), "agreement") == (Reading("map", "agreement"),)


@pytest.mark.parametrize(
    ("labels", "metric", "output", "words"),
    [
        (
            LABELS + 20,
            None,
            None,
            r"fit none of the outputs boxes .*; scores .*--metric METRIC@OUTPUT",
        ),
        (LABELS, "top1", "score", r"output of the model: unknown 'score'. Did you mean 'scores'"),
        (None, "cosine", "score", "Did you mean 'scores'"),
        (None, "top1", None, "top1: needs labels and the calibration set has none"),
        (LABELS, "top2", None, "Did you mean 'top1'"),
    ],
    ids=["none-fits", "output", "output-unlabelled", "labels", "metric"],
)
def test_reading_is_refused_when(
    labels: np.ndarray | None, metric: str | None, output: str | None, words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as e:
        readings(DETECTOR, labels, answers(DETECTOR), metric, output)
    assert len(str(e.value).splitlines()) == 1


def test_worst_drop_is_that_of_one_output() -> None:
    teacher = {"ids": np.arange(10), "map": RNG.normal(size=(10, 2, 2))}
    student = {"ids": np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 0]), "map": teacher["map"].copy()}
    student["map"][0] += 0.5
    wanted = (Reading("ids", "agreement"), Reading("map", "error"))
    before, after = scores(wanted, teacher, None, teacher), scores(wanted, student, None, teacher)
    spread = ((teacher["map"] - teacher["map"].mean(axis=0)) ** 2).sum()
    assert before == (Score("ids", "agreement", 100.0), Score("map", "error", 0.0))
    assert [s.value for s in after] == pytest.approx([90, 100 * 4 * 0.25 / spread])
    assert drops(before, after) == pytest.approx([10, 100 / spread])


def test_split_without_labels_is_compared_with_the_teacher_and_says_so() -> None:
    teacher = {"y": np.eye(4, dtype=np.float32)}
    student = {"y": np.eye(4, dtype=np.float32)[[0, 1, 2, 2]]}
    wanted = (Reading("y", "top1"),)
    assert scores(wanted, student, np.array([0, 1, 2, 3]), teacher)[0] == Score("y", "top1", 75)
    assert scores(wanted, student, None, teacher)[0] == Score("y", "agreement", 75)


def test_output_with_nan_is_named_and_others_may_have_it() -> None:
    outputs = {"a": np.ones((4, 2)), "masked": np.full((4, 2), -np.inf)}
    assert scores((Reading("a", "error"),), outputs, None, None)[0].value == 0
    outputs["a"][1, 0] = np.nan
    with pytest.raises(MeasureError, match="output 'a': values of 1 of 4 samples are not finite"):
        scores((Reading("a", "error"),), outputs, None, None)


def test_metric_and_output_are_told_apart() -> None:
    assert split_name("top1") == ("top1", None)
    assert split_name("top1@logits") == ("top1", "logits")
    assert split_name("a.b:f@out:0") == ("a.b:f", "out:0")
    for text in ("top1@", "@logits", ""):
        with pytest.raises(ConfigError, match="METRIC@OUTPUT"):
            split_name(text)


def test_key_of_a_reading_moves_with_the_users_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "own_reading.py"
    file.write_text("def f(outputs, labels): return 1.0\n")
    first = Reading("y", "own_reading:f").key()
    file.write_text("def f(outputs, labels): return 2.0\n")
    assert Reading("y", "own_reading:f").key() != first
    assert Reading("y", "top1").key() == {"output": "y", "metric": "top1"}
