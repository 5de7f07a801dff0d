"""A factory's module as a teacher: its inputs told by the names of its forward, tried on the data, exported to ONNX."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import numpy as np
import torch

from squeeze.end import End
from squeeze.errors import ConfigError
from squeeze.interface import TensorSpec
from squeeze.teacher.arrange import arrangements
from squeeze.teacher.example import COUNT, Fitted, described
from squeeze.teacher.exported import Exported, Flat, export, failure, tensors
from squeeze.teacher.factory import build
from squeeze.teacher.outputs import named_tensors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from squeeze.feed import Feed


def factory_to_onnx(source: str, weights: Path, example: Feed | None) -> Exported:
    """The factory's module as ONNX, and the example as it takes it. Raises as `squeeze.teacher.load`."""
    if example is None:
        raise ConfigError(
            f"{source}: a factory does not say what its model takes; data is needed (--calib)"
        )
    module, own = build(source, weights)
    dtype = own if own in ("float16", "float64") else "float32"
    names = _taken(module, example, source)
    flat = Flat(module, names if len(names) > 1 else None)
    failures = []
    for inputs in _tries(example, names, dtype):
        failed = failure(flat, inputs, 1)
        if failed is None:
            return _exported(flat, inputs, dtype, source)
        failures.append(failed)
    has = ", ".join(map(described, example.values()))
    raise ConfigError(f"{source}: the model does not run on the data, {has}: {failures[0]}")


def _exported(flat: Flat, inputs: tuple[Fitted, ...], dtype: str, source: str) -> Exported:
    with torch.no_grad():
        returned = flat.returned(*tensors(inputs, 1))
    found = named_tensors(returned, [f.spec.name for f in inputs], f"{source}: the model")
    outputs = tuple(
        End(n, dtype if t.is_floating_point() else str(t.dtype).removeprefix("torch."), None)
        for n, t in found.items()
    )
    plain = flat.names is None and isinstance(returned, torch.Tensor)
    module = flat.module if plain else flat
    return Exported(export(module, inputs, list(found), source), inputs, outputs)


def _taken(module: torch.nn.Module, example: Feed, source: str) -> tuple[str, ...]:
    """Names of the module's inputs that the example gives, in the order of forward."""
    parameters = inspect.signature(module.forward).parameters.values()
    names = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if len(example) == 1:
        return (names[0] if names else "input",)
    unknown = [n for n in example if n not in names]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters):
        raise ConfigError(
            f"{source}: the data has {', '.join(example)}, the model's forward takes {', '.join(names)}; "
            "give one array for each of them, by its name"
        )
    return (*(n for n in names if n in example), *unknown)


def _tries(example: Feed, names: tuple[str, ...], dtype: str) -> Iterator[tuple[Fitted, ...]]:
    """The example as the module may take it: batch first, one input in every arrangement; at last without a batch."""
    if len(names) == 1:
        (only,) = example.values()
        for arranged in arrangements(only):
            yield (_fitted(names[0], arranged, dtype, 0),)
        yield (_fitted(names[0], only, dtype, None),)
    else:
        for axis in (0, None):
            yield tuple(_fitted(name, example[name], dtype, axis) for name in names)


def _fitted(name: str, x: NDArray[np.generic], dtype: str, axis: int | None) -> Fitted:
    wanted = dtype if x.dtype.kind == "f" else x.dtype.name
    samples = np.resize(x.astype(wanted), (COUNT, *x.shape[1:]))
    spec = TensorSpec(name, wanted, tuple(x.shape[1:]), axis)
    return Fitted(spec, np.ascontiguousarray(samples))
