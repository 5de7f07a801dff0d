"""The numeric check at the door: ONNX Runtime, its optimisations off, against the outputs of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from squeeze import runtimes
from squeeze.errors import PassError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# Both sides sum in float32, in other orders; as a share of the largest output.
RELATIVE_TOLERANCE = 2e-4
ABSOLUTE_TOLERANCE = 1e-6
# What torch was given, one array an input, and what it gave, one an output.
Run = tuple[tuple["NDArray[np.generic]", ...], tuple["NDArray[np.generic]", ...]]


def check(model: ir.Model, expected: Mapping[str, Run]) -> None:
    """Runs `model` on what torch was given, for each run by its name. Raises PassError when an output differs,
    MeasureError when the runtime cannot open it."""
    data = ir.serde.serialize_model(model).SerializeToString()
    session = runtimes.session(data, optimise=False)
    names = [i.name for i in session.get_inputs()]
    outputs = [o.name for o in session.get_outputs()]
    for called, (given, wanted) in expected.items():
        found = session.run(outputs, dict(zip(names, given, strict=True)))
        for name, got, want in zip(outputs, found, wanted, strict=True):
            where = f"export: {called}" + (f", output '{name}'" if len(outputs) > 1 else "")
            _compare(np.asarray(got), want, where)


def _compare(got: NDArray[np.generic], wanted: NDArray[np.generic], where: str) -> None:
    if got.shape != wanted.shape:
        raise PassError(f"{where}: the graph gives shape {got.shape}, torch gives {wanted.shape}")
    a, b = got.astype(np.float64), wanted.astype(np.float64)
    difference = np.abs(a - b).max(initial=0.0)
    largest = float(np.abs(b).max(initial=0.0))
    allowed = ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * largest
    if not difference <= allowed:
        raise PassError(
            f"{where}: the graph differs from torch by {difference:.3g} at most, allowed "
            f"{allowed:.3g} (outputs up to {largest:.3g}). Is the module deterministic, and in eval mode?"
        )
