"""A network whose parts were replaced, in a compile: it stands on the front beside the student."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

import squeeze
from squeeze.seal import WEIGHTS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Trained

Json = dict[str, Any]  # Any: JSON

RECIPE = """
schema = 1
name = "puzzle"
[goal]
max_drop = 100.0
[search]
evaluations = 4
population = 4
measured = 2
speedup = 1.5
shrink = 6.0
start = "inherit"
[distill]
steps = 30
batch_size = 32
lr = 0.1
views = 2
[shrink]
steps = 30
[puzzle]
enabled = true
steps = 20
samples = 128
[quant]
samples = 64
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "puzzle.toml"
    path.write_text(RECIPE)
    return str(path)


def logged(package: squeeze.artifact.Artifact, name: str) -> list[Json]:
    return [step for step in package.manifest["steps"] if step["name"] == name]


def compiled(
    teacher: Trained, recipe: str, cache: Path, out: Path, time_s: float | None = None
) -> Any:
    return squeeze.compile(
        str(teacher.pt2),
        str(teacher.data),
        out=out,
        threads=1,
        recipe=recipe,
        cache=cache,
        time_s=time_s,
    )


def test_front_has_both_and_a_run_that_was_interrupted_ends_with_the_same_bytes(
    signal_teacher: Trained, recipe: str, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    package = compiled(signal_teacher, recipe, cache, tmp_path / "out")
    candidates = package.manifest["measurements"]["candidates"]
    teacher, pieced = candidates["teacher"], candidates["puzzle-float"]
    assert pieced["params"] < teacher["params"]
    assert pieced["macs"] < teacher["macs"]
    # It begins with what its parts learned, and thirty steps are enough.
    assert pieced["metric"] > teacher["metric"] - 5
    assert "shrunk-float" in candidates
    assert logged(package, "distill-puzzle")[0]["status"] == "done"
    # Two parts of two convolutions each, apart from each other.
    assert [step["status"] for step in logged(package, "pieces")] == ["done", "done"]
    kept = {path: path.read_bytes() for path in cache.rglob(WEIGHTS)}
    assert kept
    last = max((p for p in kept if "pieces" in str(p)), key=lambda p: p.stat().st_mtime)
    shutil.rmtree(last.parent)
    again = compiled(signal_teacher, recipe, cache, tmp_path / "again")
    assert sorted(step["status"] for step in logged(again, "pieces")) == ["done", "reused"]
    assert last.read_bytes() == kept[last]
    assert [logged(again, n)[0]["status"] for n in ("puzzle", "distill-puzzle")] == ["reused"] * 2


def test_in_a_given_time_it_has_half_and_the_student_the_rest(
    signal_teacher: Trained, recipe: str, tmp_path: Path
) -> None:
    package = compiled(signal_teacher, recipe, tmp_path / "cache", tmp_path / "out", 1200.0)
    plans = {plan["training"]: plan for plan in package.manifest["plans"]}
    assert [*plans] == ["pieces", "distill-puzzle", "distill-shrunk"]
    assert {name: plan["steps"] for name, plan in plans.items()} == {
        "pieces": 20,
        "distill-puzzle": 30,
        "distill-shrunk": 30,
    }
    # For the distillation of what is pieced together.
    assert plans["pieces"]["kept_s"] > 0
    left = {name: plan["left"]["seconds"] for name, plan in plans.items()}
    assert left["distill-puzzle"] < left["pieces"] < 600
    assert left["distill-shrunk"] > 600
    assert {"puzzle-float", "shrunk-float"} <= set(package.manifest["measurements"]["candidates"])


def test_reason_is_said_when_no_part_can_be_replaced(
    vector_teacher: Trained, recipe: str, tmp_path: Path
) -> None:
    package = compiled(vector_teacher, recipe, tmp_path / "cache", tmp_path / "out")
    (told,) = logged(package, "puzzle")
    assert told["status"] == "skipped"
    assert told["summary"] == "no part of the teacher can be replaced: it has no convolutions"
    assert not logged(package, "pieces")
