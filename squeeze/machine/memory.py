"""The main memory of this machine, and what of it this process may have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


@dataclass(frozen=True)
class MemoryBytes:
    """total: all there is; available: without swapping."""

    total: int
    available: int


def memory_bytes() -> MemoryBytes | None:
    """Of the machine; None where the system does not say."""
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kilobytes = {words[0].rstrip(":"): int(words[1]) for words in map(str.split, lines)}
    total = kilobytes["MemTotal"]
    return MemoryBytes(1024 * total, 1024 * kilobytes.get("MemAvailable", total))


def container_limit_bytes() -> int | None:
    """What the control group allows; None where it does not limit."""
    texts = [file.read_text(encoding="ascii").strip() for file in _LIMITS if file.is_file()]
    return min((int(text) for text in texts if text.isdigit()), default=None)
