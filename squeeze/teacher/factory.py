"""`package.module:factory` and a file of weights -> a torch module. The factory is the user's own code and is run;
the weights are data and are read as such (safetensors, or torch.load with weights_only).
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import pickle
import struct
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from squeeze.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN = 3
# How checkpoints of common training scripts wrap the state, outermost first.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "ema", "net")


def build(source: str, weights: Path) -> tuple[torch.nn.Module, str]:
    """The factory's module in eval mode, float32, on the CPU, with the weights loaded; and the float type that it had.

    Raises ConfigError when the factory cannot be imported or called, gives no module, or the weights do not fit.
    """
    module = _call(source)
    floats = (t.dtype for t in module.state_dict().values() if isinstance(t, torch.Tensor))
    own = next((str(d).removeprefix("torch.") for d in floats if d.is_floating_point), "float32")
    state = read_weights(weights)
    _check_fit(module.state_dict(), state, f"{weights}: does not fit {source}")
    try:
        module.load_state_dict(state, strict=False)
    except RuntimeError as e:
        raise ConfigError(f"{weights}: does not fit {source}: {_first_line(e)}") from e
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
    with _current_folder_importable():
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


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors file or a weights-only torch.save file. Nothing is executed.

    Raises ConfigError.
    """
    if path.suffix.lower() == ".safetensors":
        try:
            return dict(load_file(path))
        except (SafetensorError, OSError, ValueError, KeyError) as e:
            raise ConfigError(
                f"{path}: not a safetensors file, or cut off: {_first_line(e)}"
            ) from e
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of old forms of the file
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as e:
        raise ConfigError(
            f"{path}: holds more than weights, which can run code when it is opened, so it is not read. "
            "Save with torch.save(model.state_dict(), ...) or as .safetensors"
        ) from e
    except (
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        struct.error,
    ) as e:
        raise ConfigError(
            f"{path}: not a torch.save file of weights, or cut off: {_first_line(e)}"
        ) from e
    return _state(found, path)


def _state(found: Any, path: Path) -> dict[str, torch.Tensor]:  # Any: what the file held
    for wrapper in _WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            found = found[wrapper]
    if not isinstance(found, dict) or not found:
        raise ConfigError(
            f"{path}: holds a {type(found).__name__}, wanted the dict of state_dict()"
        )
    other = [str(k) for k, v in found.items() if not isinstance(v, torch.Tensor)]
    if other:
        raise ConfigError(
            f"{path}: {', '.join(other[:_SHOWN])}: not tensors; save with torch.save(model.state_dict(), ...)"
        )
    # DataParallel puts this before every name.
    if all(str(k).startswith("module.") for k in found):
        found = {str(k).removeprefix("module."): v for k, v in found.items()}
    return {str(k): v for k, v in found.items()}


def _check_fit(wanted: dict[str, Any], got: dict[str, torch.Tensor], where: str) -> None:
    tensors = {k: v for k, v in wanted.items() if isinstance(v, torch.Tensor)}
    missing = [k for k in tensors if k not in got and not k.endswith("num_batches_tracked")]
    extra = [k for k in got if k not in wanted]
    other = [
        f"{k} {list(got[k].shape)} instead of {list(v.shape)}"
        for k, v in tensors.items()
        if k in got and got[k].shape != v.shape
    ]
    problems = [
        f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
        for what, names in (("missing", missing), ("unknown", extra), ("of another shape", other))
        if names
    ]
    if problems:
        raise ConfigError(
            f"{where}: of {len(tensors)} tensors {'; '.join(problems)}. Give the weights of this very model"
        )


def _call(source: str) -> torch.nn.Module:
    name, attribute = source.split(":")
    source_text(source)
    with _current_folder_importable():
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


@contextmanager
def _current_folder_importable() -> Iterator[None]:
    """As `python -m` does it; an installed command has only its own folder on the path."""
    folder = os.getcwd()
    if folder in sys.path or "" in sys.path:
        yield
        return
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
