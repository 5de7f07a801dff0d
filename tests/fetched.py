"""Runtimes of others that tests run models in: put into build/runtimes once, from the indices of pip and npm.

A test that asks for one is skipped with the reason where it cannot be had.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from filelock import FileLock

RUNTIMES = Path(__file__).parents[1] / "build/runtimes"
WEB = "1.30.0"
INSTALL_SECONDS = 300


def install(folder: Path, *commands: Sequence[str | Path]) -> None:
    """Runs `commands` in `folder` unless an earlier run finished them; skips the test when one fails."""
    RUNTIMES.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        _install(folder, commands)


def _install(folder: Path, commands: Sequence[Sequence[str | Path]]) -> None:
    done = folder / "complete"
    if done.is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for command in commands:
        try:
            ran = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"{folder.name} could not be installed: {error}")
        if ran.returncode:
            said = (ran.stderr.strip() or ran.stdout.strip() or "no message").splitlines()
            pytest.skip(f"{folder.name} could not be installed: {said[-1]}")
    done.touch()


def onnxruntime_web() -> Path:
    """A folder with onnxruntime-web in node_modules."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(f"onnxruntime-web needs {tool}")
    folder = RUNTIMES / f"onnxruntime-web-{WEB}"
    package = f"onnxruntime-web@{WEB}"
    install(folder, ["npm", "install", "--no-audit", "--no-fund", "--prefix", ".", package])
    return folder
