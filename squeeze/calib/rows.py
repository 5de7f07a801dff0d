"""Rows of an array that stays on disk: indexed like a NumPy array, read when asked for.

They are read, not mapped: a mapped page counts as memory of this process, and memory would grow with the set.
"""

from __future__ import annotations

import math
import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from squeeze.errors import ConfigError

Array = NDArray[Any]  # Any: the type of the elements is known only when the data is read
_CHUNK_BYTES = 8 << 20


@dataclass(frozen=True)
class Origin:
    """The arrays that samples were read from, in words for messages, and the index there of each, [n]."""

    where: str
    at: NDArray[np.intp]


class Rows:
    """An array [n, ...] in a file, row after row. `rows[key]` (a slice, or indices) is a NumPy array of its own."""

    def __init__(
        self,
        opened: Callable[[], BinaryIO],
        dtype: np.dtype[Any],  # Any: the type is known when the file was read
        shape: tuple[int, ...],
        offset: int = 0,
        index: NDArray[np.intp] | None = None,
    ) -> None:
        self.dtype = dtype
        self._opened, self._offset = opened, offset
        self._index = np.arange(shape[0]) if index is None else index
        self.shape = (len(self._index), *shape[1:])

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: int | slice | NDArray[np.integer[Any]]) -> Array:
        wanted = self._index[key]
        rows = np.atleast_1d(wanted)
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        row_bytes = out.nbytes // max(1, len(rows))
        into = out.reshape(-1).view(np.uint8).data
        with self._opened() as file:
            for start, stop in _runs(rows):
                part = into[start * row_bytes : stop * row_bytes]
                _read_into(file, part, self._offset + int(rows[start]) * row_bytes)
        return out if np.ndim(wanted) else out[0]

    def __array__(
        self, dtype: Any = None, copy: bool | None = None
    ) -> Array:  # Any: NumPy's protocol
        whole = self[:]
        return whole if dtype is None else whole.astype(dtype)

    def unrolled(self) -> Rows:
        """[n, steps, ...] as [n * steps, ...], still on disk."""
        samples, steps, *rest = self.shape
        index = (self._index[:, None] * steps + np.arange(steps)).reshape(-1)
        shape = (samples * steps, *rest)
        return Rows(self._opened, self.dtype, shape, self._offset, index)

    def select(self, index: NDArray[np.intp]) -> Rows:
        """The rows at `index`, still on disk."""
        known = (self.dtype, self.shape, self._offset)
        return Rows(self._opened, *known, self._index[index])


def _read_into(file: BinaryIO, part: memoryview, place: int) -> None:
    """Fills `part` from byte `place` on. By position, for the file may be read by several threads at once."""
    while part:
        got_bytes = os.preadv(file.fileno(), [part], place)
        if got_bytes == 0:
            raise ConfigError(f"{file.name}: became shorter while it was read; load the set again")
        part, place = part[got_bytes:], place + got_bytes


def _runs(rows: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """start..stop of each stretch of `rows` that is consecutive in the file."""
    ends = [*(np.flatnonzero(np.diff(rows) != 1) + 1), len(rows)]
    yield from zip([0, *ends[:-1]], ends, strict=True)


Raw = Array | Rows


def select(x: Raw, index: NDArray[np.intp]) -> Raw:
    """The rows of `x` at `index`: a copy of what is in memory, a view of what is on disk."""
    if isinstance(x, Rows):
        return x.select(index)
    if x.strides[0] == 0 and len(x):
        return np.broadcast_to(x[0], (len(index), *x.shape[1:]))  # one value for all stays one
    return x[index]


def chunks(x: Raw) -> Iterator[tuple[int, Array]]:
    """(index of the first row, rows) of some megabytes each."""
    row_bytes = max(1, x.nbytes // max(1, len(x)))
    step = max(1, _CHUNK_BYTES // row_bytes)
    for start in range(0, len(x), step):
        yield start, np.asarray(x[start : start + step])


def value_range(arrays: Iterable[Raw]) -> tuple[float, float]:
    """The smallest and the largest value in all of `arrays`, not all of them empty."""
    blocks = [(b.min(), b.max()) for x in arrays for _, b in chunks(x)]
    return float(min(low for low, _ in blocks)), float(max(high for _, high in blocks))


class Spool:
    """A file without a name that gets written once, front to back, and then read as Rows; a kill leaves nothing."""

    def __init__(self) -> None:
        self._descriptor, name = tempfile.mkstemp(prefix="squeeze-")
        os.unlink(name)
        weakref.finalize(self, os.close, self._descriptor)

    def write(self, data: bytes) -> None:
        """Raises ConfigError when the disk is full."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as e:
            raise ConfigError(
                f"{tempfile.gettempdir()}: cannot hold the unpacked data: {e.strerror}; "
                "make room there or set TMPDIR to a larger folder"
            ) from e

    def opened(self) -> BinaryIO:
        return os.fdopen(os.dup(self._descriptor), "rb")
