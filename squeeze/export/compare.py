"""The numeric check at the door: ONNX Runtime, its optimisations off, against the outputs of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import onnxruntime as ort

from squeeze.errors import PassError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Both sides sum in float32, in other orders; as a share of the largest output.
RELATIVE_TOLERANCE = 2e-4
ABSOLUTE_TOLERANCE = 1e-6


def check(
    model: ir.Model, expected: dict[int, tuple[NDArray[np.generic], NDArray[np.generic]]]
) -> None:
    """Runs `model` on each (input, output of torch) pair, keyed by batch. Raises PassError when one differs."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    data = ir.serde.serialize_model(model).SerializeToString()
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    for batch, (x, wanted) in expected.items():
        got = np.asarray(session.run(None, {name: x})[0])
        if got.shape != wanted.shape:
            raise PassError(
                f"export: batch {batch}: the graph gives shape {got.shape}, torch gives {wanted.shape}"
            )
        difference = np.abs(got.astype(np.float64) - wanted.astype(np.float64)).max(initial=0.0)
        largest = float(np.abs(wanted).max(initial=0.0))
        allowed = ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * largest
        if not difference <= allowed:
            raise PassError(
                f"export: batch {batch}: the graph differs from torch by {difference:.3g} at most, allowed "
                f"{allowed:.3g} (outputs up to {largest:.3g}). Is the module deterministic, and in eval mode?"
            )
