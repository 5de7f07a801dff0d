"""What this machine can do at most, measured by the program squeeze_peaks, and a kernel's share of that."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import MissingPeer

PROGRAM = Path(__file__).resolve().parent.parent / "build" / "squeeze_peaks"


@dataclass(frozen=True)
class Peaks:
    """`gmacs[isa, "int8" or "float"]` and bytes per nanosecond of a copy in the second-level cache."""

    threads: int
    gmacs: dict[tuple[str, str], float]
    copy_gbs: float

    def share(self, us: float, macs: int, moved_bytes: int, isa: str, kind: str = "int8") -> float:
        """The time that arithmetic or memory need at least, whichever is longer, divided by `us`."""
        arithmetic_ns = macs / self.gmacs[isa, kind]
        memory_ns = moved_bytes / self.copy_gbs
        return max(arithmetic_ns, memory_ns) / 1e3 / us


def measured(threads: int) -> tuple[Peaks, dict[str, object]]:
    """The peaks of `threads` threads at once, and what the program wrote. Raises MissingPeer when it is not built."""
    if not PROGRAM.is_file():
        raise MissingPeer(
            f"{PROGRAM} is not there: cmake -S . -B build -DCMAKE_BUILD_TYPE=Release && cmake --build build"
        )
    done = subprocess.run([PROGRAM, str(threads)], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    gmacs = {(row["isa"], row["type"]): float(row["gmacs"]) for row in found["gmacs"]}
    return Peaks(threads, gmacs, float(found["copy_gbs"]["l2"])), found
