"""`package.module:factory` and a file of weights -> a torch module. The factory is the user's own code and is run;
the weights are data and are read as such (safetensors, or torch.load with weights_only).
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from pathlib import Path
from typing import Any

import torch

from squeeze.errors import ConfigError
from squeeze.export.blame import first_line
from squeeze.own_code import current_folder_importable
from squeeze.teacher.checkpoint import fitting
from squeeze.teacher.weights import read_weights


def build(source: str, weights: Path) -> tuple[torch.nn.Module, str]:
    """The factory's module in eval mode, float32, on the CPU, with the weights loaded; and the float type that it had.

    Raises ConfigError when the factory cannot be imported or called, gives no module, or the weights do not fit.
    """
    module = _call(source)
    floats = (t.dtype for t in module.state_dict().values() if isinstance(t, torch.Tensor))
    own = next((str(d).removeprefix("torch.") for d in floats if d.is_floating_point), "float32")
    state = fitting(read_weights(weights), module.state_dict(), weights, source)
    try:
        module.load_state_dict(state, strict=False)
    except RuntimeError as e:
        raise ConfigError(f"{weights}: does not fit {source}: {first_line(e)}") from e
    return module.to("cpu").float().eval(), own


def parameter_names(source: str) -> tuple[str, ...] | None:
    """The parameters of the module's forward that must be given; None where others may be tensors as well.

    Raises ConfigError as `build`.
    """
    names = []
    for parameter in inspect.signature(_call(source).forward).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            return None
        if parameter.default is None:
            return None
        if parameter.default is parameter.empty:
            names.append(parameter.name)
    return tuple(names) or None


def source_text(source: str) -> str:
    """The text of the module that the factory is in. Raises ConfigError when there is no such module."""
    name = source.split(":")[0]
    with current_folder_importable():
        try:
            spec = importlib.util.find_spec(name)
        except (
            Exception,
            SystemExit,
        ) as e:  # parents of the module are imported, and may raise anything
            raise ConfigError(f"{source}: '{name}' cannot be imported: {_said(e)}") from e
    if spec is None:
        raise ConfigError(
            f"{source}: there is no module '{name}'; it is looked for in the current folder and on PYTHONPATH"
        )
    if spec.origin is None or not spec.origin.endswith(".py"):
        return ""
    return Path(spec.origin).read_text(encoding="utf-8", errors="replace")


def _call(source: str) -> torch.nn.Module:
    name, attribute = source.split(":")
    source_text(source)
    with current_folder_importable():
        try:
            found: Any = importlib.import_module(name)
        except (Exception, SystemExit) as e:  # the user's module may raise anything
            raise ConfigError(f"{source}: '{name}' cannot be imported: {_said(e)}") from e
        for part in attribute.split("."):
            if not hasattr(found, part):
                public = [n for n in dir(found) if not n.startswith("_")]
                raise ConfigError(
                    f"{source}: '{name}' has no '{attribute}'; it has {', '.join(public[:8]) or 'nothing'}"
                )
            found = getattr(found, part)
        if isinstance(found, torch.nn.Module):
            return found
        if not callable(found):
            raise ConfigError(
                f"{source}: '{attribute}' is {type(found).__name__}; give a function that returns the model"
            )
        try:
            module = found()
        except (Exception, SystemExit) as e:  # the user's factory may raise anything
            raise ConfigError(
                f"{source}: the factory raised {_said(e)}; it is called without arguments"
            ) from e
    if not isinstance(module, torch.nn.Module):
        raise ConfigError(
            f"{source}: the factory returned {type(module).__name__}, wanted a torch.nn.Module"
        )
    return module


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {first_line(error)}"
