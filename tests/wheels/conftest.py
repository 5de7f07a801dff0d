"""The files that `make wheels` made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def dist() -> Path:
    folder = os.environ.get("SQUEEZE_WHEELS")
    if not folder:
        pytest.skip("SQUEEZE_WHEELS names no folder of wheels: make wheels")
    return Path(folder)


@pytest.fixture(scope="session")
def wheels(dist: Path) -> dict[str, Path]:
    """By platform: `any`, `manylinux_2_17_x86_64` ... (older names of the same stand before a dot)."""
    found = [(wheel.stem.rpartition("-")[2], wheel) for wheel in dist.glob("squeeze-*.whl")]
    return {tags.rpartition(".")[2]: wheel for tags, wheel in found}
