"""What values a tensor takes over the calibration samples: extremes, and a histogram of some of them between.

One pass over the samples, which holds one chunk of activations and one histogram of fixed size per tensor, so that
memory does not grow with the number of samples. What is found depends on the samples alone, not on how they were cut
into feeds. Padding is seen only where samples that go together are not of one length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from squeeze.errors import ConfigError
from squeeze.feed import count
from squeeze.quant.ranges.histogram import Histogram
from squeeze.quant.ranges.observers import Seen
from squeeze.quant.repair.channels import magnitudes
from squeeze.quant.runner import chunks, runner_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from squeeze.feed import Passes

# Of what one sample makes of a tensor; more say little new of how its values spread.
MOST_PER_SAMPLE = 1 << 14

Tick = Callable[[int], None]  # is told how many samples were just done


def observe(
    model: ir.Model,
    names: Sequence[str],
    passes: Passes,
    samples: int,
    *,
    histograms: bool,
    tick: Tick,
    channels: Collection[str] = (),
) -> dict[str, Seen]:
    """What was seen of each named value; without `histograms` only the extremes. channels: names of which it is seen
    for each channel of the last axis, too.

    Raises ConfigError when there are no samples or a value inside the model is not finite.
    """
    runner = runner_of(model, names, passes)
    spreads: list[Histogram | _Extremes] = [
        Histogram() if histograms else _Extremes() for _ in names
    ]
    by_channel = {name: np.zeros(()) for name in names if name in channels}
    for feed in chunks(passes, samples):
        for size, outputs in runner.run(feed):
            for name, spread, values in zip(names, spreads, outputs, strict=True):
                spread.add(values, MOST_PER_SAMPLE * size)
                if name in by_channel:
                    by_channel[name] = np.maximum(by_channel[name], magnitudes(values, -1))
        tick(count(feed))
    for name, spread in zip(names, spreads, strict=True):
        if not spread.finite:
            raise ConfigError(f"calibration: the value '{name}' inside the model is not finite")
    return {
        name: replace(spread.seen(), channels=by_channel.get(name))
        for name, spread in zip(names, spreads, strict=True)
    }


class _Extremes:
    """The part of a Histogram that the observer `minmax` needs."""

    def __init__(self) -> None:
        self.low, self.high = math.inf, -math.inf
        self.finite = True

    def add(self, values: NDArray[np.generic], most: int) -> None:
        if values.size == 0:
            return
        low, high = float(values.min()), float(values.max())
        self.finite = self.finite and math.isfinite(low) and math.isfinite(high)
        self.low, self.high = min(self.low, low), max(self.high, high)

    def seen(self) -> Seen:
        return Seen(self.low, self.high, np.zeros(0, np.int64), self.low, 0.0)
