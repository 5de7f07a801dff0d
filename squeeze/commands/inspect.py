"""`squeeze inspect`: what a package says of itself, or what a model file holds; nothing is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import account, artifact, contract, seal
from squeeze.account.weigh import read
from squeeze.commands.runnable import runnable
from squeeze.errors import ConfigError
from squeeze.runtimes.shapes import shapes_of
from squeeze.runtimes.signature import Input
from squeeze.teacher.onnx.signature import declared, inputs_of

if TYPE_CHECKING:
    import onnx

Json = dict[str, Any]  # Any: JSON


def inspect_model(model: str | Path, shape: Mapping[str, Sequence[int]] | None = None) -> Json:
    """The manifest of a package, or inputs, outputs, operators and sizes of a model file.

    shape: by input, or under "" for all with as many axes, at which MACs are counted where the file leaves sizes open;
    what nobody says is chosen as `profile` does, and told under "assumed". Raises ConfigError.
    """
    path = Path(model)
    if (path / seal.MANIFEST).exists():
        if shape:
            raise ConfigError(
                f"--shape: {path} is a package, whose manifest is shown as it is; give its model.onnx"
            )
        return {"kind": "package", **artifact.open(path).manifest}
    with runnable(model, shape, run=False) as file:
        proto = read(file)
        said, other = contract.read(proto)
        shapes, assumed = shapes_of(_inputs(proto.graph), shape or {}, other)
        return {
            "kind": "model",
            "model": str(model),
            **account.summary(file, shapes),
            **({"assumed": list(assumed)} if assumed else {}),
            **({"contract": said} if said else {}),
            **({"metadata": other} if other else {}),
        }


def _inputs(graph: onnx.GraphProto) -> list[Input]:
    """Those whose sizes can be told: tensors of numbers."""
    ends = (declared(value) for value in inputs_of(graph))
    return [
        Input(e.name, np.dtype(e.dtype), tuple(d or f"dim{i}" for i, d in enumerate(e.sizes)))
        for e in ends
        if e.sizes is not None and e.dtype not in ("object", "str")
    ]
