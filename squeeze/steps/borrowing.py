"""The rung of nncf: our int8 form with the ranges and biases that nncf finds, where nncf is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze import graph
from squeeze.errors import ConfigError
from squeeze.quant.borrowed.build import quantize_borrowed
from squeeze.quant.borrowed.nncf import NncfFailed, borrow
from squeeze.steps.fault import told
from squeeze.steps.rung_work import finished
from squeeze.steps.samples import calibration_passes

if TYPE_CHECKING:
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Candidate
    from squeeze.run import At
    from squeeze.spec import QuantPart

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
    """Writes `rung.onnx`; without a `drop` in the result, and with the reason, where nncf fails. nncf: its version,
    which can change what it finds."""
    passes = calibration_passes(case, part, seed=seed, threads=threads)
    numerics = device.numerics
    try:
        found = quantize_borrowed(
            graph.load(base.file),
            passes,
            lambda plain: borrow(plain, passes, part.samples),
            activations=numerics.activations,
            part=part,
            progress=at.progress,
            reduce_range=numerics.safe_weights,
        )
        return finished(at, device, base, case, found.model, {}, "nncf", found.notes, threads)
    except NncfFailed as e:
        return {"summary": f"nncf {nncf} failed: {e}", "tried": [], "status": "skipped"}
    except ConfigError:
        raise  # of the data
    except Exception as e:  # there are other rungs
        why = told("int8 with the ranges of nncf failed", e, at.folder)
        (at.folder / "rung.onnx").unlink(missing_ok=True)
        return {"summary": f"failed: {why}", "tried": [], "status": "skipped"}
