"""Which optional package is here, and the one command that brings it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec


def missing_package(module: str, package: str, extra: str) -> str | None:
    """What is said where `module` of the package `package` is not to be had; None where it is."""
    if find_spec(module) is not None:
        return None
    return f"{package} is not installed: pip install squeeze[{extra}]"


def named_version(package: str) -> str:
    """'ethos-u-vela 5.2.0', or that it is not installed."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} (not installed)"
