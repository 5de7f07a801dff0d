"""The hooks before a commit are the programs of `make lint`, neither more nor fewer."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_the_hooks_run_what_make_lint_runs() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    # As if the environment were there, so that nothing is said of making it.
    command = ["make", "-n", "-o", "install", "lint", "VENV=.venv", "CLANG="]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    linted = {line.strip() for line in said.splitlines()}
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    entries = {entry.strip() for entry in re.findall(r"(?m)^ +entry: (.*)$", hooks)}
    assert len(linted) == 5
    assert entries == linted
