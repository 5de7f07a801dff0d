"""Several targets in one compile: a package for each, one training for all; another drop trains nothing again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import squeeze

if TYPE_CHECKING:
    from tests.e2e.conftest import Trained

PLAIN = """
schema = 2
name = "plain"
summary = "this machine, without ops of ours"
[runtime]
custom_ops = false
"""


def test_two_targets_share_one_training_and_another_drop_trains_nothing(
    vector_teacher: Trained, small_recipe: Path, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.toml"
    plain.write_text(PLAIN)

    def compiled(drop: float) -> list[str]:
        """Statuses of all trainings, in the order of the packages."""
        out = tmp_path / f"out-{drop:g}"
        packages = squeeze.compile(
            str(vector_teacher.pt2),
            str(vector_teacher.data),
            ["host", str(plain)],
            out=out,
            threads=1,
            recipe=str(small_recipe),
            drop=drop,
            overrides={"distill.steps": 40, "search.evaluations": 6},
        )
        assert [p.path.name for p in packages] == ["host", "plain"]
        index = json.loads((out / "index.json").read_text())
        assert [row["package"] for row in index["packages"]] == ["host", "plain"]
        for package in packages:
            assert all(check.ok for check in squeeze.verify(package.path))
        logs = [step for p in packages for step in p.manifest["steps"]]
        return [step["status"] for step in logs if step["name"] == "distill"]

    assert compiled(90.0) == ["done", "reused"]
    assert compiled(95.0) == ["reused", "reused"]
