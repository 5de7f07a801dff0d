"""The shared library itself: what it exports and needs, and that a damaged file is never handed out."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from squeeze import ops
from squeeze.ops import library as loader

NEWEST_GLIBC = (2, 17)


def tool(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} (binutils) is not installed")
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_only_register_custom_ops_is_exported(library: str) -> None:
    lines = tool("nm", "-D", "--defined-only", library).split("\n")
    assert [line.split()[-1] for line in lines if line] == ["RegisterCustomOps"]


def test_only_libc_is_needed_and_an_old_one_will_do(library: str) -> None:
    assert re.findall(r"NEEDED.*\[(.*)\]", tool("readelf", "-d", library)) == ["libc.so.6"]
    found = re.findall(r"GLIBC_(\d+)\.(\d+)", tool("nm", "-D", library))
    assert max((int(a), int(b)) for a, b in found) <= NEWEST_GLIBC


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda data: data[: len(data) // 2], "truncated"),
        (lambda data: data[:-1], "truncated"),
        (lambda data: data[:40], "not an ELF file"),
        (lambda data: b"", "not an ELF file"),
        (lambda data: b"#!/bin/sh\n" + data, "not an ELF file"),
        (lambda data: data[:18] + b"\x08\x00" + data[20:], "built for ELF machine 8"),
        (lambda data: data[:4] + b"\x01" + data[5:], "not a 64-bit"),
    ],
    ids=["half", "one-byte-less", "header-only", "empty", "script", "machine", "32-bit"],
)
def test_damaged_file_has_a_reason(
    library: str, tmp_path: Path, damage: Callable[[bytes], bytes], why: str
) -> None:
    copy = tmp_path / "copy.so"
    copy.write_bytes(Path(library).read_bytes())
    assert loader.defect(copy) is None
    copy.write_bytes(damage(copy.read_bytes()))
    assert why in str(loader.defect(copy))


def test_absent_library_is_none_and_a_damaged_one_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ops, "__path__", [str(tmp_path / "checkout"), str(tmp_path)])
    assert loader.library_path() is None
    assert caplog.text == ""
    (tmp_path / loader.FILE_NAME).write_bytes(b"\x7fELF")
    with caplog.at_level(logging.WARNING):
        assert loader.library_path() is None
    assert "not an ELF file" in caplog.text
