"""What files and candidates cost on a device with a runtime of its own: timed there, or by what its compiler counts.

A device that runs integers alone is asked about the int8 form of a float file, with rough ranges: what a network costs
there does not hang on its values, and teacher, students and pruned networks are compared before any of them is trained.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from squeeze.account.sizes import is_float
from squeeze.errors import UnsupportedError
from squeeze.front import TEACHER, Timed
from squeeze.goal import Lost, checks
from squeeze.measure import Comparison
from squeeze.measure.fixed_sizes import as_sized
from squeeze.measure.on_runtime import MEMORY, build_on, compare_costs, costs_on, figure_of
from squeeze.quant.rough import rough_int8
from squeeze.runtimes.inference import one_run
from squeeze.steps.patience import DECIDING_SECONDS, REPORTED_SECONDS, RUNS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squeeze.device import Device
    from squeeze.feed import Feed
    from squeeze.front import Candidate
    from squeeze.interface import Interface
    from squeeze.measure import Latency
    from squeeze.runtimes.runtime import Built, Cost
    from squeeze.spec import Goal


def costs_there(
    device: Device,
    files: Mapping[str, Path],
    sample: Feed,
    interface: Interface,
    *,
    max_seconds: float = DECIDING_SECONDS,
) -> tuple[dict[str, Cost], dict[str, Latency], dict[str, str]]:
    """By name: costs, latencies where they took turns, and why a file does not run there.

    Raises MeasureError when one of them fails.
    """
    runtime = device.runtime
    assert runtime is not None  # else ONNX Runtime times them, see `squeeze.steps.timing`
    refused: dict[str, str] = {}
    built: dict[str, Built] = {}
    inputs = one_run(sample, interface)
    with tempfile.TemporaryDirectory(prefix="squeeze-") as scratch:
        for i, (name, file) in enumerate(files.items()):
            folder = Path(scratch) / str(i)
            folder.mkdir()
            form = as_taken(device, file, sample, interface, folder / "taken.onnx")
            form = as_sized(runtime, form, inputs, folder / "sized.onnx")
            if refusals := runtime.refuses(form):
                refused[name] = str(refusals[0])
                continue
            try:
                built[name] = build_on(runtime, form, folder)
            except UnsupportedError as e:
                refused[name] = str(e)
        costs, taken = costs_on(
            runtime,
            built,
            inputs,
            threads=device.threads,
            runs=RUNS,
            max_seconds=max_seconds,
        )
    return costs, taken, refused


def compared_there(
    device: Device,
    model: Path,
    against: Path,
    sample: Feed,
    interface: Interface,
) -> Comparison:
    """`model` as a share of `against`; of memory see `memory_compared`.

    Raises UnsupportedError, naming the node, for a file that does not run there.
    """
    files = {"model": model, "against": against}
    costs, taken, refused = costs_there(device, files, sample, interface)
    for name, why in refused.items():
        raise UnsupportedError(
            f"target '{device.name}': {files[name].name} does not run there: {why}"
        )
    if figure_of(costs["model"]).what == figure_of(costs["against"]).what == MEMORY:
        return memory_compared(costs["model"], costs["against"])
    return compare_costs(costs, taken, "model", "against")


def memory_compared(model: Cost, against: Cost) -> Comparison:
    """Where the device tells memory alone: RAM or flash, whichever fell most where neither grew, else the one that grew
    most. Most layers are not at the peak of RAM."""
    taken = {"RAM": (model.ram_bytes, against.ram_bytes)}
    taken["flash"] = (model.flash_bytes, against.flash_bytes)
    shares = {what: one / other for what, (one, other) in taken.items() if one and other}
    grown, fallen = max(shares, key=shares.__getitem__), min(shares, key=shares.__getitem__)
    what = grown if shares[grown] > 1 else fallen
    ratio, (one, other) = shares[what], taken[what]
    return Comparison(
        ratio, ratio, ratio, float(one or 0), float(other or 0), 1, True, what, model.source
    )


def time_there(
    device: Device,
    candidates: tuple[Candidate, ...],
    sample: Feed,
    interface: Interface,
) -> dict[str, Timed]:
    """What each candidate costs on the device, the teacher among them; a float file on a device of integers, and one
    that its runtime refuses, with the reason.

    Raises UnsupportedError where the device takes neither the teacher nor any other candidate.
    """
    costs, taken, refused = costs_there(
        device,
        {c.name: c.file for c in candidates},
        sample,
        interface,
        max_seconds=REPORTED_SECONDS,
    )
    if not costs:
        name, why = next(iter(refused.items()))
        raise UnsupportedError(f"target '{device.name}': '{name}' does not run there: {why}")
    baseline = TEACHER if TEACHER in costs else next(iter(costs))
    found = {}
    for candidate in candidates:
        name = candidate.name
        if name in refused:
            found[name] = _refused(refused[name])
            continue
        why = ""
        if device.integers_only and is_float(candidate.file):
            why = f"{device.name} runs integers alone; its numbers are those of its int8 form"
        found[name] = _timed(costs, taken, name, baseline, why)
    return found


def share_there(
    device: Device,
    model: Path,
    against: Path,
    sample: Feed,
    interface: Interface,
    goal: Goal,
) -> float:
    """What a network costs there as a share of another one's; infinite where the device does not take it, or where it
    is beyond the goal's RAM or flash. Both are float files, and stand for their int8 form on a device of integers."""
    costs, taken, refused = costs_there(
        device,
        {"model": model, "against": against},
        sample,
        interface,
    )
    if "model" in refused:
        return math.inf
    reached = _timed(costs, taken, "model", "model", "").reached(Lost(0.0, 0.0), 0, 8)
    if any(not c.ok for c in checks(goal, reached) if c.what in ("ram_bytes", "flash_bytes")):
        return math.inf
    if "against" in refused:  # the teacher is out of reach there, so that anything is a gain
        return 0.0
    return compare_costs(costs, taken, "model", "against").ratio


def latency_there(device: Device, file: Path, sample: Feed, interface: Interface) -> float | None:
    """Milliseconds of one sample; None where the device gives no time, or does not take the file."""
    costs, _taken, _refused = costs_there(
        device,
        {"model": file},
        sample,
        interface,
    )
    return costs["model"].latency_ms if costs else None


def _timed(
    costs: Mapping[str, Cost], taken: Mapping[str, Latency], name: str, baseline: str, why: str
) -> Timed:
    cost, figure = costs[name], figure_of(costs[name])
    ratio = compare_costs(costs, taken, baseline, name)
    latency = taken.get(name)
    return Timed(
        p50_ms=cost.latency_ms,
        p90_ms=cost.latency_ms if latency is None else latency.p90_ms,
        p99_ms=cost.latency_ms if latency is None else latency.p99_ms,
        runs=0 if latency is None else latency.runs,
        ratio=ratio.ratio,
        ratio_p10=ratio.ratio_p10,
        ratio_p90=ratio.ratio_p90,
        steady=ratio.steady,
        source=cost.source,
        what=figure.what,
        work=None if figure.unit == "ms" else figure.value,
        cost=asdict(cost),
        refused=why,
    )


def _refused(why: str) -> Timed:
    """Of a file that the device's runtime does not take: nothing is known of it there."""
    return Timed(None, None, None, 0, 0.0, 0.0, 0.0, steady=True, refused=why)


def as_taken(device: Device, file: Path, sample: Feed, interface: Interface, path: Path) -> Path:
    """The file that stands for `file` on the device: itself, or, written as `path`, its rough int8 form."""
    if not device.integers_only or not is_float(file):
        return file
    return rough_int8(file, sample, interface, path, activations=device.numerics.activations)
