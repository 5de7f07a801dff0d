"""Students that are their teacher made smaller, in a compile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import squeeze

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Trained

Json = dict[str, Any]  # Any: JSON

RECIPE = """
schema = 1
name = "shrink"
[goal]
max_drop = 100.0
[search]
evaluations = 4
population = 4
measured = 2
speedup = 1.5
shrink = 6.0
start = "auto"
[distill]
steps = 30
batch_size = 32
lr = 0.1
views = 2
[shrink]
steps = 30
[quant]
samples = 64
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "shrink.toml"
    path.write_text(RECIPE)
    return str(path)


def steps(package: squeeze.artifact.Artifact) -> dict[str, Json]:
    return {s["name"]: s for s in package.manifest["steps"]}


def compiled(teacher: Trained, recipe: str, out: Path, **overrides: Any) -> Any:
    return squeeze.compile(
        str(teacher.pt2),
        str(teacher.data),
        out=out,
        threads=1,
        recipe=recipe,
        overrides={name.replace("__", "."): value for name, value in overrides.items()},
    )


def test_front_has_the_smaller_teacher_and_a_second_run_finds_it(
    signal_teacher: Trained, recipe: str, tmp_path: Path
) -> None:
    package = compiled(signal_teacher, recipe, tmp_path / "out", shrink__farthest=10.0)
    done = steps(package)
    candidates = package.manifest["measurements"]["candidates"]
    small = candidates["shrunk-float"]
    assert done["shrink"]["status"] == "done"
    # Twelve times fewer bytes than the float file were wished, and int8 has four times fewer of each weight.
    assert small["params"] < 0.75 * candidates["teacher"]["params"]
    assert small["macs"] < candidates["teacher"]["macs"]
    # It begins with the teacher's weights: thirty steps are enough.
    assert small["metric"] > candidates["teacher"]["metric"] - 5
    assert "search" not in done
    again = steps(compiled(signal_teacher, recipe, tmp_path / "again", shrink__farthest=10.0))
    assert {again[name]["status"] for name in ("shrink", "labels", "distill-shrunk")} == {"reused"}


def test_student_begins_anew_when_the_smaller_teacher_is_too_far(
    signal_teacher: Trained, recipe: str, tmp_path: Path
) -> None:
    done = steps(compiled(signal_teacher, recipe, tmp_path / "out", shrink__farthest=1e-9))
    assert "as far from the teacher as one constant answer" in done["distill-shrunk"]["summary"]
    assert done["search"]["status"] == "done"


def test_reason_is_said_when_the_teacher_cannot_be_made_smaller(
    vector_teacher: Trained, recipe: str, tmp_path: Path
) -> None:
    package = compiled(vector_teacher, recipe, tmp_path / "out", search__start="inherit")
    done = steps(package)
    assert done["shrink"]["status"] == "skipped"
    assert done["shrink"]["summary"] == (
        "the teacher cannot be made smaller: it has no convolutions"
    )
    assert not {"search", "labels"} & set(done)
