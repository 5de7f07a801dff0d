"""Guides: the one on disk and the one that asks now say the same, of logits and of taps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squeeze.errors import ConfigError
from squeeze.guides import Cached, Guide, ask_live, cache_answers, open_answers
from squeeze.guides.views import Views
from squeeze.progress import Progress
from squeeze.train.compute import Compute
from squeeze.train.student import learn_from
from tests.train import samples

ROWS, VIEWS = np.array([5, 199, 0, 5]), np.array([1, 0, 1, 0])


@pytest.fixture(params=["cached", "live"])
def guide(request: pytest.FixtureRequest, tmp_path: Path) -> Guide:
    """What the linear teacher, whose embedding is its flat input, says of views of blobs."""
    teacher, data, part = (
        samples.linear_teacher(tmp_path, (1, 8, 8)),
        samples.calib(),
        samples.part(),
    )
    if request.param == "live":
        return ask_live(teacher, Views(data, part, 0), threads=1)
    cache_answers(
        teacher,
        data,
        part,
        seed=0,
        threads=1,
        folder=tmp_path / "answers",
        progress=Progress(),
        taps=("embedding",),
    )
    return open_answers(Views(data, part, 0), folder=tmp_path / "answers")


def test_a_guide_answers_for_the_view_that_is_seen(guide: Guide) -> None:
    x = Views(samples.calib(), samples.part(), 0).at(ROWS, VIEWS).x.reshape(4, -1)
    weight, bias = samples.linear(64, 3)
    found = guide.at(ROWS, VIEWS, ("embedding",))
    np.testing.assert_allclose(found.logits, x @ weight + bias, rtol=2e-3, atol=2e-3)
    np.testing.assert_array_equal(found.taps["embedding"], x)
    assert guide.at(ROWS, VIEWS).taps == {}


def test_a_guide_answers_plain_inputs_of_the_calibrate_split(guide: Guide) -> None:
    data = samples.calib()
    weight, bias = samples.linear(64, 3)
    expected = data.inputs(data.calibrate).reshape(60, -1) @ weight + bias
    np.testing.assert_allclose(guide.plain, expected, rtol=2e-3, atol=2e-3)


def test_moments_are_those_of_the_answers(guide: Guide) -> None:
    data = samples.calib()
    weight, bias = samples.linear(64, 3)
    if isinstance(guide, Cached):
        x = Views(data, samples.part(), 0).at(np.arange(200), 0).x.reshape(200, -1)
    else:
        x = data.inputs(data.calibrate).reshape(60, -1)
    expected = (x @ weight + bias).astype(np.float64)
    mean, spread = guide.moments()
    np.testing.assert_allclose(mean, expected.mean(0), atol=2e-3)
    assert spread == pytest.approx(np.sqrt(expected.var(0).mean()), rel=2e-3)


def test_a_tap_that_the_guide_does_not_have_is_said(guide: Guide) -> None:
    with pytest.raises(ConfigError, match=r"distill\.loss: needs 'attention' of the teacher"):
        guide.at(ROWS, VIEWS, ("attention",))


def test_a_student_learns_from_any_guide(guide: Guide, tmp_path: Path) -> None:
    data, part = samples.calib(), samples.part(steps=60, batch_size=32)
    found = learn_from(
        guide,
        samples.arch(),
        data,
        part,
        views=Views(data, part, 0),
        seed=0,
        threads=1,
        compute=Compute.choose("cpu"),
        folder=tmp_path / "checkpoints",
        progress=Progress(),
    )
    assert found.history[-1]["agreement"] > 85


def test_answers_without_the_tap_that_is_wanted_are_made_again(tmp_path: Path) -> None:
    teacher, data, part = (
        samples.linear_teacher(tmp_path, (1, 8, 8)),
        samples.calib(),
        samples.part(),
    )
    for taps in ((), ("embedding",)):
        cache_answers(
            teacher,
            data,
            part,
            seed=0,
            threads=1,
            folder=tmp_path / "answers",
            progress=Progress(),
            taps=taps,
        )
        found = open_answers(Views(data, part, 0), folder=tmp_path / "answers")
        assert set(found.taps) == set(taps)


def test_what_decides_the_answers_is_in_the_key(tmp_path: Path) -> None:
    teachers = [
        samples.linear_teacher(tmp_path / str(gain), (1, 8, 8), gain=gain) for gain in (1.0, 2.0)
    ]
    keys = [
        ask_live(teacher, Views(samples.calib(), samples.part(), seed), threads=1).key()
        for teacher in teachers
        for seed in (0, 1)
    ]
    assert all(a != b for i, a in enumerate(keys) for b in keys[:i])
