"""Operators that a device has in no numbers: told before anything is quantised, where no other network could do."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

from squeeze import graph
from squeeze.errors import UnsupportedError
from squeeze.measure.fixed_sizes import as_sized
from squeeze.runtimes.inference import one_run
from squeeze.steps.searching import SYNTHETIC

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.runtimes.runtime import LooksFirst, Refusal
    from squeeze.spec import Recipe


def refuse_lacking(case: Case, device: Device, recipe: Recipe) -> None:
    """Raises UnsupportedError naming the first node of the teacher whose operator the device has not; one that passes
    write otherwise is not refused, nor is any where `recipe` could make another network."""
    runtime = device.runtime
    others = case.data.source != SYNTHETIC and (recipe.search.evaluations or recipe.prune.ratio)
    if runtime is None or not runtime.abilities.looks_first or others:
        return
    sample = case.data.feed(case.data.calibrate, 0, 1)
    with tempfile.TemporaryDirectory(prefix="squeeze-") as scratch:
        folder = Path(scratch)

        def lacks(file: Path) -> list[Refusal]:
            sized = as_sized(
                runtime, file, one_run(sample, case.interface), folder / f"sized-{file.name}"
            )
            return cast("LooksFirst", runtime).lacks(sized)

        if not (as_given := lacks(case.net.file)):
            return
        model = graph.load(case.net.file)
        graph.optimise(model, sample, case.interface)
        graph.save(model, folder / "optimised.onnx")
        if lacks(folder / "optimised.onnx"):
            raise UnsupportedError(
                f"target '{device.name}': {case.teacher.source} does not run there: {as_given[0]}"
            )
