"""The shared library itself: what it exports and needs, and that a damaged file is never handed out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from squeeze import ops
from squeeze.ops import library as loader
from tests.native.symbols import check_shared_library


def test_library_exports_few_names_and_needs_an_old_c_library_alone(library: str) -> None:
    check_shared_library(library)


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
