"""Timings of a front: kept for the next compile when they are steady, used once when they are not."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from squeeze.front import Timed
from squeeze.steps.judging import timed_by
from squeeze.workdir import Workdir

TEACHER = Timed(2.36, 2.5, 2.9, 400, 1.0, 0.99, 1.01, steady=True)
STUDENT = Timed(0.556, 0.6, 0.8, 400, 4.24, 4.1, 4.4, steady=True)


@pytest.mark.parametrize("steady", [True, False])
def test_timing_is_found_again_only_when_it_is_steady(tmp_path: Path, steady: bool) -> None:
    timed = {"teacher": TEACHER, "student": replace(STUDENT, steady=steady)}
    step = Workdir(tmp_path).step("measure", {"candidates": ["a", "b"]})
    step.finish({"timed": {name: asdict(one) for name, one in timed.items()}})
    assert timed_by(step) == timed
    assert Workdir(tmp_path).step("measure", {"candidates": ["a", "b"]}).done is steady
