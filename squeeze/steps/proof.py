"""What the manifest says beyond accuracy and speed: other CPUs, and where the bytes of the file are."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from squeeze.account.sizes import account, float_weights, is_float
from squeeze.errors import UnsupportedError
from squeeze.old_x86 import kinds
from squeeze.steps.judging import evaluated_as, judged_of

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Candidate
    from squeeze.run import At, Run
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON


def other_cpus(
    run: Run, case: Case, device: Device, candidate: Candidate, evaluated: Step
) -> Json | None:
    """The metric on CPUs that multiply 8-bit integers otherwise, a step; None for a float file. evaluated: the step
    with what the candidate does on this one."""
    if is_float(candidate.file):
        return None
    step = run.step(
        "cpus",
        check_cpus,
        measured_on=device,
        candidate=candidate,
        case=case,
        evaluated=evaluated,
        threads=run.threads,
    )
    found: Json | None = step.result["found"]
    return found


def check_cpus(
    at: At,
    *,
    device: Device,
    candidate: Candidate,
    case: Case,
    evaluated: Step,
    threads: int,
) -> Json:
    """What the file scores on x86 CPUs with and without VNNI, and how that is known."""
    known = evaluated_as(evaluated, candidate, case)
    judged = judged_of(evaluated.result["candidates"][candidate.name]["drops"])
    try:
        found = kinds.check(
            candidate.shipped,
            case.as_written(),
            known,
            judged=judged,
            isa=device.facts.isa,
            threads=threads,
        )
    except UnsupportedError as e:
        return {"summary": f"not checked: {e}", "status": "skipped", "found": None}
    words = [f"{row['cpu']}: {row['source']}" for row in found["cpus"]]
    return {"summary": ", ".join(words), "found": found}


def size_account(file: Path, of: Path) -> Json | None:
    """Where the bytes of a quantised file are, and its layers that are float all the same, as `of`, the float network
    that it was made from, calls them; None for a float file."""
    if is_float(file):
        return None
    return {**asdict(account(file)), "float_weights": float_weights(file, of)}
