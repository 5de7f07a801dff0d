"""The rung of nncf: our int8 form with the ranges and biases that nncf finds, where nncf is installed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from squeeze import graph
from squeeze.quant.borrowed.build import quantize_borrowed
from squeeze.quant.borrowed.nncf import NncfFailed, borrow
from squeeze.quant.ranges.grid import Grid
from squeeze.steps.rung_work import finished
from squeeze.steps.samples import calibration_passes

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Candidate
    from squeeze.run import At
    from squeeze.spec import QuantPart

logger = logging.getLogger(__name__)

Json = dict[str, Any]  # Any: JSON


def borrow_int8(
    at: At,
    *,
    device: Device,
    base: Candidate,
    case: Case,
    part: QuantPart,
    seed: int,
    threads: int,
    nncf: str,
) -> Json:
    """Writes `rung.onnx`; without a `drop` in the result where nncf fails. nncf: its version, which can change what it
    finds."""
    passes = calibration_passes(case, part, seed=seed, threads=threads)
    numerics = device.numerics
    try:
        found = quantize_borrowed(
            graph.load(base.file),
            passes,
            part,
            Grid.of(numerics.activations, safe=numerics.safe_weights),
            lambda plain: borrow(plain, passes, part.samples, at.folder),
        )
    except NncfFailed as e:
        why = f"nncf {nncf} failed: {e}".replace(f"{at.folder}/", "")
        return {"summary": why, "tried": [], "status": "skipped"}
    return finished(at, device, base, case, found.model, {}, "nncf", list(found.notes), threads)
