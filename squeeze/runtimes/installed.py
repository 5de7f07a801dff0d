"""Which optional package is here, whether it is new enough, and the one command that brings it."""

from __future__ import annotations

import re
import shlex
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec

from packaging.requirements import Requirement


def missing_package(module: str, package: str, extra: str, min_version: str = "") -> str | None:
    """What is said where `module` of the package `package` is not to be had, or is older than `min_version`; None where
    it is there."""
    command = f"pip install {' '.join(map(shlex.quote, packages_of(extra)))}"
    try:
        found = find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it is in
        found = False
    if not found:
        return f"{package} is not installed: {command}"
    installed = _version(package)
    if installed is not None and _numbers(installed) < _numbers(min_version):
        newer = shlex.quote(f"{package}>={min_version}")
        return f"{package} {installed} is older than {min_version}: pip install {newer}"
    return None


def packages_of(extra: str) -> list[str]:
    """The packages of an extra of ours, with their versions; the extra itself where no metadata say what is in it.

    Named one by one they are what people get, whatever a package of our name is elsewhere.
    """
    try:
        known = [Requirement(text) for text in requires("squeeze") or ()]
    except PackageNotFoundError:
        known = []
    found = [
        f"{one.name}{one.specifier}"
        for one in known
        if one.marker is not None
        and one.marker.evaluate({"extra": extra})
        and not one.marker.evaluate({"extra": ""})
    ]
    return found or [f"squeeze[{extra}]"]


def named_version(package: str) -> str:
    """'ethos-u-vela 5.2.0', or that it is not installed."""
    return f"{package} {_version(package) or '(not installed)'}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _numbers(text: str) -> tuple[int, ...]:
    """Those in front of whatever else a version has: '5.2.0rc1' -> (5, 2, 0)."""
    whole = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in whole.group().split(".")) if whole else ()
