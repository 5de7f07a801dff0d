"""Codebook indices as a stream of bits, for the input `indices` of the codebook ops.

Index j occupies bits j * bits .. j * bits + bits - 1 of the stream, its least significant bit first; bit t of the
stream is bit t % 8 of byte t // 8. The last byte is filled up with zeros.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ALLOWED_BITS = (2, 3, 4)


def packed_bytes(count: int, bits: int) -> int:
    """The length of the stream of `count` indices."""
    return (count * bits + 7) // 8


def pack(indices: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """The stream of `indices`, taken in row-major order."""
    _check_bits(bits)
    flat = indices.reshape(-1)
    if flat.size and int(flat.max()) >= 1 << bits:
        raise ValueError(
            f"codebook indices of {bits} bits go from 0 to {(1 << bits) - 1}, got {int(flat.max())}"
        )
    each = np.unpackbits(flat[:, None], axis=1, count=bits, bitorder="little")
    return np.packbits(each, bitorder="little")


def unpack(stream: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint8]:
    """The `count` indices of a stream, [count]."""
    _check_bits(bits)
    wanted = packed_bytes(count, bits)
    if stream.shape != (wanted,):
        raise ValueError(
            f"a stream of {count} indices of {bits} bits has the shape ({wanted},), "
            f"got {stream.shape}"
        )
    each = np.unpackbits(stream, count=count * bits, bitorder="little").reshape(count, bits)
    return np.packbits(each, axis=1, bitorder="little")[:, 0]


def _check_bits(bits: int) -> None:
    if bits not in ALLOWED_BITS:
        raise ValueError(f"codebook indices have 2, 3 or 4 bits, got {bits}")
