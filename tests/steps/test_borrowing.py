"""The rung of nncf: one beside the others where int8 loses too much, and a line of the log where it cannot be had."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from squeeze import steps
from squeeze.front import TEACHER, Candidate, Front
from squeeze.quant.borrowed.nncf import nncf_version
from squeeze.steps.climbing import fewer_bits
from tests.steps.conftest import a_device, a_recipe, a_run, two_by_two

ROOT = Path(__file__).resolve().parents[2]
Json = dict[str, Any]  # Any: JSON
installed = pytest.mark.skipif(nncf_version() is None, reason="nncf is not installed")


def climbed(folder: Path) -> tuple[list[Candidate], list[Json]]:
    """The rungs of a network of which is said that int8 loses 30 points, and what is logged of them."""
    problem = two_by_two(folder)
    run = a_run(folder / "work")
    case = steps.load(run, str(problem.model), None, str(problem.data), None)
    net = case.net
    recipe = a_recipe(goal={"max_drop": 20.0}, quant={"equalise": False})
    front = Front(recipe.goal, lambda candidates: {})
    for form, file, drop in (
        (TEACHER, net.file, 0.0),
        ("float", problem.model, 0.0),
        ("int8", net.file, 30.0),
    ):
        front.add(Candidate(net, form, file, net.digest, drop))
    before = len(run.log)
    found = fewer_bits(run, case, a_device(folder / "state"), recipe, front)
    return found, run.log[before:]


@installed
def test_rung_of_nncf_is_a_candidate_that_the_stock_runtime_runs_near_the_float_model(
    tmp_path: Path,
) -> None:
    found, log = climbed(tmp_path)
    assert [c.form for c in found] == ["int8-nncf"]
    (entry,) = [e for e in log if e["name"] == "int8-nncf"]
    assert entry["summary"].startswith("nncf: ")
    # Inside the goal: no node has to be float for it.
    assert "control" not in [e["name"] for e in log]
    with np.load(tmp_path / "two.npz") as arrays:
        feed = {name: arrays[name] for name in ("x", "z")}
    wanted, got = (
        ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, feed)
        for path in (tmp_path / "two.onnx", found[0].file)
    )
    for float_output, output in zip(wanted, got, strict=True):
        error = np.sqrt(((output - float_output) ** 2).mean())
        # It clips at the mean extreme of 8 or of 5 normal numbers, 1.42 or 1.16, which takes 0.24 or 0.32 of them off
        # in the root mean square. 8 bits take some thousandths.
        assert error < 0.35 * float_output.std()
    (twice,), _ = climbed_again(tmp_path)
    assert twice.file.read_bytes() == found[0].file.read_bytes()


def climbed_again(folder: Path) -> tuple[list[Candidate], list[Json]]:
    """The same from nothing, in another folder."""
    other = folder / "again"
    other.mkdir()
    return climbed(other)


@pytest.mark.parametrize("hidden", ["nncf", "nncf-"])
def test_without_nncf_or_with_a_broken_one_a_line_says_so_and_the_rest_goes_on(
    tmp_path: Path, hidden: str
) -> None:
    if hidden == "nncf" and nncf_version() is None:
        pytest.skip("nncf is not installed")
    done = subprocess.run(
        [sys.executable, "-S", "-c", _code(tmp_path, hidden)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    forms, log = json.loads(done.stdout.splitlines()[-1])
    assert "int8-nncf" not in forms
    (entry,) = [e for e in log if e["name"] == "int8-nncf"]
    assert entry["status"] == "skipped"
    if hidden == "nncf":
        assert entry["summary"].endswith(" failed: ModuleNotFoundError: No module named 'nncf'")
    else:
        assert entry["summary"] == "nncf is not installed; pip install nncf lets it try"
    assert "control" in [e["name"] for e in log]


def _code(folder: Path, hidden: str) -> str:
    """What a Python is told that finds all packages, but not the folder of nncf, or not what says that it is there
    ('nncf-<version>.dist-info')."""
    path = [str(ROOT)]
    for i, entry in enumerate(map(Path, sys.path)):
        if entry.name not in ("site-packages", "dist-packages"):
            path.append(str(entry))
            continue
        packages = folder / f"packages-{i}"
        packages.mkdir()
        for package in entry.iterdir():
            name = package.name
            if name != hidden and not (hidden.endswith("-") and name.startswith(hidden)):
                (packages / package.name).symlink_to(package)
        path.append(str(packages))
    return (
        f"import sys; sys.path[:] = {path!r}; import json; from pathlib import Path; "
        "from tests.steps.test_borrowing import climbed; "
        f"found, log = climbed(Path({str(folder)!r})); "
        "print('\\n' + json.dumps([[c.form for c in found], log]))"
    )
