"""How long a model takes at best on a device that is out of reach: the roofline of what its target file says.

An operation takes the longer of two: its multiplications at the device's peak for their type, and the bytes that it
reads and writes, weights included, at its bandwidth (Williams, Waterman, Patterson: Roofline, 2009). Before it comes
what it takes to start one, where that is known. Operations follow one after the other. Nothing is known of caches or of
how well a kernel uses the units: it is an estimate, and a lower bound where the peaks are those of a data sheet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from squeeze.account.operations import Operation, Operations
    from squeeze.target import Peak


Bound = Literal["arithmetic", "memory", "starting"]


@dataclass(frozen=True)
class Part:
    """One operation in all of its runs. bytes: that it moves; seconds: that it takes; bound: what takes most of it."""

    name: str
    op: str
    macs: int
    bytes: int
    seconds: float
    bound: Bound


@dataclass(frozen=True)
class Roofline:
    """Of one sample: seconds, and the operations that they are of, in order, with the seconds of a sample each."""

    seconds: float
    parts: tuple[Part, ...]

    def share(self, bound: Bound) -> float:
        """Of the time, 0 to 1: what goes to operations that this limits."""
        spent = sum(part.seconds for part in self.parts if part.bound == bound)
        return spent / self.seconds if self.seconds else 0.0


def roofline(found: Operations, peak: Peak) -> Roofline:
    """By `peak`. A model of several branches takes its slowest one; a body counts as often as it runs.

    What `peak` does not say limits nothing; `unlimited` tells which operations that would be wrong for.
    """
    parts = tuple(_parts(found, peak, max(found.batch, 1), 1))
    return Roofline(sum(part.seconds for part in parts), parts)


def unlimited(found: Operations, peak: Peak) -> list[Operation]:
    """The operations that multiply numbers of a type of which `peak` does not say how fast they are."""
    missing = [
        one for one in found.operations if one.macs and _macs_per_s(one.integer, peak) is None
    ]
    inner = [body for one in found.operations for body in one.bodies]
    return missing + [one for body in inner for one in unlimited(body, peak)]


def _parts(found: Operations, peak: Peak, batch: int, runs: int) -> list[Part]:
    """runs: of all of them in one run of the model."""
    parts: list[Part] = []
    for one in found.operations:
        parts.append(_part(one, found.value_bytes, peak, batch, runs))
        within = runs * one.runs
        inside: Sequence[list[Part]] = [_parts(body, peak, batch, within) for body in one.bodies]
        parts += max(inside, key=lambda body: sum(p.seconds for p in body), default=[])
    return parts


def _part(
    one: Operation, value_bytes: Mapping[str, int], peak: Peak, batch: int, runs: int
) -> Part:
    macs = (one.macs or 0) * runs // batch
    values = () if one.view or one.bodies else (*one.reads, *one.writes)
    moved = sum(value_bytes.get(name, 0) for name in values) * runs // batch
    if not one.view:
        moved += one.weight_bytes * runs
    rate = _macs_per_s(one.integer, peak)
    arithmetic = macs / rate if rate is not None else 0.0
    bandwidth = peak.memory_bytes_per_s
    memory = moved / bandwidth if bandwidth is not None else 0.0
    # Each run of a body is begun by the operation that it is of.
    begun = runs * (one.runs if one.bodies else 1)
    start = begun * (peak.operator_start_s or 0.0) / batch
    work = max(arithmetic, memory)
    bound: Bound = "arithmetic" if arithmetic >= memory else "memory"
    return Part(one.name, one.op, macs, moved, start + work, "starting" if start > work else bound)


def _macs_per_s(integer: bool, peak: Peak) -> float | None:
    """Integers are at least as fast as floats where nothing is said of them."""
    if integer and peak.int8_macs_per_s is not None:
        return peak.int8_macs_per_s
    return peak.float_macs_per_s
