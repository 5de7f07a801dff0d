"""The kernels and the ops inside ONNX Runtime, built with AddressSanitizer and UndefinedBehaviorSanitizer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "asan"

# The tests of the ops, with another library.
TESTS_WITH = """
import sys
from pathlib import Path
import pytest
from squeeze import ops
asked = []
def library_path():
    asked.append(sys.argv[1])
    return Path(sys.argv[1])
ops.library_path = library_path
code = pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[2:]])
assert asked, "no test asked for the library"
sys.exit(code)
"""


def built(name: str) -> Path:
    path = BUILD / name
    if not path.is_file():
        pytest.skip(f"{path} is not built: cmake --preset asan && cmake --build --preset asan")
    return path


def test_kernels_touch_only_their_memory_and_their_arithmetic_is_defined() -> None:
    done = subprocess.run(
        [built("squeeze_kernel_test"), "quick"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def test_ops_touch_only_their_memory_inside_the_runtime() -> None:
    library = built("libsqueeze_ops.so")
    # Those of the file are about the one that users get, those of lowering are about graphs; those of broken nodes
    # and of other runtimes start processes of their own, the first also with sanitizers.
    names = ("library", "lower", "broken_nodes", "other_runtimes")
    others = {ROOT / f"tests/ops/test_{name}.py" for name in names}
    tests = sorted({*ROOT.glob("tests/ops/test_*.py")} - others)
    runtimes = [
        subprocess.run(
            ["g++", f"-print-file-name={name}"], check=True, capture_output=True, text=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    done = subprocess.run(
        [sys.executable, "-c", TESTS_WITH, library, *tests],
        cwd=ROOT,
        # Python and ONNX Runtime keep memory until the process ends: leaks are not looked for.
        env={**os.environ, "LD_PRELOAD": ":".join(runtimes), "ASAN_OPTIONS": "detect_leaks=0"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
