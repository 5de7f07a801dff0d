"""Outputs of many samples as .npy files that grow batch by batch: those of dense models fit no memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from squeeze.errors import MeasureError
from squeeze.feed import Array
from squeeze.runtimes.inference import other_size


class OutputFiles:
    """Takes `samples` samples in order. files: output -> where its values go; what lies there is written over."""

    def __init__(self, files: Mapping[str, Path], samples: int) -> None:
        self._files, self._samples, self._taken = dict(files), samples, 0
        self._open: dict[str, np.memmap] = {}

    def take(self, outputs: Mapping[str, Array]) -> None:
        """The next samples, name -> [k, ...]. Raises MeasureError when they differ in shape from those before."""
        for name, path in self._files.items():
            values = outputs[name]
            shape = (self._samples, *values.shape[1:])
            if name not in self._open:
                self._open[name] = np.lib.format.open_memmap(path, "w+", values.dtype, shape)
            if self._open[name].shape != shape:
                raise MeasureError(other_size(name, values, self._open[name]))
            self._open[name][self._taken : self._taken + len(values)] = values
        self._taken += len(next(iter(outputs.values())))

    def opened(self) -> dict[str, Array]:
        """All values, name -> [n, ...], read from the files as they are looked at."""
        for values in self._open.values():
            values.flush()
        self._open.clear()
        return {name: opened(path) for name, path in self._files.items()}


def opened(path: Path) -> Array:
    """The values in a .npy file, read as they are looked at."""
    values: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return values
