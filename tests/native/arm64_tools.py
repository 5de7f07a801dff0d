"""What the tests of the cross build ask for: programs, build products, an emulator. Without them they skip."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "aarch64-linux-gnu"
QEMU = "qemu-aarch64-static"
COMPILER = "aarch64-linux-gnu-g++"

# The emulator's name of a CPU, and the clusters that it may run, best last.
CPUS: dict[str, list[str]] = {
    "cortex-a53": ["arm64_neon"],
    "cortex-a76": ["arm64_neon", "arm64_dotprod"],
    "max,sme=off": ["arm64_neon", "arm64_dotprod", "arm64_i8mm"],
}


def program(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (Debian: {package})")
    return path


def qemu() -> str:
    return program(QEMU, "qemu-user-static")


def cross_built(name: str) -> Path:
    program(COMPILER, "g++-aarch64-linux-gnu")
    path = BUILD / name
    if not path.is_file():
        preset = BUILD.name
        pytest.skip(
            f"{path} is not built: cmake --preset {preset} && cmake --build --preset {preset}"
        )
    return path
