"""Same inputs, same bytes; killed in any step, the same command goes on to the same bytes."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from squeeze import seal
from tests import started

if TYPE_CHECKING:
    from tests.e2e.conftest import Trained

STEPS = ("teacher", "baseline", "keep", "search", "labels", "distill", "quantise", "measure")
ENOUGH_SECONDS = 180
KEPT = ("teacher", "baseline", "keep", "search", "shrink", "labels", "plan")


def command(teacher: Trained, recipe: Path, folder: Path, threads: int) -> list[str]:
    return [
        *("compile", str(teacher.pt2), "--calib"),
        *(str(teacher.data), "--recipe", str(recipe), "--drop", "50", "--threads", str(threads)),
        *("--cache", str(folder / "cache"), "-o", str(folder / "out"), "--json"),
    ]


def artifact_digest(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["artifact_digest"])


def python(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """A process from nothing: its sets have another order than those of any other."""
    return subprocess.run(
        [sys.executable, "-m", "squeeze", *arguments], check=False, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def digests() -> dict[int, str]:
    """The digest of the first run for each number of threads."""
    return {}


@pytest.mark.parametrize("threads", [1, 2])
def test_two_runs_without_a_common_cache_give_the_same_artifact(
    signal_teacher: Trained,
    small_recipe: Path,
    tmp_path: Path,
    threads: int,
    digests: dict[int, str],
) -> None:
    # Two seeds of hashes, and two orders in which libraries are loaded.
    first, second = (
        artifact_digest(begin(command(signal_teacher, small_recipe, tmp_path / name, threads)))
        for name, begin in (("first", python), ("second", lambda all_: started.run(*all_)))
    )
    assert first == second
    bills = {(tmp_path / name / "out" / seal.BOM).read_bytes() for name in ("first", "second")}
    assert len(bills) == 1
    digests[threads] = first


def test_run_killed_in_every_step_ends_with_the_same_artifact(
    signal_teacher: Trained, small_recipe: Path, tmp_path: Path, digests: dict[int, str]
) -> None:
    arguments = command(signal_teacher, small_recipe, tmp_path, 1)
    killed = [step for step in STEPS if kill_in(step, arguments, tmp_path / "cache")]
    assert {"teacher", "keep", "search", "distill", "quantise"} <= set(killed)
    assert not (tmp_path / "out").exists()
    again = artifact_digest(started.run(*arguments))
    expected = digests.get(1) or artifact_digest(
        python(command(signal_teacher, small_recipe, tmp_path / "whole", 1))
    )
    assert again == expected


@pytest.mark.parametrize(
    ("start", "training", "wanted"), [("anew", "distill", 150), ("inherit", "distill-shrunk", 50)]
)
def test_a_time_is_planned_once_and_a_killed_run_goes_by_that_plan(
    signal_teacher: Trained,
    small_recipe: Path,
    tmp_path: Path,
    start: str,
    training: str,
    wanted: int,
) -> None:
    arguments = [*command(signal_teacher, small_recipe, tmp_path, 1), "--time", "20m"]
    arguments += ["--set", f"search.start={start}"]
    done = started.run(*arguments)
    first = artifact_digest(done)
    (plan,) = json.loads(done.stdout)["plans"]
    assert (plan["training"], plan["wanted"], plan["left"]["asked_s"]) == (training, wanted, 1200)
    # The training and all that came of it is to be done again, by the plan that is there.
    steps = tmp_path / "cache" / "steps"
    for folder in steps.iterdir():
        if not folder.name.startswith(KEPT):
            shutil.rmtree(folder)
    assert kill_in(training, arguments, tmp_path / "cache")
    done = started.run(*arguments)
    assert artifact_digest(done) == first
    assert json.loads(done.stdout)["plans"] == [plan]
    assert len(list(steps.glob("plan-*"))) == 1


def kill_in(step: str, arguments: list[str], cache: Path) -> bool:
    """Runs until `step` works, then SIGKILL; False when the step ended before that."""
    # A lock that is there from now on is held by this run: it works on that step.
    for lock in (cache / "partial").glob("*.lock"):
        lock.unlink()
    run = started.start(*arguments)
    deadline = time.monotonic() + ENOUGH_SECONDS
    try:
        while time.monotonic() < deadline and run.works():
            if list((cache / "steps").glob(f"{step}-*")):
                return False
            if list((cache / "partial").glob(f"{step}-*.lock")):
                # Into the work, not only at its start.
                time.sleep(0.1)
                return not list((cache / "steps").glob(f"{step}-*"))
            time.sleep(0.002)
        return False
    finally:
        run.send(signal.SIGKILL)
        run.ended()


def test_damaged_cache_is_redone_to_the_same_artifact(
    vector_teacher: Trained, small_recipe: Path, tmp_path: Path
) -> None:
    arguments = command(vector_teacher, small_recipe, tmp_path, 1)
    first = artifact_digest(started.run(*arguments))
    for path in (tmp_path / "cache" / "steps").glob("*/weights.safetensors"):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    done = started.run(*arguments)
    assert "damaged" in done.stderr
    assert json.loads(done.stdout)["artifact_digest"] == first
