"""What the system says of this machine that a target file wants to know; each with where it was read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from squeeze.machine.cpu import isa, usable_cores
from squeeze.machine.memory import container_limit_bytes, memory_bytes

_CPUINFO = Path("/proc/cpuinfo")
_CLOCK = Path("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")


@dataclass(frozen=True)
class Fact:
    """A number, and where it is from in words."""

    value: float
    source: str


@dataclass(frozen=True)
class Probe:
    """features: the words of the clusters of instruction sets without the architecture's, lowest first."""

    features: tuple[str, ...]
    cores: int
    clock_hz: Fact | None
    ram_bytes: Fact | None


def probe() -> Probe:
    """What can be read in a moment; None for what the system does not say."""
    return Probe(features(), usable_cores(), _clock(), _ram())


def features(clusters: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """('x86_avx2', 'x86_amx') -> ('avx2', 'amx'); of this machine where no clusters are given."""
    found = isa() if clusters is None else clusters
    return tuple(name.split("_", 1)[1] for name in found)


def _clock() -> Fact | None:
    try:
        return Fact(1e3 * int(_CLOCK.read_text(encoding="ascii")), f"cpuinfo_max_freq of {_CLOCK}")
    except (OSError, ValueError):
        pass
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
        found = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    except (OSError, ValueError):
        return None
    return Fact(1e6 * max(found), f"'cpu MHz' of {_CPUINFO}, the highest") if found else None


def _ram() -> Fact | None:
    total = memory_bytes()
    if total is None:
        return None
    limit = container_limit_bytes()
    if limit is not None and limit < total.total:
        return Fact(limit, "limit of the control group that squeeze runs in")
    return Fact(total.total, "MemTotal of /proc/meminfo")
