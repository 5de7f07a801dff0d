"""Which samples of the calibrate split find activation ranges, in batches as the model takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from squeeze.calib.selection import select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from squeeze.calib import Calib
    from squeeze.run import Run
    from squeeze.spec import QuantPart
    from squeeze.teacher import Teacher

BATCH_SIZE = 32


def calibration(
    run: Run, part: QuantPart, teacher: Teacher, calib: Calib
) -> Callable[[], Iterator[NDArray[np.generic]]]:
    """A function that starts a fresh pass over `part.samples` samples, chosen as `part.selection` says.

    The teacher is asked only where the selection needs what it says of the samples. Raises ConfigError when it has no
    embedding or no classes and they are needed.
    """
    split = calib.calibrate
    labels = split.y if split.y is not None and split.y.dtype.kind == "i" else None
    known = {}
    if part.selection in ("bins", "k-centre") and part.samples < len(split):
        outputs = [teacher.outputs(x, run.threads) for x in calib.batches(split, 64)]
        if part.selection == "bins" and outputs[0].embedding is not None:
            known["features"] = np.concatenate([o.embedding for o in outputs])
        if part.selection == "k-centre" and outputs[0].logits.ndim == 2:
            known["probabilities"] = _softmax(np.concatenate([o.logits for o in outputs]))
    name = "random" if part.samples >= len(split) else part.selection
    chosen = select(name, part.samples, len(split), labels=labels, seed=run.seed, **known)

    def batches() -> Iterator[NDArray[np.generic]]:
        for start in range(0, len(chosen), BATCH_SIZE):
            yield calib.preprocess.apply(split.x[chosen[start : start + BATCH_SIZE]])

    return batches


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(wide / wide.sum(axis=1, keepdims=True))
