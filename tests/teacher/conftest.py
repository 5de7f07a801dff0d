"""Saved teachers in the accepted forms, made once, and a way to alter an archive."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from squeeze import teacher
from tests.teacher import models


def save_pt2(
    module: nn.Module,
    x: torch.Tensor | tuple[torch.Tensor, ...],
    path: Path,
    *,
    dynamic: bool = True,
) -> Path:
    """torch.export.save, with a batch that may vary or the example's."""
    inputs = x if isinstance(x, tuple) else (x,)
    shapes: Any = tuple({0: torch.export.Dim.DYNAMIC} for _ in inputs) if dynamic else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(module, inputs, dynamic_shapes=shapes), path)
    return path


def rewrite(source: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """A copy of an archive whose members (by their name below the root) went through `change`."""
    with zipfile.ZipFile(source) as file:
        members = {n.split("/", 1)[1]: file.read(n) for n in file.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as file:
        for name, data in members.items():
            file.writestr(f"model/{name}", data)
    return target


def load(
    source: Path | str,
    folder: Path,
    example: dict[str, np.ndarray] | np.ndarray | torch.Tensor | None = None,
    weights: Path | None = None,
) -> teacher.Teacher:
    """`squeeze.teacher.load` into a folder below `folder`."""
    x = example.numpy() if isinstance(example, torch.Tensor) else example
    return teacher.load(
        str(source),
        weights=None if weights is None else str(weights),
        example=x,
        folder=folder / "step",
    )


@pytest.fixture(scope="session")
def vector_pt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("teachers") / "vector.pt2"
    return save_pt2(models.make(models.Vector), models.INPUTS["Vector"], path)


@pytest.fixture(scope="session")
def vector_teacher(vector_pt2: Path, tmp_path_factory: pytest.TempPathFactory) -> teacher.Teacher:
    """Loaded without an example."""
    return load(vector_pt2, tmp_path_factory.mktemp("vector"))
