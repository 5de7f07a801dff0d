"""The metric of an exported file on the evaluation split: the only place that looks at that split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from squeeze.errors import MeasureError
from squeeze.metrics.table import resolve, score
from squeeze.runtimes.ort import run, session

if TYPE_CHECKING:
    import numpy.typing as npt

    from squeeze.calib import Calib

_BATCH_SIZE = 64


def evaluate(
    model: Path,
    calib: Calib,
    metric: str,
    *,
    reference: npt.NDArray[np.generic] | None = None,
    threads: int = 1,
) -> tuple[float, npt.NDArray[np.generic]]:
    """The metric on `calib.evaluate`, and the outputs [n, ...] that it was computed from.

    `reference` holds the teacher's outputs, with which `agreement`, and other metrics where there are no labels,
    compare; None when `model` is the teacher. Inputs pass through in batches; only outputs are kept. Raises
    ConfigError when metric, labels and outputs do not go together, MeasureError when the model fails or an
    output is not a finite number.
    """
    chosen = resolve(metric)
    opened = session(model, threads=threads)
    outputs = np.concatenate(
        [run(opened, x, _BATCH_SIZE) for x in calib.batches(calib.evaluate, _BATCH_SIZE)]
    )
    finite = np.isfinite(outputs).reshape(len(outputs), -1).all(axis=1)
    if not finite.all():
        raise MeasureError(
            f"{model}: outputs of {int((~finite).sum())} of {len(outputs)} samples are not finite"
        )
    labels = calib.evaluate.y
    return score(chosen, outputs, labels, reference), outputs
