"""A step is found by what it was given, and sees nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from squeeze import run as running
from squeeze.progress import Progress
from squeeze.run import At, Run, keyed, versions
from squeeze.spec import DistillPart, Goal, QuantPart, Recipe
from squeeze.target import Target
from squeeze.train.compute import Compute
from squeeze.workdir import Workdir


def a_run(folder: Path) -> Run:
    return Run(Workdir(folder), 0, 1, Compute.choose("cpu", "fp32"), Progress())


def count(at: At, **given: Any) -> dict[str, Any]:
    """A step's work: its folder says how often it ran."""
    (at.folder / "ran").write_text(str(sorted(given)))
    return {"summary": "counted", "names": sorted(given)}


def test_step_is_made_once_and_found_by_equal_things(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    first = run.step("count", count, part=QuantPart(), seed=0)
    again = run.step("count", count, part=QuantPart(), seed=0)
    assert first.path == again.path
    assert [entry["status"] for entry in run.log] == ["done", "reused"]
    assert first.result["names"] == ["part", "seed"]


def test_step_is_another_for_another_seed_part_or_name(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    steps = [
        run.step("count", count, part=QuantPart(), seed=0),
        run.step("count", count, part=QuantPart(), seed=1),
        run.step("count", count, part=QuantPart(samples=3), seed=0),
        run.step("other", count, part=QuantPart(), seed=0),
    ]
    assert len({step.digest for step in steps}) == 4


def test_step_is_another_when_a_step_that_it_was_given_is(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    one, two = (run.step("first", count, seed=seed) for seed in (0, 1))
    assert (
        run.step("second", count, before=one).digest != run.step("second", count, before=two).digest
    )


def test_step_is_another_with_another_version_of_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(tmp_path)
    before = run.step("count", count, seed=0)
    for name in versions():
        known = {**versions(), name: "0.0.1"}
        monkeypatch.setattr(running, "versions", lambda known=known: known)
        assert run.step("count", count, seed=0).digest != before.digest
        monkeypatch.undo()


def test_libraries_that_decide_something_are_all_counted() -> None:
    assert {"torch", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "numpy", "scipy"} <= set(
        versions()
    )


@pytest.mark.parametrize("value", [Path("x"), len, {1, 2}, object(), b"x"])
def test_what_has_no_key_cannot_be_given(tmp_path: Path, value: Any) -> None:
    with pytest.raises(TypeError, match=r"cannot be given .*no key"):
        a_run(tmp_path).step("count", count, value=value)


def test_names_and_summaries_change_no_key() -> None:
    recipe = Recipe(name="a", summary="b")
    assert keyed(recipe) == keyed(Recipe(name="c", summary="d"))
    target = Target(name="a", summary="b")
    assert keyed(target) == keyed(Target(name="c", summary="d"))
    assert keyed(DistillPart(checkpoint_s=1)) == keyed(DistillPart(checkpoint_s=2))


def test_drop_is_in_no_key_of_a_part() -> None:
    # What is trained, quantised or searched does not depend on how much may be lost.
    assert "max_drop" in Goal().key()
    for part in (QuantPart(), DistillPart()):
        assert "max_drop" not in part.key()


def test_one_devices_log_begins_with_the_common_one(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.skip("common", "why")
    one, two = run.on_one_device(), run.on_one_device()
    one.skip("own", "why")
    assert [entry["name"] for entry in one.log] == ["common", "own"]
    assert [entry["name"] for entry in two.log] == ["common"]
    assert one.found is two.found
