"""How far quantised models are from the float one, on calibration samples: the error of the outputs, as the runtime
computes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze import graph
from squeeze.quant.runner import Batches, Runner, limited


def output_errors(
    model: ir.Model, quantised: Sequence[ir.Model], batches: Batches, samples: int
) -> list[float]:
    """For each quantised model: root of the mean squared error, as a share of the float outputs' standard deviation.

    The deviation is taken per output over the samples, so that an offset which all samples share does not count.
    """
    float_runner = Runner(graph.to_bytes(model), whole_batches=True)
    runners = [Runner(graph.to_bytes(q), whole_batches=True) for q in quantised]
    squares = np.zeros(len(quantised))
    count, total, total_squares = 0, np.zeros(()), np.zeros(())
    for batch in limited(batches, samples):
        expected = _joined(float_runner, batch)
        for i, runner in enumerate(runners):
            squares[i] += float(((_joined(runner, batch) - expected) ** 2).sum())
        count += len(expected)
        total = total + expected.sum(axis=0)
        total_squares = total_squares + (expected**2).sum(axis=0)
    deviation = float((total_squares - total**2 / count).sum())
    return [float(np.sqrt(s / deviation)) if deviation > 0 else float(np.sqrt(s)) for s in squares]


def _joined(runner: Runner, batch: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.concatenate([outputs[0] for _, outputs in runner.run(batch)]).astype(np.float64)
