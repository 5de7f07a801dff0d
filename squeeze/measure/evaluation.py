"""What an exported file gives for a split of the data, and how that scores: any number of inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from squeeze.errors import MeasureError
from squeeze.feed import Array
from squeeze.metrics import Reading, Score, scores
from squeeze.runtimes.inference import BATCH_SIZE, infer
from squeeze.runtimes.ort import session

if TYPE_CHECKING:
    from squeeze.calib import Calib, Split
    from squeeze.interface import Interface


@dataclass(frozen=True)
class Evaluated:
    """One score a reading, and all outputs that the file gave, name -> [n, ...]."""

    scores: tuple[Score, ...]
    outputs: Mapping[str, Array]


def evaluate(
    model: Path,
    calib: Calib,
    split: Split,
    readings: Sequence[Reading],
    *,
    interface: Interface,
    reference: Mapping[str, Array] | None = None,
    threads: int = 1,
) -> Evaluated:
    """What `model` gives for `split`, one of `calib` fitted to `interface`, and the scores of the readings.

    `reference` holds the teacher's outputs, with which `agreement`, and other metrics where there are no labels,
    compare; None when `model` is the teacher. Samples pass through in batches; only outputs are kept. Raises
    ConfigError when metric, labels and outputs do not go together, MeasureError when the model fails or an output that
    is read is not finite.
    """
    opened = session(model, threads=threads)
    fixed = interface.batch_size or 1
    # Whole batches of a model that fixes them: nothing is filled up but the last.
    size = fixed * max(1, BATCH_SIZE // fixed)
    parts: dict[str, list[Array]] = {spec.name: [] for spec in interface.outputs}
    try:
        for feed in calib.feeds(split, size):
            for name, values in infer(opened, feed, interface, BATCH_SIZE).items():
                parts[name].append(values)
        outputs = {name: np.concatenate(values) for name, values in parts.items()}
        return Evaluated(scores(readings, outputs, split.y, reference), outputs)
    except MeasureError as e:
        raise MeasureError(f"{model}: {e}") from e
