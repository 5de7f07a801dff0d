"""Small calibration sets in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Save = Callable[..., str]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """save(name, **arrays) writes an .npz, or with one array called `whole` an .npy, and gives its path."""

    def write(name: str, **arrays: Any) -> str:
        path = tmp_path / name
        if "whole" in arrays:
            np.save(path, arrays["whole"])
        else:
            np.savez(path, **arrays)
        return str(path)

    return write
