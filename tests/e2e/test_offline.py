"""A whole compile seen by the kernel: it talks to nobody and leaves nothing behind but what it was asked for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Trained

RECIPE = """
schema = 1
name = "quick"
[search]
evaluations = 4
population = 4
measured = 2
shrink = 6.0
batch_size = 32
[distill]
steps = 20
batch_size = 64
views = 2
[quant]
samples = 64
"""
# What a compile needs of the environment. Above all no CI, in which the runtime's vendor keeps quiet by itself.
INHERITED = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
XDG = ("CACHE_HOME", "CONFIG_HOME", "DATA_HOME", "RUNTIME_DIR", "STATE_HOME")
WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TMPFILE|\b(?:creat|mkdir|mkdirat)\(")
OPENED = re.compile(r'\w+\((?:(?:AT_FDCWD|\d+)<(?P<base>[^>]*)>, )?"(?P<path>[^"]*)"')
# glibc asks a local daemon for names of users and hosts first; reading its socket reaches no other machine.
NAME_CACHE = 'sun_path="/var/run/nscd/socket"'


@pytest.fixture(scope="module")
def strace() -> str:
    found = shutil.which("strace")
    if found is None:
        pytest.skip("strace is not installed")
    tried = subprocess.run([found, "-f", "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"strace may not trace here: {tried.stderr.strip().splitlines()[-1]}")
    return found


def environment(folder: Path) -> dict[str, str]:
    """Home and every XDG folder are `folder`/home; squeeze's own folders and $TMPDIR are beside it."""
    for name in ("home", "tmp", "here"):
        (folder / name).mkdir()
    return {
        **{name: os.environ[name] for name in INHERITED if name in os.environ},
        **{f"XDG_{name}": str(folder / "home") for name in XDG},
        "HOME": str(folder / "home"),
        "SQUEEZE_CACHE": str(folder / "cache"),
        "SQUEEZE_STATE": str(folder / "state"),
        "TMPDIR": str(folder / "tmp"),
    }


def sockets(trace: list[str]) -> list[str]:
    """The calls that reach out: all that name an address other than the local name cache's, or an internet socket."""
    return [
        line
        for line in trace
        if re.search(r"\bAF_INET|sa_family=", line) and NAME_CACHE not in line
    ]


def written(trace: list[str]) -> set[Path]:
    """Every path that was opened for writing, or made; the interpreter's own caches aside."""
    found = set()
    for line in trace:
        if WRITES.search(line) and (match := OPENED.search(line)):
            found.add(Path(match["base"] or "/", match["path"]))
    return {path for path in found if "__pycache__" not in path.parts}


def test_compile_reaches_nobody_and_writes_to_its_own_folders_alone(
    vector_teacher: Trained, tmp_path: Path, strace: str
) -> None:
    recipe = tmp_path / "quick.toml"
    recipe.write_text(RECIPE)
    trace_path = tmp_path / "trace.txt"
    calls = "trace=network,open,openat,openat2,creat,mkdir,mkdirat"
    done = subprocess.run(
        [
            *(strace, "-f", "--seccomp-bpf", "-qq", "-y", "-e", calls, "-o", str(trace_path)),
            *(sys.executable, "-m", "squeeze", "compile", str(vector_teacher.pt2)),
            *("--calib", str(vector_teacher.data), "--recipe", str(recipe), "--drop", "90"),
            *("--threads", "1", "-o", "out"),
        ],
        env=environment(tmp_path),
        cwd=tmp_path / "here",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    trace = trace_path.read_text(errors="replace").splitlines()
    # The trace sees what it is asked about: the package, and the child in which memory is measured.
    paths = written(trace)
    assert any(p.is_relative_to(tmp_path / "here") for p in paths)
    assert Path("/proc/self/clear_refs") in paths
    assert sockets(trace) == []
    assert list((tmp_path / "home").rglob("*")) == []
    own = [tmp_path / name for name in ("cache", "state", "tmp", "here")]
    own += [Path("/dev"), Path("/proc/self")]
    assert [str(p) for p in paths if not any(p.is_relative_to(folder) for folder in own)] == []


def test_runtime_that_was_imported_before_us_is_said(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import onnxruntime, squeeze"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "onnxruntime was imported before squeeze" in done.stderr
    assert "ORT_DISABLE_TELEMETRY=1" in done.stderr


def test_package_that_sends_for_openvino_and_nncf_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "openvino_telemetry.py").write_text("")
    code = f"import sys; sys.path.append({str(tmp_path)!r}); import squeeze, openvino_telemetry"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "import of openvino_telemetry halted" in done.stderr
