"""Broken nodes of every op give an error that says where, or the right numbers; never a crash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASAN_LIBRARY = ROOT / "build/asan/libsqueeze_ops.so"


def fuzz(seed: int, count: int, *library: str, **environment: str) -> None:
    """In a process of its own, so that a crash is one failed test, whose output ends with the node."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.ops.fuzz", str(seed), str(count), *library],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    shown = [line for line in done.stdout.splitlines() if line.startswith("WRONG")]
    shown += done.stdout.splitlines()[-1:]
    assert done.returncode == 0, "\n".join(shown) + done.stderr[-3000:]
    assert "runtime error" not in done.stderr  # what UndefinedBehaviorSanitizer says


def test_broken_nodes_are_refused_with_a_message_or_run_right(library: str) -> None:
    fuzz(1, 800)


def test_broken_nodes_under_address_sanitizer() -> None:
    if not ASAN_LIBRARY.is_file():
        pytest.skip("not built: cmake --preset asan && cmake --build --preset asan")
    names = ("libasan.so", "libstdc++.so.6")
    preload = [
        subprocess.check_output(["g++", f"-print-file-name={name}"], text=True).strip()
        for name in names
    ]
    environment = {"LD_PRELOAD": " ".join(preload), "ASAN_OPTIONS": "detect_leaks=0"}
    fuzz(2, 250, str(ASAN_LIBRARY), **environment)
