"""Bits for each layer: the least summed loss that fits into a number of bytes, as an integer program.

    minimise    sum over layers l and bits b of loss[l, b] z[l, b]
    subject to  sum over b of z[l, b] = 1 for each l,  sum bytes[l, b] z[l, b] <= budget,  z in {0, 1}
    and also    sum latency_ms[l, b] z[l, b] <= max_latency_ms, where latencies are known

(Hubara et al. 2021, section 4.2.) Losses of layers are taken to add up, which holds roughly for squared errors of the
outputs and for divergences; a loss below that of more bits is noise and counts as equal to it. Of equally good answers
one with fewer bytes is preferred.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze.errors import ConfigError, unknown
from squeeze.knapsack import one_of_each
from squeeze.quant.bits.sensitivity import Sensitivity

Table = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class Allocation:
    """Bits of each layer by name, their bytes, the summed loss, and the summed latency (None when unknown)."""

    bits: dict[str, int]
    bytes: int
    loss: float
    latency_ms: float | None


def allocate(
    rows: Sequence[Sensitivity],
    max_bytes: int,
    *,
    fixed: Mapping[str, int] | None = None,
    latency_ms: Table | None = None,
    max_latency_ms: float | None = None,
) -> Allocation:
    """Bits for every row within `max_bytes` for all of their weights; losses count beyond those of int8 throughout.

    fixed: layers whose bits are decided
    latency_ms: name -> bits -> milliseconds; choices that are not in it are not taken

    Raises ConfigError when nothing fits, with the smallest that can be reached, and for layers or bits that the rows
    do not have.
    """
    choices = _choices(rows, dict(fixed or {}), latency_ms)
    sizes = np.array([c.bytes for c in choices], np.float64)
    losses = np.array([c.loss for c in choices])
    times = np.array([c.latency_ms for c in choices])
    one_each = np.array([[c.name == row.name for c in choices] for row in rows], np.float64)
    limits: list[tuple[str, NDArray[np.float64], float]] = [("bytes", sizes, max_bytes)]
    if latency_ms is not None and max_latency_ms is not None:
        limits.append(("ms", times, max_latency_ms))
    for unit, cost, limit in limits:
        least = _smallest(one_each, cost)
        if least > limit:
            raise ConfigError(
                f"bits of layers: nothing fits into {limit:g} {unit}; the smallest that can be "
                f"reached is {least:g} {unit}"
            )
    taken = one_of_each(losses, sizes, one_each, [(cost, limit) for _, cost, limit in limits])
    if taken is None:
        raise ConfigError(
            "bits of layers: no choice fits into "
            + " and ".join(f"{limit:g} {unit}" for unit, _, limit in limits)
            + " together; allow more of one of them"
        )
    chosen = [c for c, used in zip(choices, taken, strict=True) if used]
    return Allocation(
        bits={c.name: c.bits for c in chosen},
        bytes=sum(c.bytes for c in chosen),
        loss=sum(c.loss for c in chosen),
        latency_ms=None if latency_ms is None else sum(c.latency_ms for c in chosen),
    )


@dataclass(frozen=True)
class _Choice:
    name: str
    bits: int
    bytes: int
    loss: float
    latency_ms: float


def _choices(
    rows: Sequence[Sensitivity], fixed: dict[str, int], latency_ms: Table | None
) -> list[_Choice]:
    names = [row.name for row in rows]
    for name in fixed:
        if name not in names:
            raise ConfigError(unknown("fixed bits of layers", name, names))
    found = []
    for row in rows:
        known = sorted(row.bytes, reverse=True)
        wanted = [fixed[row.name]] if row.name in fixed else known
        times = None if latency_ms is None else latency_ms.get(row.name, {})
        allowed = [b for b in wanted if b in known and (times is None or b in times)]
        if not allowed:
            raise ConfigError(
                f"bits of the layer '{row.name}': {', '.join(map(str, wanted))} wanted, "
                f"{', '.join(map(str, known))} were measured"
                + ("" if times is None else f", latency for {', '.join(map(str, times)) or 'none'}")
            )
        losses = _losses(row)
        found += [
            _Choice(row.name, b, row.bytes[b], losses[b], 0.0 if times is None else times[b])
            for b in allowed
        ]
    return found


def _losses(row: Sensitivity) -> dict[int, float]:
    """What the layer adds to the loss of the most bits; never less than with more bits."""
    found: dict[int, float] = {}
    most, largest = max(row.loss), 0.0
    for bits in sorted(row.loss, reverse=True):
        largest = max(largest, row.loss[bits] - row.loss[most])
        found[bits] = largest
    return found


def _smallest(one_each: NDArray[np.float64], cost: NDArray[np.float64]) -> float:
    return float(sum(cost[row > 0].min() for row in one_each))
