"""Students that are their teacher made smaller, in a compile."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import squeeze
from squeeze.errors import GoalMissed
from tests.e2e.conftest import SignalTeacher, signals

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
    assert package.manifest["training"][-1]["step"] == 30
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


def test_with_time_left_what_misses_the_goal_is_trained_on(recipe: str, tmp_path: Path) -> None:
    # Answers of weights at random lie near to each other: what is made smaller gives others.
    torch.manual_seed(0)
    batch = torch.export.Dim("batch", min=1, max=4096)
    x, _ = signals(600, np.random.default_rng(0))
    example = (torch.from_numpy(x[:4]),)
    program = torch.export.export(SignalTeacher().eval(), example, dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "teacher.pt2")
    np.savez(tmp_path / "data.npz", x_train=x[:400], x_test=x[400:])
    # At such a rate nothing is gained, and what a minute brings cannot be enough.
    asked = {"shrink.farthest": 10.0, "shrink.lr": 1e-9, "shrink.steps": 6, "goal.max_drop": 0.0}
    with contextlib.suppress(GoalMissed):
        squeeze.compile(
            str(tmp_path / "teacher.pt2"),
            str(tmp_path / "data.npz"),
            out=tmp_path / "out",
            threads=1,
            recipe=recipe,
            time_s=900,
            overrides=asked,
        )
    log = squeeze.open(tmp_path / "out").manifest["steps"]
    names = [step["name"] for step in log if step["name"] != "labels"]
    after = names[names.index("distill-shrunk") + 1 :]
    assert after[:5] == ["lose", "plan", "train-on", "lose", "train-on"]
    summaries = [step["summary"] for step in log if step["name"] == "train-on"]
    assert summaries[0] == "3 steps"
    assert "points in" in summaries[1]
    assert "distill-larger" in after


def test_nothing_is_searched_where_there_is_no_time_for_the_smaller_teacher(
    signal_teacher: Trained, recipe: str, tmp_path: Path
) -> None:
    package = compiled(
        signal_teacher, recipe, tmp_path / "out", shrink__farthest=10.0, budget__time_s=1.0
    )
    done = steps(package)
    assert done["distill-shrunk"]["status"] == "skipped"
    assert "without it the goal is met" in done["distill-shrunk"]["summary"]
    assert not done.keys() & {"search", "distill"}


def test_student_for_a_size_has_more_weights_than_bytes(
    signal_teacher: Trained, recipe: str, tmp_path: Path
) -> None:
    size = 40_000
    package = compiled(signal_teacher, recipe, tmp_path / "out", goal__max_bytes=size)
    manifest = package.manifest
    assert manifest["verdict"]["met"]
    assert manifest["verdict"]["picked"] == "shrunk-fitted"
    assert package.model.stat().st_size <= size
    # With int8 weights it would not fit, and with half a byte each it hardly leaves anything free.
    params = manifest["measurements"]["candidates"]["shrunk-float"]["params"]
    assert size < params < 2 * size
    assert package.model.stat().st_size > 0.8 * size


def test_what_lost_too_much_is_packed_to_the_size_all_the_same(recipe: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    batch = torch.export.Dim("batch", min=1, max=4096)
    x, _ = signals(600, np.random.default_rng(0))
    example = (torch.from_numpy(x[:4]),)
    program = torch.export.export(SignalTeacher().eval(), example, dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "teacher.pt2")
    np.savez(tmp_path / "data.npz", x_train=x[:400], x_test=x[400:])
    size = 24_000
    with pytest.raises(GoalMissed):
        squeeze.compile(
            str(tmp_path / "teacher.pt2"),
            str(tmp_path / "data.npz"),
            out=tmp_path / "out",
            recipe=recipe,
            threads=1,
            overrides={
                "shrink.farthest": 10.0,
                "shrink.lr": 1e-9,
                "shrink.steps": 6,
                "quant.steps": 4,
                "goal.max_drop": 0.0,
                "goal.max_bytes": size,
            },
        )
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    sizes = {
        name: one["file_bytes"] for name, one in manifest["measurements"]["candidates"].items()
    }
    inside = [name for name, taken in sizes.items() if taken <= size]
    assert "shrunk-fitted" in inside
    assert all(name.startswith("shrunk-fitted") for name in inside)
    lines = [s["summary"] for s in manifest["steps"] if s["name"] == "ladder"]
    assert any("is packed to it" in line for line in lines)
