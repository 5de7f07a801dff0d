"""The rung of accuracy control: int8 with the nodes in float that cost most, as few as the drop allows."""

from __future__ import annotations

import math
from functools import cache
from itertools import count as count_up
from typing import TYPE_CHECKING, Any

from squeeze import graph, quant
from squeeze.goal import Lost, holds
from squeeze.note import Note
from squeeze.quant.by_row import use_rows
from squeeze.quant.control import Freed, Trials, fewest, ranked
from squeeze.quant.ranges.grid import Grid
from squeeze.spec import Goal
from squeeze.steps.rung_work import finished
from squeeze.steps.samples import calibrate_lost, calibration_passes
from squeeze.steps.timing import FASTER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Candidate
    from squeeze.run import At
    from squeeze.spec import QuantPart

Json = dict[str, Any]  # Any: JSON

# What is chosen because it holds on some samples does a little worse on others.
MARGIN = 2 / 3


def control(
    at: At,
    *,
    device: Device,
    base: Candidate,
    case: Case,
    part: QuantPart,
    seed: int,
    threads: int,
    max_drop: float,
    max_class_drop: float | None = None,
    most_share: float = 1.0,
    store_float: bool = True,
) -> Json:
    """Writes `rung.onnx`, which loses at most `max_drop` points on the calibrate split, where there is such a limit at
    most `max_class_drop` points of recall in each class, and a margin less where that can be had, with at most
    `most_share` of the nodes in float; `float` names what was freed. store_float: as for
    `quant.quantize`.

    Products in float are tried with a scale for each row of their activations, which is known when they are there:
    where that holds too and is faster they are int8.

    Without a `drop` in the result when nothing int8 would be left, or too little of it for the file to be smaller or
    faster than the float one: then the plain int8 file is of more use, though it loses more.
    """
    model = graph.load(base.file)
    passes = calibration_passes(case, part, seed=seed, threads=threads)
    numerics = device.numerics
    trials = Trials(
        model,
        passes,
        part,
        activations=numerics.activations,
        reduce_range=numerics.safe_weights,
        store_float=store_float,
    )
    order = ranked(
        trials.nodes,
        trials.error,
        lambda done, total: at.progress.update(done, total, "nodes tried in float"),
    )
    trial = at.folder / "trial.onnx"

    # Doubles until enough are float, then halves the step.
    most_files, files = 2 * len(order).bit_length(), count_up(1)

    @cache
    def lost_with(count: int) -> Lost:
        done = min(next(files), most_files)
        at.progress.update(done, most_files, "files scored, each with other nodes in float")
        graph.save(trials.built([freed.output for freed in order[:count]]), trial)
        return calibrate_lost(case, trial, threads=threads)

    most = min(len(order) - 1, math.ceil(most_share * len(order)))
    limits = Goal(max_drop=max_drop, max_worst_class_drop=max_class_drop)
    count = _few_enough(most, lost_with, limits)
    trial.unlink(missing_ok=True)
    if count is None:
        return {"summary": f"not enough with {most} of {len(order)} nodes in float", "tried": []}
    freed = order[:count]
    names = {one.output for one in freed}
    repaired = quant.quantize(
        model,
        passes,
        activations=numerics.activations,
        part=part,
        progress=at.progress,
        reduce_range=numerics.safe_weights,
        float_outputs=names,
        store_float=store_float,
    )
    graph.save(repaired.model, trial)
    lost, before = calibrate_lost(case, trial, threads=threads), lost_with(count)
    better = lost.drop <= before.drop and holds(limits, lost)
    trial.unlink()
    made = repaired.model if better else trials.built(names)
    notes = [*(repaired.notes if better else ()), *map(_note, freed)]
    how = f"{count} of {len(order)} nodes in float"
    result = finished(at, device, base, case, made, {}, how, list(notes), threads)
    file = at.folder / "rung.onnx"
    grid = Grid.of("uint8", safe=numerics.safe_weights)
    rows = [] if device.integers_only else use_rows(by_row := made.clone(), names, grid)
    if rows:
        how_by_row = f"{count - len(rows)} of {len(order)} nodes in float, {len(rows)} by row"
        without = file.replace(at.folder / "float-rung.onnx")
        other = finished(at, device, base, case, by_row, {}, how_by_row, list(notes), threads)
        faster = other["ratio"] < FASTER * result["ratio"]
        if faster and holds(limits, Lost.of(other)):
            without.unlink()
            result, how = other, how_by_row
            freed = [one for one in freed if one.output not in rows]
        else:
            without.replace(file)
            why = f"{len(rows)} products by row: {other['drop']:+.2f} points lost"
            note = Note("by row", False, why, {"drop": other["drop"], "ratio": other["ratio"]})
            result["tried"].append(note.to_json())
    if not gains(result["ratio"], file, base.file):
        file.unlink()
        return {
            "summary": f"{how} would hold, and leave nothing smaller or faster than float",
            "tried": result["tried"],
        }
    float_nodes = [{"name": one.name, "why": _cost(one)} for one in freed]
    return {**result, "float": float_nodes, "share": count / len(order)}


def _few_enough(most: int, lost_with: Callable[[int], Lost], limits: Goal) -> int | None:
    """How many nodes in float, at most `most`, keep the drop: with the margin, else without; None where none do."""

    def inside(limits: Goal) -> int | None:
        return fewest(most, lambda count: holds(limits, lost_with(count)))

    of_class = limits.max_worst_class_drop
    strict = Goal(
        max_drop=MARGIN * limits.max_drop,
        max_worst_class_drop=None if of_class is None else MARGIN * of_class,
    )
    with_margin = inside(strict)
    return inside(limits) if with_margin is None else with_margin


def gains(ratio: float, file: Path, float_file: Path) -> bool:
    """Whether a file whose latency is `ratio` of that of the float file is faster, or smaller, than that."""
    return ratio < FASTER or file.stat().st_size < float_file.stat().st_size


def _note(freed: Freed) -> Note:
    return Note("accuracy control", True, f"{freed.name}: {_cost(freed)}", {"gain": freed.gain})


def _cost(freed: Freed) -> str:
    return f"in int8 it costs {100 * freed.gain:.2f} % of the outputs' deviation"
