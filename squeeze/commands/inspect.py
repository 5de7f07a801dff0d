"""`squeeze inspect`: what a package says of itself, or what a model file holds; nothing is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from squeeze import account, artifact, contract, seal
from squeeze.account.weigh import read
from squeeze.commands.runnable import runnable

Json = dict[str, Any]  # Any: JSON


def inspect_model(model: str | Path) -> Json:
    """The manifest of a package, or inputs, outputs, operators and sizes of a model file. Raises ConfigError."""
    path = Path(model)
    if (path / seal.MANIFEST).exists():
        return {"kind": "package", **artifact.open(path).manifest}
    with runnable(model, run=False) as file:
        said, other = contract.read(read(file))
        return {
            "kind": "model",
            "model": str(model),
            **account.summary(file),
            **({"contract": said} if said else {}),
            **({"metadata": other} if other else {}),
        }
