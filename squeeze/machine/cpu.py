"""Which processor this is: its clusters of instruction sets, and a description without the machine's name.

A cluster is what a kernel needs as a whole. Clusters build on each other; a CPU with an odd subset counts as
the cluster below. Names are the same in file names of kernels, logs and results.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_BOARD = Path("/proc/device-tree/model")

_X86 = (
    ("x86_avx2", {"avx2", "fma"}),
    ("x86_avx512vnni", {"avx512f", "avx512bw", "avx512vl", "avx512_vnni"}),
    ("x86_amx", {"amx_tile", "amx_int8"}),
)
_ARM64 = (
    ("arm64_neon", {"asimd"}),
    ("arm64_dotprod", {"asimddp"}),
    ("arm64_i8mm", {"i8mm"}),
)
# The words of `flags` that say of matrix products in bfloat16.
BF16 = ("amx_bf16", "avx512_bf16", "bf16")
_ARM_PARTS = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd0d": "Cortex-A77",
    "0xd40": "Neoverse-V1",
    "0xd41": "Cortex-A78",
    "0xd44": "Cortex-X1",
    "0xd46": "Cortex-A510",
    "0xd47": "Cortex-A710",
    "0xd48": "Cortex-X2",
    "0xd49": "Neoverse-N2",
    "0xd4f": "Neoverse-V2",
}


def isa(cpuinfo: str | None = None) -> tuple[str, ...]:
    """The clusters of this CPU (or of the text of another one's /proc/cpuinfo), lowest first."""
    text = _read(_CPUINFO) if cpuinfo is None else cpuinfo
    has = flags(text)
    if not has and cpuinfo is None and platform.machine().lower() in ("arm64", "aarch64"):
        return ("arm64_neon",)
    for ladder in (_X86, _ARM64):
        found = []
        for name, needs in ladder:
            if not needs <= has:
                break
            found.append(name)
        if found:
            return tuple(found)
    return ()


def flags(cpuinfo: str | None = None) -> frozenset[str]:
    """The instruction-set words that every core has; empty where there is no /proc/cpuinfo."""
    text = _read(_CPUINFO) if cpuinfo is None else cpuinfo
    cores = [set(v.split()) for k, v in _entries(text) if k in ("flags", "Features")]
    return frozenset(set.intersection(*cores)) if cores else frozenset()


def host_name(cpuinfo: str | None = None) -> str:
    """The CPU's model and its number of cores, such as "Intel(R) Xeon(R) Processor, 2 cores"."""
    text = _read(_CPUINFO) if cpuinfo is None else cpuinfo
    entries = _entries(text)
    models = [v for k, v in entries if k == "model name" and v]
    parts = [_ARM_PARTS.get(v, f"Arm part {v}") for k, v in entries if k == "CPU part"]
    listed = sum(k == "processor" for k, _ in entries)
    cores = listed if cpuinfo is not None else (os.cpu_count() or listed)
    model = models[0] if models else " + ".join(dict.fromkeys(parts))
    board = _read(_BOARD).strip("\0\n ") if cpuinfo is None else ""
    words = [w for w in (board, model or platform.machine()) if w]
    return f"{', '.join(words)}, {cores} core{'' if cores == 1 else 's'}"


def usable_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _entries(text: str) -> list[tuple[str, str]]:
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return [(key.strip(), value.strip()) for key, _, value in pairs]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
