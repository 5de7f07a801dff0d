"""squeeze: trained model + data + target + goal in, one verified ONNX artifact out.

import squeeze
package = squeeze.compile("teacher.pt2", "data.npz", "host", out="out/small", drop=1.0)
squeeze.profile("out/small", against="teacher.onnx")
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from squeeze.offline import forbid_telemetry

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.artifact import Artifact
    from squeeze.verification import Check

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


def compile(*args: Any, **options: Any) -> Any:  # Any: see squeeze.compile.compile_model
    """Compiles a teacher into a package, for several targets into a list; see `squeeze.compile.compile_model`."""
    from squeeze.compile import compile_model

    return compile_model(*args, **options)


def profile(model: str | Path, **options: Any) -> dict[str, Any]:  # Any: JSON
    """Times a model or package on this machine; arguments and errors as `squeeze.commands.profile.profile_model`."""
    from squeeze.commands.profile import profile_model

    return profile_model(model, **options)


def inspect(model: str | Path) -> dict[str, Any]:  # Any: JSON
    """What a package says of itself, or what a model file holds."""
    from squeeze.commands.inspect import inspect_model

    return inspect_model(model)


def lower(model: str | Path, out: str | Path, **options: Any) -> dict[str, Any]:  # Any: JSON
    """Puts our fused ops into a QDQ file; arguments and errors as `squeeze.commands.lower.lower_file`."""
    from squeeze.commands.lower import lower_file

    return lower_file(model, out, **options)


def quantize(model: str | Path, out: str | Path, **options: Any) -> dict[str, Any]:  # Any: JSON
    """Quantises a model without training; arguments and errors as `squeeze.commands.quantize.quantize_file`."""
    from squeeze.commands.quantize import quantize_file

    return quantize_file(model, out, **options)


def save(model: Any, example: Any, path: str | Path, **options: Any) -> Path:  # Any: torch's types
    """Saves a torch module as .pt2 or .onnx with a free batch; arguments and errors as `squeeze.save.save_model`."""
    from squeeze.save import save_model

    return save_model(model, example, path, **options)


def sign(path: str | Path, key: str | Path, password: bytes | None = None) -> Path:
    """Signs a package with a private key; arguments and errors as `squeeze.signature.sign_package`."""
    from squeeze.signature import sign_package

    return sign_package(path, key, password)


def verify(
    path: str | Path, expect: str | None = None, key: str | Path | None = None
) -> list[Check]:
    """Checks the bytes of a package, and that it computes here what it computed when it was made.

    expect: its artifact_digest, kept elsewhere; key: the public key that it must be signed for. Raises ConfigError for
    what is no package.
    """
    from squeeze.verification import verify as verify_package

    return verify_package(path, expect, key)


def open(path: str | Path) -> Artifact:
    """Opens a package; ConfigError with the file's name if a byte of it changed."""
    from squeeze.artifact import open as open_package

    return open_package(path)
