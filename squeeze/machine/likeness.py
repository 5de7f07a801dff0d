"""Whether this machine is of the kind that a target file describes, so that what is timed here is true of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.machine.facts import architecture
from squeeze.machine.probe import features

if TYPE_CHECKING:
    from squeeze.target import Cpu


def unlike(cpu: Cpu) -> str | None:
    """What this machine's processor has too little or too much; None where times are those of such a processor.

    A target without features is any processor of its architecture.
    """
    arch = architecture()
    if cpu.arch == "host":
        return None
    if cpu.arch != arch:
        return f"its processor is {cpu.arch}, this machine's {arch}"
    return unlike_features(cpu.features, features())


def unlike_features(wanted: tuple[str, ...], has: tuple[str, ...]) -> str | None:
    """As `unlike`, of one architecture; wanted, has: words of target files, such as 'avx2'."""
    if lacking := [name for name in wanted if name not in has]:
        return f"this machine's processor has no {', '.join(lacking)}"
    more = [name for name in has if name not in wanted] if wanted else []
    return f"this machine's processor has {', '.join(more)} too, and is faster" if more else None
