"""Can this package be trusted here: does it open, and does it compute what it computed when it was made?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from squeeze import artifact, runtimes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# What another CPU, or the function bodies, may differ by: two steps of an 8-bit output, as part of its range.
TOLERANCE = 2 / 255


@dataclass(frozen=True)
class Check:
    """One thing that was tried, and what came out."""

    what: str
    ok: bool
    found: str


def golden(model: Path, inputs: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
    """A few inputs [n, ...] and what `model` gives for them [n, ...], to be stored in the package."""
    return {"inputs": inputs, "outputs": runtimes.run(runtimes.session(model), inputs)}


def verify(path: str | Path) -> list[Check]:
    """Opens the package (digests), runs it with ONNX Runtime's optimisations on and off, and with and without our
    library, and compares with the stored golden outputs. Raises ConfigError when bytes changed."""
    package = artifact.open(path)
    names = ", ".join(package.manifest["files"])
    checks = [Check("digests", True, f"all files as written: {names}")]
    with np.load(package.path / artifact.GOLDEN, allow_pickle=False) as stored:
        inputs, expected = stored["inputs"], stored["outputs"]
    settings = {
        "optimised": (True, True),
        "optimisations off": (False, True),
        "without our library": (True, False),
    }
    for what, (optimise, native) in settings.items():
        session = runtimes.session(package.model, optimise=optimise, native=native)
        checks.append(_compare(what, expected, runtimes.run(session, inputs)))
    return checks


def _compare(what: str, expected: NDArray[np.generic], got: NDArray[np.generic]) -> Check:
    if got.shape != expected.shape:
        return Check(what, False, f"output shape {got.shape}, stored {expected.shape}")
    a, b = expected.astype(np.float64), got.astype(np.float64)
    span = float(a.max() - a.min()) or 1.0
    difference = float(np.abs(a - b).max()) / span
    text = f"golden outputs within {100 * difference:.2f} % of their range"
    if a.ndim != 2 or a.shape[1] < 2:
        return Check(what, difference <= TOLERANCE, text)
    # A sample whose two best classes are nearer than the tolerance has no top-1 to speak of.
    best = np.sort(a, axis=1)
    clear = best[:, -1] - best[:, -2] > 2 * TOLERANCE * span
    same = int((a.argmax(1) == b.argmax(1))[clear].sum())
    text += f", same top-1 on {same} of {int(clear.sum())}"
    return Check(what, difference <= TOLERANCE and same == int(clear.sum()), text)
