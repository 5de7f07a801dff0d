"""What a module is called with: an example in whatever form by the names of `forward`, and samples of it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from squeeze.errors import ConfigError

Inputs = dict[str, torch.Tensor]
Axes = dict[str, int | None]


def named(module: torch.nn.Module, example: Any) -> Inputs:  # Any: tensors in whatever form
    """The example by the names of forward, as tensors on the CPU."""
    taken = [
        p.name
        for p in inspect.signature(module.forward).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    if isinstance(example, Mapping):
        given = {str(k): v for k, v in example.items()}
        if unknown := [k for k in given if k not in taken]:
            raise ConfigError(
                f"squeeze.save: the example has '{unknown[0]}', forward takes {', '.join(taken)}"
            )
        given = {k: given[k] for k in taken if k in given}
    else:
        values = list(example) if isinstance(example, (tuple, list)) else [example]
        if len(values) > len(taken):
            raise ConfigError(
                f"squeeze.save: the example has {len(values)} inputs, forward takes {len(taken)}: {', '.join(taken)}; "
                "samples of one input are one tensor [n, ...]"
            )
        given = dict(zip(taken, values, strict=False))
    if not given:
        raise ConfigError("squeeze.save: the example is empty; one sample at least is wanted")
    return {k: _tensor(v, k) for k, v in given.items()}


def _tensor(value: Any, name: str) -> torch.Tensor:  # Any: tensors in whatever form
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.array(value))
    if not isinstance(value, torch.Tensor):
        raise ConfigError(
            f"squeeze.save: example: '{name}' is {type(value).__name__}, wanted a tensor; give numbers as "
            "torch.tensor(...), and take what is no tensor into the model"
        )
    return value.detach().cpu()


def axes_of(inputs: Inputs, given: Mapping[str, int | None]) -> Axes:
    """Where each input has its batch."""
    if unknown := [name for name in given if name not in inputs]:
        raise ConfigError(
            f"squeeze.save: batch_axes: '{unknown[0]}' is no input; allowed: {', '.join(inputs)}"
        )
    for name, axis in given.items():
        if axis is not None and not 0 <= axis < inputs[name].ndim:
            raise ConfigError(
                f"squeeze.save: batch_axes: '{name}' has {inputs[name].ndim} axes, got axis {axis}"
            )
    known = dict(given)
    sizes = [
        x.shape[known.get(n) or 0]
        for n, x in inputs.items()
        if x.ndim and known.get(n, 0) is not None
    ]
    if not sizes or sizes[0] == 0:
        raise ConfigError(
            "squeeze.save: the example has no batch; its first axis is that of samples"
        )
    return {
        n: known[n] if n in known else 0 if x.ndim and x.shape[0] == sizes[0] else None
        for n, x in inputs.items()
    }


def sized(inputs: Inputs, axes: Axes, count: int) -> Inputs:
    """`count` samples: those of the example, again and again."""
    found = {}
    for name, x in inputs.items():
        axis = axes[name]
        if axis is None:
            found[name] = x
        else:
            found[name] = x.index_select(axis, torch.arange(count) % x.shape[axis])
    return found
