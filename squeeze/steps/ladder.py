"""The ladder: from post-training int8 up to trained int8, and down to 4, 3 and 2 bits while the drop budget lasts.

    int8 (from `deploy`)  ->  AdaRound  ->  quantised distillation              when int8 loses too much
    4, 3, 2 bits, or bits for each layer that fit a size:
        AdaRound  ->  quantised distillation  ->  sensitive layers at more bits  each when the one before loses too much

Every rung is a file that ONNX Runtime runs. Inside the ladder rungs are compared on the calibrate split; all of them go
to the judge, who alone sees the evaluation split, and the best one wins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze.errors import ConfigError
from squeeze.quant.bits.allocate import allocate
from squeeze.steps.rung import Bits, Rungs

if TYPE_CHECKING:
    from squeeze.calib import Calib
    from squeeze.run import Run
    from squeeze.spec import Recipe, Target
    from squeeze.steps.deploy import Deployed
    from squeeze.steps.judge import Judged
    from squeeze.teacher import Teacher

Json = dict[str, Any]  # Any: JSON

WIDTHS = (4, 3, 2)
ATTEMPTS = 4  # at bits that fit into a file
SYNTHETIC = "synthetic"  # where a calibration set without data comes from


@dataclass(frozen=True)
class Ladder:
    """The rungs that were built: name -> file, and the points it lost on the calibrate split; what each layer minds."""

    models: dict[str, Path] = field(default_factory=dict)
    drops: dict[str, float] = field(default_factory=dict)
    sensitivity: list[Json] = field(default_factory=list)


def wanted(recipe: Recipe, target: Target, judged: Judged, name: str) -> str | None:
    """None when there is a reason to climb, else why int8 is enough."""
    if not recipe.quant.enabled:
        return "the recipe switches quantisation off"
    goal, int8 = recipe.goal, f"{name}-int8"
    if recipe.quant.bits < 8 or (goal.objective == "smallest" and target.custom_ops):
        return None
    if int8 not in judged.drops:
        return "int8 does not make this model faster; fewer bits would not either"
    if judged.drops[int8] > goal.max_drop:
        return None
    if goal.max_bytes is not None and judged.measurements[int8].file_bytes > goal.max_bytes:
        return None if target.custom_ops else "the target takes no op that packs fewer bits"
    return "int8 is inside the goal"


def ladder(
    run: Run,
    recipe: Recipe,
    teacher: Teacher,
    calib: Calib,
    name: str,
    base: Deployed,
    metric: str,
) -> Ladder:
    """Climbs; `base` is the float model that is quantised, `name` the first word of the names of its files."""
    rungs = Rungs(run, recipe, teacher, calib, name, base, metric)
    goal, asked = recipe.goal, recipe.quant.bits
    if asked == 8 and rungs.int8_drop() > goal.max_drop:
        _climb(rungs, "int8", {})
    if asked < 8:
        _climb(rungs, f"{asked}bit", _uniform(rungs, asked))
    elif goal.max_bytes is not None:
        _climb(rungs, "fitted", _fitted(rungs, goal.max_bytes), narrowest=True)
    elif goal.objective == "smallest":
        for width in WIDTHS:
            if not _climb(rungs, f"{width}bit", _uniform(rungs, width)):
                break  # fewer bits would lose more
    return Ladder(rungs.models, rungs.drops, rungs.sensitivity)


def _climb(rungs: Rungs, label: str, bits: Bits, *, narrowest: bool = False) -> bool:
    """Builds rungs of these bits until one is inside the drop; whether one is. narrowest: no bytes are left."""
    if not bits and label != "int8":
        rungs.run.skip("ladder", "no layer between the first and the last can have fewer bits")
        return False
    limit, part = rungs.recipe.goal.max_drop, rungs.recipe.quant
    # The plain int8 file is a candidate of its own.
    rounded = label if bits else f"{label}-adaround"
    if rungs.build(rounded, bits, trained=False) <= limit:
        return True
    if rungs.calib.source == SYNTHETIC:
        rungs.run.skip(f"{label}-trained", "no data was given; nothing is trained on made inputs")
        return False
    if part.method == "post-training" or part.steps == 0:
        return False
    if rungs.build(f"{label}-trained", bits, trained=True) <= limit:
        return True
    more = None if narrowest or not bits else _more_bits(rungs, bits)
    return more is not None and rungs.build(f"{label}-mixed-trained", more, trained=True) <= limit


def _uniform(rungs: Rungs, width: int) -> Bits:
    """All layers at `width`, the first and the last at what the recipe says."""
    rows, ends = rungs.rows(), rungs.recipe.quant.ends_bits
    bits = {r.name: width for r in rows[1:-1]}
    return bits | {r.name: ends for r in (rows[0], rows[-1]) if ends < 8}


def _fitted(rungs: Rungs, max_bytes: int) -> Bits:
    """Bits that fit into the file. What is not weights is measured, on a file with all layers at 2 bits."""
    rows, least = rungs.rows(), _uniform(rungs, 2)
    fixed = dict.fromkeys((rows[0].name, rows[-1].name), int(rungs.recipe.quant.ends_bits))
    built = rungs.bytes_of("2bit-probe", least)
    rest = built - sum(r.bytes[fixed.get(r.name, 2)] for r in rows)
    limit_ms = rungs.recipe.goal.max_latency_ms
    times = None if limit_ms is None else rungs.latencies()
    if times is not None and limit_ms is not None:
        limit_ms -= times.rest_ms
    bits = least
    for attempt in range(ATTEMPTS):
        try:
            found = allocate(
                rows,
                max_bytes - rest,
                fixed=fixed,
                latency_ms=None if times is None else times.layers_ms,
                max_latency_ms=limit_ms,
            ).bits
        except ConfigError as e:
            rungs.run.skip(
                "ladder",
                f"all layers at 2 bits take {built / 1000:g} KB; {max_bytes / 1000:g} KB is out of reach ({e})",
            )
            return least
        bits = {name: b for name, b in found.items() if b < 8}
        # Each number of bits that occurs brings code of its own into the file.
        excess = rungs.bytes_of(f"fitted-probe-{attempt}", bits) - max_bytes
        if excess <= 0:
            break
        rest += excess
    return bits


def _more_bits(rungs: Rungs, bits: Bits) -> Bits | None:
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
