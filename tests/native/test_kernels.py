"""Runs the C++ test program of the kernels, and looks at the code that is compiled for one ISA only."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.native.symbols import check_archive, check_no_weak_code

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build"


def test_every_kernel_equals_the_portable_one() -> None:
    program = BUILD / "squeeze_kernel_test"
    if not program.is_file():
        pytest.skip(f"{program} is not built: cmake -S . -B build && cmake --build build")
    done = subprocess.run([program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "any__portable" in done.stdout


def test_threads_may_ask_for_the_isa_at_once(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    main = tmp_path / "main.cc"
    main.write_text(
        "bool TestDetectionFromThreads();\nint main() { return !TestDetectionFromThreads(); }\n"
    )
    # The library is without the guards that a compiler puts around local statics: they are in the C++ runtime.
    flags = ["-std=gnu++20", "-g", "-O1", "-fsanitize=thread", "-fno-threadsafe-statics"]
    sources = [main, ROOT / "tests/native/isa_test.cc", ROOT / "squeeze/csrc/base/isa.cc"]
    program = tmp_path / "isa"
    made = subprocess.run(
        ["g++", *flags, f"-I{ROOT / 'squeeze/csrc'}", *sources, "-o", program, "-pthread"],
        capture_output=True,
        text=True,
    )
    if "cannot find" in made.stderr and "tsan" in made.stderr:
        pytest.skip("g++ has no ThreadSanitizer")
    assert made.returncode == 0, made.stderr
    done = subprocess.run([program], capture_output=True, text=True, timeout=60)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer does not run on this kernel")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "data race" not in done.stderr


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
