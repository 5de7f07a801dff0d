"""Runs the C++ test program of the kernels, and looks at the code that is compiled for one ISA only."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "build"


def test_every_kernel_equals_the_portable_one() -> None:
    program = BUILD / "squeeze_kernel_test"
    if not program.is_file():
        pytest.skip(f"{program} is not built: cmake -S . -B build && cmake --build build")
    done = subprocess.run([program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "any__portable" in done.stdout


def test_files_for_one_isa_hold_no_weak_code() -> None:
    # The linker may keep a weak copy for everybody, and an old CPU then dies of an illegal instruction.
    objects = sorted(BUILD.glob("CMakeFiles/squeeze_objects.dir/squeeze/csrc/*/*__x86_*.o"))
    if not objects or shutil.which("nm") is None:
        pytest.skip("no object files of ISA kernels in build/, or no nm")
    for path in objects:
        symbols = subprocess.run(["nm", path], check=True, capture_output=True, text=True).stdout
        weak = [line for line in symbols.splitlines() if line.split()[-2] in "VvWwu"]
        assert not weak, f"{path.name}: {weak}"
