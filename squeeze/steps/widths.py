"""How many bits each layer of a rung has: the same for all, as many as fit a size, or more for those that mind most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.errors import ConfigError
from squeeze.quant.bits.allocate import allocate

if TYPE_CHECKING:
    from squeeze.steps.rung import Bits, Rungs

LADDER = "ladder"
_ATTEMPTS = 4  # at bits that fit into a file


def uniform(rungs: Rungs, width: int) -> Bits:
    """All layers at `width`, the first and the last at what the recipe says."""
    rows, ends = rungs.rows(), rungs.recipe.quant.ends_bits
    if not rows:
        return {}
    bits = {r.name: width for r in rows[1:-1]}
    return bits | {r.name: ends for r in (rows[0], rows[-1]) if ends < 8}


def fitted(rungs: Rungs, max_bytes: int, beside_bytes: int) -> Bits:
    """Bits that fit into the file. What is not weights is measured, on a file with all layers at 2 bits."""
    wished = max_bytes
    max_bytes -= beside_bytes
    rows, least = rungs.rows(), uniform(rungs, 2)
    if not rows:
        return {}
    fixed = dict.fromkeys((rows[0].name, rows[-1].name), int(rungs.recipe.quant.ends_bits))
    built = rungs.bytes_of("2bit-probe", least)
    rest = built - sum(r.bytes[fixed.get(r.name, 2)] for r in rows)
    limit_ms = rungs.recipe.goal.max_latency_ms
    times = None if limit_ms is None else rungs.latencies()
    if times is not None and limit_ms is not None:
        limit_ms -= times.rest_ms
    bits = least
    for attempt in range(_ATTEMPTS):
        try:
            found = allocate(
                rows,
                max_bytes - rest,
                fixed=fixed,
                latency_ms=None if times is None else times.layers_ms,
                max_latency_ms=limit_ms,
            ).bits
        except ConfigError as e:
            why = out_of_reach(built + beside_bytes, rest + beside_bytes, wished, e)
            rungs.run.skip(LADDER, why)
            return least
        bits = {name: b for name, b in found.items() if b < 8}
        # Each number of bits that occurs brings code of its own into the file.
        excess = rungs.bytes_of(f"fitted-probe-{attempt}", bits) - max_bytes
        if excess <= 0:
            break
        rest += excess
    return bits


def out_of_reach(built: int, rest: int, wished: int, error: ConfigError) -> str:
    """What is said where no bits make a file of `wished` bytes. built: of the file with all layers at 2 bits; rest:
    what of it is no weight of a layer; error: of the layers in what that leaves, which may be less than nothing."""
    why = f"what is no weight of them takes {rest / 1000:g} KB" if rest >= wished else str(error)
    return f"all layers at 2 bits take {built / 1000:g} KB; {wished / 1000:g} KB is out of reach ({why})"


def more_bits(rungs: Rungs, bits: Bits) -> Bits | None:
    """Half of the way to more bits for all, which the layers that mind most get; None where that changes nothing."""
    rows = rungs.rows()
    wider = {name: b + 1 if b < 4 else 8 for name, b in bits.items()}
    now, then = (sum(r.bytes[b.get(r.name, 8)] for r in rows) for b in (bits, wider))
    if then <= now:
        return None
    fixed = {r.name: 8 for r in rows if r.name not in bits}
    found = allocate(rows, (now + then) // 2, fixed=fixed).bits
    mixed = {name: b for name, b in found.items() if b < 8}
    return None if mixed == bits else mixed
