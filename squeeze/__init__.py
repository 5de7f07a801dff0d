"""squeeze: trained model + data + target + goal in, one verified ONNX artifact out.

import squeeze
package = squeeze.compile("teacher.pt2", "data.npz", "host", out="out/small", drop=1.0)
squeeze.profile("out/small", against="teacher.onnx")
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from squeeze.offline import forbid_telemetry

if TYPE_CHECKING:
    from squeeze.artifact import open
    from squeeze.commands.inspect import inspect_model as inspect
    from squeeze.commands.lower import lower_file as lower
    from squeeze.commands.profile import profile_model as profile
    from squeeze.commands.quantize import quantize_file as quantize
    from squeeze.compile import compile_model as compile
    from squeeze.save import save_model as save
    from squeeze.signature import sign_package as sign
    from squeeze.verification import verify

__all__ = [
    "__version__",
    "compile",
    "inspect",
    "lower",
    "open",
    "profile",
    "quantize",
    "save",
    "sign",
    "verify",
]
__version__ = "0.1.0"

# Whatever of ours is imported, this file comes first: before onnxruntime, in every process.
forbid_telemetry()


class _Package(ModuleType):
    """Keeps the name `squeeze.compile` for the function: importing the submodule of that name would take it."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in __all__ and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


# Name -> the module and the function; nothing of them is loaded before it is asked for.
_FUNCTIONS = {
    "compile": ("squeeze.compile", "compile_model"),
    "inspect": ("squeeze.commands.inspect", "inspect_model"),
    "lower": ("squeeze.commands.lower", "lower_file"),
    "open": ("squeeze.artifact", "open"),
    "profile": ("squeeze.commands.profile", "profile_model"),
    "quantize": ("squeeze.commands.quantize", "quantize_file"),
    "save": ("squeeze.save", "save_model"),
    "sign": ("squeeze.signature", "sign_package"),
    "verify": ("squeeze.verification", "verify"),
}


def __getattr__(
    name: str,
) -> Any:  # Any: the functions themselves, with their signatures and docstrings
    if name not in _FUNCTIONS:
        raise AttributeError(f"module 'squeeze' has no attribute '{name}'")
    module, function = _FUNCTIONS[name]
    found = getattr(import_module(module), function)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
