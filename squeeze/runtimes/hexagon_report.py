"""What the Hexagon compiler says of a graph on stderr: VTCM that it was given, bytes to and from DRAM.

The format is documented nowhere, so a number that is not found, or not as often as the others, is None. Bytes that
spill out of the VTCM and come back are among those written and read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_VTCM = re.compile(r"VTCM: total_sz=(\d+)")
_FIELDS = {
    "dram_read_bytes": re.compile(r"\bread_total_bytes=(\d+)"),
    "dram_write_bytes": re.compile(r"\bwrite_total_bytes=(\d+)"),
    "spill_bytes": re.compile(r"\bspill_bytes=(\d+)"),
    "fill_bytes": re.compile(r"\bfill_bytes=(\d+)"),
}
_AGAINST = re.compile(r'"([^"\n]+)" generated: ([^\n]+)')


@dataclass(frozen=True)
class Report:
    """Of all graphs of one model; None is what the log does not say."""

    vtcm_bytes: int | None = None
    dram_read_bytes: int | None = None
    dram_write_bytes: int | None = None
    spill_bytes: int | None = None
    fill_bytes: int | None = None


def report_of(log: str) -> Report:
    """Sums over the graphs that were finalised; the largest VTCM."""
    vtcm = [int(n) for n in _VTCM.findall(log)]
    found = {name: [int(n) for n in field.findall(log)] for name, field in _FIELDS.items()}
    graphs = max(map(len, found.values()))
    sums = {
        name: sum(numbers) if numbers and len(numbers) == graphs else None
        for name, numbers in found.items()
    }
    return Report(max(vtcm, default=None), **sums)


def blamed(log: str) -> tuple[str, str] | None:
    """The node that the compiler could not finalise, and what it says of it."""
    found = _AGAINST.search(log)
    return None if found is None else (found[1], found[2].strip())
