"""A written package is accepted, its manifest is strict JSON, and its golden outputs are what it is held to."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest

import squeeze
from squeeze import artifact, seal, steps
from squeeze.artifact import Artifact
from squeeze.errors import ConfigError
from squeeze.spec import Goal
from squeeze.steps import packaging
from squeeze.strict_json import strict
from tests.steps.conftest import Loaded, a_recipe
from tests.test_front import three


@pytest.fixture
def package(loaded: Loaded, tmp_path: Path) -> Artifact:
    run, case, device = loaded.run, loaded.case, loaded.device
    recipe = a_recipe()
    front = steps.front(run, case, device, recipe.goal)
    front.add(*steps.deploy(run, case, device, case.net, recipe.quant))
    return steps.package(run, case, device, recipe, front, tmp_path / "out", None)


def refuse_constant(word: str) -> None:
    raise AssertionError(f"{word} is not JSON")


def test_package_is_accepted_and_its_manifest_lists_what_goes_in_and_out(package: Artifact) -> None:
    assert all(check.ok for check in squeeze.verify(package.path))
    text = (package.path / seal.MANIFEST).read_text()
    manifest = json.loads(text, parse_constant=refuse_constant)
    signature = manifest["signature"]
    assert [spec["name"] for spec in signature["inputs"]] == ["x", "z"]
    assert [spec["name"] for spec in signature["outputs"]] == ["kinds", "level"]
    assert isinstance(signature["changes"], list)
    assert [row["output"] for row in manifest["outputs"]] == ["kinds", "level"]
    assert all(row["interval"] is None or len(row["interval"]) == 2 for row in manifest["outputs"])


def test_golden_output_that_was_tampered_with_is_refused(package: Artifact) -> None:
    file = package.path / seal.GOLDEN
    with np.load(file) as stored:
        arrays = {name: stored[name] for name in stored}
    for name in ("outputs/kinds", "float/kinds"):
        arrays[name] = arrays[name] + 1
    changed = io.BytesIO()
    np.savez(changed, **arrays)
    file.write_bytes(changed.getvalue())
    (damaged,) = squeeze.verify(package.path)
    assert not damaged.ok
    assert "golden.npz: the bytes changed" in damaged.found
    # Sealed anew, digests hold and the recomputation does not.
    unsealed = {k: v for k, v in package.manifest.items() if k not in ("digest", "files")}
    files = {name: (package.path / name).read_bytes() for name in package.manifest["files"]}
    artifact.write(package.path, unsealed, files)
    failed = [check for check in squeeze.verify(package.path) if not check.ok]
    assert failed
    assert all(check.what.endswith("kinds") for check in failed)


def test_package_whose_golden_file_holds_nothing_proves_nothing(package: Artifact) -> None:
    unsealed = {k: v for k, v in package.manifest.items() if k not in ("digest", "files")}
    files = {name: (package.path / name).read_bytes() for name in package.manifest["files"]}
    for content, why in ((_npz({}), "no input 'x'"), (b"PK junk", "cannot be read")):
        artifact.write(package.path, unsealed, {**files, seal.GOLDEN: content})
        failed = [check for check in squeeze.verify(package.path) if not check.ok]
        assert [check.what for check in failed] == [seal.GOLDEN]
        assert why in failed[0].found


def test_another_package_than_the_expected_one_is_refused_and_not_run(package: Artifact) -> None:
    digests, expected, *ran = squeeze.verify(package.path, f"sha256:{package.digest.upper()}")
    assert digests.ok
    assert expected.ok
    assert ran
    *_, expected = squeeze.verify(package.path, "0" * 64)
    assert not expected.ok
    assert package.digest in expected.found
    with pytest.raises(ConfigError, match=r"--expect: got 'abc', allowed: the 64"):
        squeeze.verify(package.path, "abc")


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    stored = io.BytesIO()
    np.savez(stored, **arrays)
    return stored.getvalue()


def test_numbers_that_are_not_finite_become_null() -> None:
    given = {"a": float("inf"), "b": [float("nan"), 1.5], "c": ({"d": -float("inf")},)}
    assert strict(given) == {"a": None, "b": [None, 1.5], "c": [{"d": None}]}


@pytest.mark.parametrize(
    ("by_heart", "lost", "kept_lost", "misjudged"),
    [
        ((90.0, None), 1.4, 0.1, True),
        ((90.0, None), 0.9, 0.1, False),
        ((), 1.4, 0.1, False),
        ((90.0, None), 1.4, 1.2, False),
    ],
    ids=["beyond", "inside", "held-against-the-teacher-itself", "none-is-better"],
)
def test_a_student_that_was_held_against_less_must_stand_on_the_evaluate_split(
    loaded: Loaded,
    tmp_path: Path,
    by_heart: tuple[float | None, ...],
    lost: float,
    kept_lost: float,
    misjudged: bool,
) -> None:
    # Of the teacher itself nothing is lost, so that it alone would be a way out: it is slower than allowed here.
    goal = Goal(max_drop=1.0, max_latency_ms=1.5)
    front = three(tmp_path, goal, kept_drop=kept_lost, student_drop=0.5)
    picked = front.pick()
    assert picked.name == "student-int8"
    step = loaded.run.workdir.step("evaluate-of-a-test", {"lost": lost})
    with step.alone():
        step.finish({"candidates": {picked.name: {"drop": lost}}})
    case = dataclasses.replace(loaded.case, by_heart=by_heart)
    assert packaging._misjudged(case, front, picked, step) == misjudged


@pytest.mark.parametrize(
    ("by_heart", "limit_ms", "student_lost", "again"),
    [
        ((90.0,), 0.5, 0.8, True),
        ((), 0.5, 0.8, False),
        ((90.0,), 0.5, 1.2, False),
        ((90.0,), 5.0, 0.8, False),
    ],
    ids=["inside-on-new-samples", "not-by-heart", "beyond-there-too", "another-is-inside"],
)
def test_samples_that_the_teacher_knows_by_heart_do_not_refuse_what_new_ones_bear_out(
    loaded: Loaded,
    tmp_path: Path,
    by_heart: tuple[float | None, ...],
    limit_ms: float,
    student_lost: float,
    again: bool,
) -> None:
    goal = Goal(max_drop=1.0, max_latency_ms=limit_ms)
    front = three(tmp_path, goal, kept_drop=0.1, student_drop=2.4)
    assert front.met() == (limit_ms == 5.0)
    lost = {"teacher": 0.0, "kept-int8": 0.1, "student-int8": student_lost}
    step = loaded.run.workdir.step("evaluate-of-a-test", {"lost": lost})
    with step.alone():
        step.finish({"candidates": {name: {"drop": drop} for name, drop in lost.items()}})
    case = dataclasses.replace(loaded.case, by_heart=by_heart)
    found = packaging._judged_again(case, front, step)
    assert (found is not None) == again
    if found is not None:
        assert found.pick().name == "student-int8"
        assert "by heart" in found.why()
        assert (front.chosen_on, found.chosen_on) == ("calibrate", "evaluate")
        assert found.candidates["student-int8"].drop == 2.4  # what was measured stays
        assert packaging._judged_again(case, found, step) is None
        assert found.without("kept-int8").chosen_on == "evaluate"
