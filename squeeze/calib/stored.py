"""What is stored of an input, as far as fitting it to a model asks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squeeze.calib.modality import Kind


@dataclass(frozen=True)
class Data:
    """What is stored: samples of `shape` (without n) and `dtype`, all values within low..high."""

    source: str
    shape: tuple[int, ...]
    dtype: str
    low: float
    high: float
    modality: Kind

    @property
    def whole(self) -> bool:
        """Whether the stored type is an integer type, or bool."""
        return np.dtype(self.dtype).kind in "biu"

    @property
    def pixels(self) -> bool:
        """Whether the values may be those of pixels, unsigned or within 0..255."""
        kind = np.dtype(self.dtype).kind
        return kind == "u" or (kind == "i" and self.low >= 0 and self.high <= 255)
