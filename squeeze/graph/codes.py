"""Weights that use few different values, as packed indices into codebooks: the cheapest exact form, if there is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze.ops.packing import ALLOWED_BITS, pack

Array = NDArray[Any]  # Any: int8 levels or float32 values


@dataclass(frozen=True)
class Codes:
    """What the inputs and attributes of the codebook ops take. Weight j, row-major, is in book j // bucket."""

    indices: NDArray[np.uint8]  # the stream of bits
    codebooks: Array  # [books, 2^bits], ascending; what no weight uses repeats the last value
    bits: int
    bucket: int
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """What the indices and the codebooks take."""
        return self.indices.nbytes + self.codebooks.nbytes


def cheapest(weights: Array) -> Codes | None:
    """One book for all weights [o, ...], or one for each output channel, whichever is smaller; None where both would
    need more than 16 values."""
    if weights.size == 0:
        return None
    rows = weights.reshape(len(weights), -1)
    if len(np.unique(rows[0])) > 1 << ALLOWED_BITS[-1]:
        return None  # soon said of most layers
    found = [c for c in (_coded(rows.reshape(1, -1)), _coded(rows)) if c is not None]
    if not found:
        return None
    best = min(found, key=lambda codes: codes.bytes)
    return Codes(best.indices, best.codebooks, best.bits, best.bucket, weights.shape)


def _coded(rows: Array) -> Codes | None:
    """A book for each row [books, bucket]."""
    ordered = np.sort(rows, axis=1)
    # The first of each run of equal values is a level.
    starts = np.concatenate(
        [np.ones((len(rows), 1), np.bool_), ordered[:, 1:] != ordered[:, :-1]], axis=1
    )
    most = int(starts.sum(axis=1).max())
    bits = next((b for b in ALLOWED_BITS if most <= 1 << b), None)
    if bits is None:
        return None
    codebooks = np.empty((len(rows), 1 << bits), rows.dtype)
    indices = np.empty(rows.shape, np.uint8)
    for book, index, row, values, first in zip(
        codebooks, indices, rows, ordered, starts, strict=True
    ):
        levels = values[first]
        book[: len(levels)] = levels
        book[len(levels) :] = levels[-1]
        index[:] = np.searchsorted(levels, row)
    return Codes(pack(indices, bits), codebooks, bits, rows.shape[1], rows.shape)
