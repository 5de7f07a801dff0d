"""What the manifest says beyond accuracy and speed: other CPUs, and where the bytes of the file are."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from squeeze import measure
from squeeze.account.sizes import account, float_weights
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.old_x86 import kinds

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Candidate
    from squeeze.run import At, Run

Json = dict[str, Any]  # Any: JSON


def other_cpus(run: Run, case: Case, device: Device, candidate: Candidate) -> Json | None:
    """The metric on CPUs that multiply 8-bit integers otherwise, a step; None for a float file."""
    if is_float(candidate.file):
        return None
    step = run.step(
        "cpus",
        prove,
        measured_on=device,
        candidate=candidate,
        case=case,
        threads=run.threads,
    )
    found: Json | None = step.result["found"]
    return found


def prove(at: At, *, device: Device, candidate: Candidate, case: Case, threads: int) -> Json:
    """What the file scores on x86 CPUs with and without VNNI, and how that is known."""
    known = measure.evaluate(
        candidate.file,
        case.data,
        case.data.evaluate,
        case.readings,
        interface=case.interface,
        reference=case.reference("evaluate"),
        threads=threads,
    )
    try:
        found = kinds.check(candidate.file, case, known, isa=device.facts.isa, threads=threads)
    except UnsupportedError as e:
        return {"summary": f"not checked: {e}", "status": "skipped", "found": None}
    words = [f"{row['cpu']}: {row['source']}" for row in found["cpus"]]
    return {"summary": ", ".join(words), "found": found}


def size_account(file: Path) -> Json | None:
    """Where the bytes of a quantised file are, and weights that are float all the same; None for a float file."""
    if is_float(file):
        return None
    return {**asdict(account(file)), "float_weights": float_weights(file)}


def is_float(file: Path) -> bool:
    """Whether a file has no quantised weights."""
    try:
        account(file)
    except ConfigError:
        return True
    return False
