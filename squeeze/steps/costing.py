"""What files cost on a device with a runtime of its own: timed there, or by what its compiler counts.

A device that runs integers alone is asked about the int8 form of a float file, with rough ranges: what a network costs
there does not hang on its values, and teacher, students and pruned networks are compared before any of them is trained.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from squeeze.account.sizes import is_float
from squeeze.errors import UnsupportedError
from squeeze.measure.fixed_sizes import as_sized
from squeeze.measure.on_runtime import build_on, compare_costs, costs_on
from squeeze.quant.rough import rough_int8
from squeeze.runtimes.inference import one_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squeeze.device import Device
    from squeeze.feed import Feed
    from squeeze.interface import Interface
    from squeeze.measure import Comparison, Latency
    from squeeze.runtimes.runtime import Built, Cost, Runtime


def costs_there(
    device: Device,
    runtime: Runtime,
    files: Mapping[str, Path],
    sample: Feed,
    interface: Interface,
    *,
    runs: int,
    max_seconds: float,
) -> tuple[dict[str, Cost], dict[str, Latency], dict[str, str]]:
    """By name: costs, latencies where they took turns, and why a file does not run there.

    Raises MeasureError when one of them fails.
    """
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
            runs=runs,
            max_seconds=max_seconds,
        )
    return costs, taken, refused


def compared_there(
    device: Device,
    runtime: Runtime,
    model: Path,
    against: Path,
    sample: Feed,
    interface: Interface,
    *,
    runs: int,
    max_seconds: float,
) -> Comparison:
    """`model` as a share of `against`. Raises UnsupportedError, naming the node, for a file that does not run there."""
    files = {"model": model, "against": against}
    costs, taken, refused = costs_there(
        device, runtime, files, sample, interface, runs=runs, max_seconds=max_seconds
    )
    for name, why in refused.items():
        raise UnsupportedError(
            f"target '{device.name}': {files[name].name} does not run there: {why}"
        )
    return compare_costs(costs, taken, "model", "against")


def as_taken(device: Device, file: Path, sample: Feed, interface: Interface, path: Path) -> Path:
    """The file that stands for `file` on the device: itself, or, written as `path`, its rough int8 form."""
    if not device.integers_only or not is_float(file):
        return file
    return rough_int8(file, sample, interface, path, activations=device.numerics.activations)
