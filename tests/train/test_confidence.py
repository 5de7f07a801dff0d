"""Which extra samples stay: those that teachers are about as sure of as of the set's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from squeeze.calib import Calib
from squeeze.case import Case
from squeeze.errors import ConfigError
from squeeze.guides.confidence import as_sure, joint_confidence
from squeeze.guides.panel import Panel
from squeeze.metrics import Reading
from squeeze.net import FloatNet
from squeeze.progress import Progress
from squeeze.run import Run
from squeeze.spec import DistillPart
from squeeze.steps.sifting import sifted
from squeeze.train.compute import Compute
from squeeze.workdir import Workdir, digest_file
from tests.train import samples

EXTRA = 40


def test_teachers_are_sure_together_only_of_the_same_class() -> None:
    a, b = np.log([[0.9, 0.1], [0.9, 0.1]]), np.log([[0.8, 0.2], [0.1, 0.9]])
    answers = [x.astype(np.float32) for x in (a, b)]
    np.testing.assert_allclose(joint_confidence(answers, (1, 1)), [0.85, 0.5], rtol=1e-6)
    np.testing.assert_allclose(joint_confidence(answers, (1, 3)), [0.825, 0.7], rtol=1e-6)
    np.testing.assert_allclose(joint_confidence(answers[:1], (1,)), [0.9, 0.9], rtol=1e-6)


def test_what_stays_is_as_sure_as_all_but_a_share_of_the_sets_own() -> None:
    own = np.linspace(0.5, 0.9, 5, dtype=np.float32)
    extra = np.float32([0.45, 0.5, 0.6, 0.69, 0.95])
    assert as_sure(extra, own, 0.0).tolist() == [False, True, True, True, True]
    assert as_sure(extra, own, 0.25).tolist() == [False, False, True, True, True]
    assert as_sure(extra, own, 0.5).tolist() == [False, False, False, False, True]
    assert as_sure(own, own, 0.5).sum() == 3


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A teacher that is sure of blobs; half of the extra samples are blobs, of the others it can say nothing."""
    data = samples.calib()
    teacher = samples.linear_teacher(tmp_path, (1, 8, 8), gain=6.0)
    nothing = np.repeat(nothing_said(), EXTRA // 2, axis=0)
    rows = np.concatenate([data.fit.x[:], np.asarray(data.fit.x[: EXTRA // 2]), nothing])
    fit = replace(data.fit, arrays={"x": rows}, y=None, extra=EXTRA, digest="with extra")
    net = FloatNet("kept", teacher.model, digest_file(teacher.model), teacher.interface)
    reading = Reading("logits", "top1")
    return Case(teacher, net, replace(data, fit=fit, digest="all"), (reading,), tmp_path)


def run(folder: Path) -> Run:
    return Run(Workdir(folder), 0, 1, Compute.choose("cpu"), Progress())


def nothing_said() -> np.ndarray:
    """The sample [1, 1, 8, 8], as it is stored, at which all logits of the teacher are 0."""
    weight, bias = samples.linear(64, 3, gain=6.0)
    x = np.linalg.lstsq(weight.T, -bias, rcond=None)[0]
    return (255 * (0.5 + 0.25 * x)).round().astype(np.uint8).reshape(1, 1, 8, 8)


def unsure(data: Calib) -> int:
    return int((np.asarray(data.fit.x[:]) == nothing_said()).all((1, 2, 3)).sum())


def test_extra_samples_that_teachers_are_unsure_of_are_left_out(case: Case, tmp_path: Path) -> None:
    own = len(case.data.fit) - EXTRA
    assert unsure(case.data) == EXTRA // 2
    now = run(tmp_path / "cache")
    found = sifted(now, case, DistillPart(least_sure=0.3)).data
    assert unsure(found) == 0
    assert own < len(found.fit) == own + found.fit.extra < own + EXTRA
    np.testing.assert_array_equal(found.fit.x[:own], case.data.fit.x[:own])
    assert found.digest != case.data.digest
    assert now.log[-1]["summary"].startswith(f"{found.fit.extra} of 40 extra samples stay")
    again = sifted(now, case, DistillPart(least_sure=0.3)).data
    assert again.fit.digest == found.fit.digest
    panel = run(tmp_path / "cache")
    panel.panel = Panel((case.teacher,), (1.0,))
    together = sifted(panel, case, DistillPart(least_sure=0.3)).data
    np.testing.assert_array_equal(together.fit.x[:], found.fit.x[:])


def test_as_many_other_samples_are_other_data(case: Case, tmp_path: Path) -> None:
    """What is left of two sets with one digest: trainings on both would be taken for one."""
    rows = case.data.fit.arrays["x"]
    own = len(rows) - EXTRA
    turned = np.concatenate([rows[:own], rows[own:][::-1]])
    other = replace(case.data, fit=replace(case.data.fit, arrays={"x": turned}))
    one, two = (
        sifted(run(tmp_path / name), one, DistillPart(least_sure=0.3)).data
        for name, one in (("one", case), ("two", replace(case, data=other)))
    )
    assert one.fit.extra == two.fit.extra
    assert one.fit.digest != two.fit.digest
    assert one.digest != two.digest


def test_all_stay_where_nobody_asked_or_nothing_was_added(case: Case, tmp_path: Path) -> None:
    now = run(tmp_path / "cache")
    assert sifted(now, case, DistillPart()) is case
    plain = replace(case, data=samples.calib())
    assert sifted(now, plain, DistillPart(least_sure=0.3)) is plain
    assert now.log == []


def test_values_are_sure_of_nothing(case: Case, tmp_path: Path) -> None:
    values = replace(case, data=replace(case.data, classes=None, metric="mse"))
    with pytest.raises(ConfigError, match=r"distill\.least_sure: is for classes, and nothing says"):
        sifted(run(tmp_path / "cache"), values, DistillPart(least_sure=0.3))
