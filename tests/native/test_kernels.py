"""Runs the C++ test program of the kernels, and looks at the code that is compiled for one ISA only."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.native.symbols import check_archive, check_no_weak_code

BUILD = Path(__file__).parents[2] / "build"


def test_every_kernel_equals_the_portable_one() -> None:
    program = BUILD / "squeeze_kernel_test"
    if not program.is_file():
        pytest.skip(f"{program} is not built: cmake -S . -B build && cmake --build build")
    done = subprocess.run([program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "any__portable" in done.stdout


def test_files_for_one_isa_hold_no_weak_code() -> None:
    objects = sorted(BUILD.glob("CMakeFiles/squeeze_objects.dir/squeeze/csrc/*/*__x86_*.o"))
    if not objects:
        pytest.skip("no object files of ISA kernels in build/")
    check_no_weak_code(objects)


def test_archive_for_apps_has_one_global_name() -> None:
    archive = BUILD / "libsqueeze_ops.a"
    if not archive.is_file():
        pytest.skip(f"{archive} is not built: cmake --preset native && cmake --build build")
    check_archive(archive)
