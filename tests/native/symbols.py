"""What a binary defines, needs and asks of the C library, for tests of builds for any machine."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

NEWEST_GLIBC = (2, 17)
# What ONNX Runtime calls, and what training does.
EXPORTED = {"RegisterCustomOps", "SqueezeLsqBackward", "SqueezeLsqForward"}


def tool(*command: str | Path) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} (binutils) is not installed")
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def check_shared_library(path: str | Path) -> None:
    """The exported names; nothing needed but the C library; of that, only what is old."""
    defined = tool("nm", "-D", "--defined-only", path).splitlines()
    assert {line.split()[-1] for line in defined} == EXPORTED
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", tool("readelf", "-d", path)))
    assert "libc.so.6" in needed
    assert [n for n in needed if not re.fullmatch(r"lib(c|m)\.so\.6|ld-linux-.*", n)] == []
    versions = re.findall(r"GLIBC_(\d+)\.(\d+)", tool("nm", "-D", path))
    assert max((int(major), int(minor)) for major, minor in versions) <= NEWEST_GLIBC


def check_archive(path: str | Path) -> None:
    """RegisterCustomOps is the only global name, and weak ones, which a linker may share, are absent."""
    lines = [line.split() for line in tool("nm", path).splitlines()]
    symbols = [words[-2:] for words in lines if len(words) > 1]
    names = [name for kind, name in symbols if kind.isupper() and kind != "U"]
    assert names == ["RegisterCustomOps"]
    assert [name for kind, name in symbols if kind in "vwu"] == []
    undefined = {name for kind, name in symbols if kind == "U"}
    assert [name for name in undefined if name.startswith(("_Z", "__cxa"))] == []


def check_no_weak_code(objects: list[Path]) -> None:
    """Of files for one ISA: a linker may keep a weak copy for everybody, and an old CPU then dies of it."""
    for path in objects:
        lines = tool("nm", path).splitlines()
        weak = [line for line in lines if line.split()[-2] in "VvWwu"]
        assert not weak, f"{path.name}: {weak}"
