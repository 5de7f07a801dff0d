"""What values a tensor takes over the calibration samples: extremes, then a histogram between them.

Two passes over the samples, each holding one chunk of activations at a time, so that memory does not grow with their
number. The histogram has fixed equal bins, hence the second pass; the observer `minmax` needs only the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import onnx_ir as ir

from squeeze.errors import ConfigError
from squeeze.quant.observers import Seen
from squeeze.quant.runner import Batches, Runner, limited, with_outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 2048


class Tick(Protocol):
    """Is told how many samples were just done, and in which pass."""

    def __call__(self, count: int, *, first_pass: bool) -> None: ...


def observe(
    model: ir.Model,
    names: Sequence[str],
    batches: Batches,
    samples: int,
    *,
    histograms: bool,
    tick: Tick,
) -> dict[str, Seen]:
    """What was seen of each named value."""
    runner = Runner(with_outputs(model, names))
    lows, highs = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    for batch in limited(batches, samples):
        for _, outputs in runner.run(batch):
            for i, values in enumerate(outputs):
                lows[i] = min(lows[i], values.min())
                highs[i] = max(highs[i], values.max())
        tick(len(batch), first_pass=True)
    for name, low, high in zip(names, lows, highs, strict=True):
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ConfigError(f"calibration: the value '{name}' inside the model is not finite")
    counts = [np.zeros(BINS if histograms else 0, np.int64) for _ in names]
    if histograms:
        for batch in limited(batches, samples):
            for _, outputs in runner.run(batch):
                for i, values in enumerate(outputs):
                    counts[i] += histogram(values, float(lows[i]), float(highs[i]), BINS)
            tick(len(batch), first_pass=False)
    return {
        name: Seen(float(low), float(high), count)
        for name, low, high, count in zip(names, lows, highs, counts, strict=True)
    }


def histogram(values: NDArray[np.generic], low: float, high: float, bins: int) -> NDArray[np.int64]:
    """How many values fall into each of `bins` equal bins over [low, high]; those outside go to the outermost."""
    flat = values.reshape(-1).astype(np.float32, copy=True)
    flat -= np.float32(low)
    flat *= np.float32(bins / (high - low)) if high > low else np.float32(0)
    np.clip(flat, 0, bins - 1, out=flat)
    return np.bincount(flat.astype(np.int32), minlength=bins)
