"""Tests of the native ops need the library; without it they are skipped and say how to build it."""

from __future__ import annotations

import pytest

from squeeze import ops


@pytest.fixture
def library() -> str:
    path = ops.library_path()
    if path is None:
        pytest.skip("libsqueeze_ops.so is not built: cmake -S . -B build && cmake --build build")
    return str(path)
