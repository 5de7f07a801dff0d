"""What a file of weights holds, read as data: safetensors, or torch.load in its weights-only mode."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from squeeze.errors import ConfigError
from squeeze.export.blame import first_line
from squeeze.teacher import pickled
from squeeze.teacher.source import script_refusal

if TYPE_CHECKING:
    from pathlib import Path

_REFUSED = re.compile(r"(?:Unsupported global: GLOBAL|Unsupported class) ([\w.]+)")
_DAMAGED = (
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    struct.error,
)


def read_weights(path: Path) -> Any:  # Any: whatever a checkpoint holds
    """The tensors of a .safetensors file, or what a torch.save file holds. Nothing is executed.

    Raises ConfigError, naming what else than weights is in it.
    """
    if path.suffix.lower() == ".safetensors":
        try:
            return dict(load_file(path))
        except (SafetensorError, OSError, ValueError, KeyError) as e:
            raise ConfigError(f"{path}: not a safetensors file, or cut off: {first_line(e)}") from e
    holds = pickled.look(path)
    if holds.holds == "script":
        raise ConfigError(*script_refusal(str(path), path.name))
    if holds.holds == "module":
        kind = f" ({holds.type_name})" if holds.type_name else ""
        raise ConfigError(
            f"{path}: holds more than weights: a pickled torch module{kind}, which can run code when it is opened, so "
            "it is not read.",
            "Where the model was made: torch.save(model.state_dict(), ...)",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of old forms of the file
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as e:
        named = _REFUSED.search(str(e))
        what = f" ({named[1]})" if named else ""
        raise ConfigError(
            f"{path}: holds more than weights{what}, which can run code when it is opened, so it is not read. "
            "Save with torch.save(model.state_dict(), ...) or as .safetensors"
        ) from e
    except _DAMAGED as e:
        raise ConfigError(
            f"{path}: not a torch.save file of weights, or cut off: {first_line(e)}"
        ) from e
