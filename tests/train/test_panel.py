"""Several teachers: their mean probabilities, and the best of them for each sample."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from squeeze.errors import ConfigError
from squeeze.guides import cache_answers, open_answers
from squeeze.guides.panel import Panel, best, mean
from squeeze.guides.views import Views
from squeeze.progress import Progress
from squeeze.steps.guiding import agreement
from tests.train import samples

SHAPE = (1, 8, 8)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


@pytest.fixture
def answers() -> list[np.ndarray]:
    random = np.random.default_rng(2)
    return [3 * random.normal(size=(6, 4)).astype(np.float32) for _ in range(3)]


def test_the_mean_is_of_probabilities_by_weight(answers: list[np.ndarray]) -> None:
    weights = (1.0, 0.5, 2.5)
    expected = sum(w / 4 * softmax(z) for w, z in zip(weights, answers, strict=True))
    np.testing.assert_allclose(softmax(mean(answers, weights)), expected, rtol=1e-5)
    np.testing.assert_allclose(softmax(mean(answers[:1], (1.0,))), softmax(answers[0]), rtol=1e-5)
    # Sure of one class each: halves, in numbers that float32 does not lose.
    both = mean([np.float32([[500, 0]]), np.float32([[0, 500]])], (1, 1))
    np.testing.assert_allclose(softmax(both), [[0.5, 0.5]])


def test_the_best_is_who_is_nearest_to_the_label(answers: list[np.ndarray]) -> None:
    labels = np.array([0, 1, 2, 3, 0, 1])
    losses = [-np.log(softmax(z)[np.arange(6), labels]) for z in answers]
    expected = [answers[k][i] for i, k in enumerate(np.argmin(losses, 0))]
    np.testing.assert_array_equal(best(answers, labels), expected)
    blends = 0.7 * np.eye(4)[labels] + 0.3 * np.eye(4)[labels[::-1]]
    losses = [-(blends * np.log(softmax(z))).sum(1) for z in answers]
    expected = [answers[k][i] for i, k in enumerate(np.argmin(losses, 0))]
    np.testing.assert_array_equal(best(answers, blends.astype(np.float32)), expected)


def test_the_best_is_the_surest_where_there_are_no_labels_of_its_classes(
    answers: list[np.ndarray],
) -> None:
    entropies = [-(softmax(z) * np.log(softmax(z))).sum(1) for z in answers]
    expected = [answers[k][i] for i, k in enumerate(np.argmin(entropies, 0))]
    for labels in (None, np.zeros((6, 9), np.float32)):
        np.testing.assert_array_equal(best(answers, labels), expected)
    same = [answers[0], answers[0].copy()]
    np.testing.assert_array_equal(best(same, None), answers[0])


def test_answers_are_those_of_the_panel_and_features_of_the_teacher(tmp_path: Path) -> None:
    data, part = samples.calib(), samples.part()
    first, second = (
        samples.linear_teacher(tmp_path / str(gain), SHAPE, gain=gain) for gain in (1.0, 4.0)
    )
    views, rows = Views(data, part, 0), np.arange(len(data.fit))
    digests = set()
    for how in ("mean", "best"):
        panel = Panel((second,), (3.0,), how)
        cache_answers(
            first,
            data,
            part,
            seed=0,
            threads=1,
            folder=tmp_path / "answers",
            progress=Progress(),
            taps=("embedding",),
            panel=panel,
        )
        found = open_answers(views, folder=tmp_path / "answers")
        seen = views.at(rows, 1)
        each = [one.outputs(seen.x).logits for one in (first, second)]
        expected = panel.joined(each, seen.labels)
        answer = found.at(rows, np.ones_like(rows), ("embedding",))
        np.testing.assert_allclose(answer.logits, expected, rtol=2e-3, atol=2e-3)
        np.testing.assert_array_equal(answer.taps["embedding"], seen.x.reshape(len(rows), -1))
        plain = data.inputs(data.calibrate)
        each = [one.outputs(plain).logits for one in (first, second)]
        expected = panel.joined(each, data.calibrate.y)
        np.testing.assert_allclose(found.plain, expected, rtol=2e-3, atol=2e-3)
        digests.add(found.digest)
    assert len(digests) == 2


def test_a_panel_is_told_apart_by_who_is_in_it_and_how_they_are_joined(tmp_path: Path) -> None:
    one = samples.linear_teacher(tmp_path, SHAPE)
    other = replace(one, digest="another")
    panels = [
        Panel((one,), (1.0,)),
        Panel((other,), (1.0,)),
        Panel((one, other), (1.0, 1.0)),
        Panel((one,), (0.5,)),
        Panel((one,), (1.0,), "best"),
    ]
    keys = [panel.key() for panel in panels]
    assert all(a != b for i, a in enumerate(keys) for b in keys[:i])
    assert Panel((one,), (0.5,), "best").key() == keys[-1]


def test_a_guide_of_other_classes_is_refused(tmp_path: Path) -> None:
    data, teacher = samples.calib(), samples.linear_teacher(tmp_path / "0", SHAPE)
    warm = samples.linear_teacher(tmp_path / "1", SHAPE, gain=2.0)
    assert agreement(teacher, warm, data, 1) > 90
    fewer = samples.linear_teacher(tmp_path / "2", SHAPE, 2)
    with pytest.raises(ConfigError, match=r"gives logits float32 \[n, 2\], the teacher"):
        agreement(teacher, fewer, data, 1)
    turned = samples.linear_teacher(tmp_path / "3", SHAPE, gain=-1.0)
    with pytest.raises(ConfigError, match=r"for \d+\.\d % of the samples; its classes are in ano"):
        agreement(teacher, turned, data, 1)
