"""Several outputs that are judged as one: boxes [n, a, 4] and scores [n, a, k] are the fields [n, 4 + k, a]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from squeeze.metrics.sums import Array, Samples

if TYPE_CHECKING:
    from squeeze.metrics.reading import Reading


@dataclass(frozen=True)
class _Joined:
    """Fields of outputs one after the other, joined when they are looked at: together they may be large. They come
    first, as in detectors without objectness: none of a pair is that.
    """

    parts: tuple[Array, ...]

    def __len__(self) -> int:
        return len(self.parts[0])

    def __getitem__(self, some: slice, /) -> Array:
        places = self.parts[0].shape[1]
        rows = [part[some] for part in self.parts]
        wide = [row.reshape(len(row), places, -1) for row in rows]
        return np.swapaxes(np.concatenate(wide, axis=2), 1, 2)


def joined(reading: Reading, outputs: Mapping[str, Array]) -> Samples:
    """What the reading reads: one output as it is, or several joined."""
    if not reading.also:
        return outputs[reading.output]
    return _Joined(tuple(outputs[name] for name in reading.names))
