"""What the manifest says beyond accuracy and speed: other CPUs, and where the bytes of the file are."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from squeeze.account.sizes import account, float_weights
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.old_x86 import kinds as checked

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.calib import Calib
    from squeeze.run import Run
    from squeeze.steps.judge import Judged

Json = dict[str, Any]  # Any: JSON


def old_cpus(run: Run, model: Path, calib: Calib, judged: Judged, picked: str) -> Json | None:
    """The metric on CPUs that multiply 8-bit integers otherwise, a step; None for a float file."""
    if _is_float(model):
        return None

    def work(folder: Path) -> Json:
        try:
            found = checked.check(
                model,
                calib,
                judged.measurements["teacher"].metric_name,
                reference=judged.reference,
                threads=run.threads,
            )
        except UnsupportedError as e:
            return {"summary": f"not checked: {e}", "status": "skipped", "found": None}
        words = [f"{row['cpu']}: {row['source']}" for row in found["cpus"]]
        return {"summary": ", ".join(words), "found": found}

    inputs = {
        "model": judged.digests[picked],
        "evaluate": calib.evaluate.digest,
        "preprocess": calib.preprocess.model_dump(mode="json"),
    }
    found: Json | None = run.step("cpus", inputs, work).result["found"]
    return found


def size_account(model: Path) -> Json | None:
    """Where the bytes of a quantised file are, and weights that are float all the same; None for a float file."""
    if _is_float(model):
        return None
    return {**asdict(account(model)), "float_weights": float_weights(model)}


def _is_float(model: Path) -> bool:
    try:
        account(model)
    except ConfigError:
        return True
    return False
