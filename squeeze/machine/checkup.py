"""What this machine can do for squeeze, for `squeeze doctor`: nothing heavy is imported, everything is looked at.

Each entry says what was found, whether that is well, and what to do when it is not. Warnings are no errors:
everything works without, only slower or with less.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

from squeeze import ops, paths
from squeeze.machine.cpu import BF16, flags, host_name, isa, usable_cores
from squeeze.machine.memory import container_limit_bytes, memory_bytes

_REQUIRED = ("numpy", "onnx", "onnx-ir", "onnxruntime", "onnxscript", "torch")
_OPTIONAL = {
    "model-signing": "sign and verify --key need it: pip install model-signing pyopenssl",
    "nncf": "only the comparisons of `make bench` need it",
    "pillow": "folders of images need it: pip install pillow",
    "openvino": "only the comparisons of `make bench` need it",
    "transformers": "models as Hugging Face folders need it: pip install transformers",
}
_ENOUGH_MEMORY_BYTES = 2_000_000_000
_ENOUGH_DISK_BYTES = 2_000_000_000
_LOAD_LIBRARY = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).RegisterCustomOps"


class Finding(TypedDict):
    """One line of the check-up. `hint` is empty when all is well."""

    name: str
    found: str
    ok: bool
    hint: str


def doctor() -> dict[str, list[Finding]]:
    """{"entries": findings in the order to show them in}."""
    return {"entries": list(_findings())}


def _findings() -> Iterator[Finding]:
    yield _finding(
        "python",
        f"{platform.python_version()} ({sys.executable})",
        sys.version_info >= (3, 10),
        "squeeze needs Python 3.10 or newer",
    )
    yield _finding(
        "platform",
        f"{platform.system()} {platform.release()} {platform.machine()}",
        platform.system() == "Linux",
        "squeeze is tested on Linux; peak memory is measured there only",
    )
    yield _finding("cpu", host_name())
    yield _finding("cores", f"{usable_cores()} usable of {os.cpu_count()}")
    yield _memory()
    clusters = isa()
    yield _finding(
        "isa",
        ", ".join(clusters) or "none known",
        bool(clusters),
        "no vector instructions that our kernels know; see native library",
    )
    units = [unit for unit in BF16 if unit in flags()]
    yield _finding(
        "bf16",
        ", ".join(units) or "none",
        bool(units),
        "training runs in float32, two to three times slower",
    )
    for name in _REQUIRED:
        yield _package(name, f"pip install {name}", required=True)
    for name, use in _OPTIONAL.items():
        yield _package(name, use, required=False)
    yield _library()
    yield _compiler()
    yield _folder("cache", paths.cache_dir(), "SQUEEZE_CACHE")
    yield _folder("state", paths.state_dir(), "SQUEEZE_STATE")


def _finding(name: str, found: str, ok: bool = True, hint: str = "") -> Finding:
    return {"name": name, "found": found, "ok": ok, "hint": "" if ok else hint}


def _memory() -> Finding:
    found = memory_bytes()
    if found is None:
        return _finding("memory", "unknown", False, "this system has no /proc/meminfo")
    total, available = found.total, found.available
    limit = container_limit_bytes()
    if limit is not None and limit < total:
        total, available = limit, min(limit, available)
    return _finding(
        "memory",
        f"{available / 1e9:.1f} GB free of {total / 1e9:.1f} GB",
        available >= _ENOUGH_MEMORY_BYTES,
        "a compile wants about 2 GB; smaller batch sizes in the recipe need less",
    )


def _package(name: str, hint: str, *, required: bool) -> Finding:
    try:
        return _finding(name, version(name))
    except PackageNotFoundError:
        return {"name": name, "found": "not installed", "ok": not required, "hint": hint}


def _library() -> Finding:
    name = "native library"
    slower = "models run their ops as plain ONNX, slower; pip install . builds it (gcc and cmake)"
    library = ops.library_path()
    if library is None:
        return _finding(name, "not built, or not usable", False, slower)
    # In a process of its own: a library that is damaged in its middle can end the process that opens it.
    command = [sys.executable, "-I", "-c", _LOAD_LIBRARY, str(library)]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as e:
        return _finding(name, f"{library} cannot be tried: {e}", False, slower)
    if child.returncode != 0:
        why = (child.stderr.strip().splitlines() or [f"code {child.returncode}"])[-1]
        return _finding(name, f"{library} does not load: {why}", False, slower)
    if not isa() and not os.environ.get("SQUEEZE_ISA"):
        why = "registers no ops: this CPU could only run their portable kernels"
        bodies = "models run their ops as plain ONNX, which is faster here; SQUEEZE_ISA=portable registers them"
        return _finding(name, f"{library} {why}", False, bodies)
    return _finding(name, str(library))


def _compiler() -> Finding:
    tools = {name: shutil.which(name) for name in ("c++", "cmake")}
    return _finding(
        "compiler",
        ", ".join(path or f"no {name}" for name, path in tools.items()),
        all(tools.values()),
        "only needed to build the native library from source: apt-get install g++ cmake",
    )


def _folder(name: str, folder: Path, variable: str) -> Finding:
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    choose = f"choose another folder with ${variable}"
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        return _finding(name, f"{folder}: cannot be written", False, choose)
    free_bytes = shutil.disk_usage(existing).free
    return _finding(
        name,
        f"{folder}, {free_bytes / 1e9:.1f} GB free",
        free_bytes >= _ENOUGH_DISK_BYTES,
        f"a compile wants about 2 GB; {choose}",
    )
