"""Which machine and which versions a benchmark ran on: the block that every results file carries."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from squeeze import machine
from squeeze.run import versions as squeeze_versions

Json = dict[str, Any]  # Any: JSON

OPTIONAL_TOOLS = ("nncf", "openvino")


def describe() -> Json:
    """The CPU, its clusters of instruction sets, how many cores it has, and to how many this run was pinned."""
    return {
        "cpu": machine.host_name(),
        "isa": list(machine.isa()),
        "cores": os.cpu_count() or 1,
        "pinned_cores": machine.usable_cores(),
    }


def versions() -> dict[str, str]:
    """Versions of everything that can change a result, of the optional tools those that are installed."""
    found = squeeze_versions()
    for name in OPTIONAL_TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
