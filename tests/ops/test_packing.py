"""The stream of codebook indices: bytes worked out by hand, and back again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squeeze.ops.packing import pack, packed_bytes, unpack


@pytest.mark.parametrize(
    ("bits", "indices", "stream"),
    [
        (4, [0x1, 0x2, 0xF], [0x21, 0x0F]),
        (2, [1, 2, 3, 0, 2], [0b00_11_10_01, 0b10]),
        # 6 = 110 lies across the bytes: its low bits 10 on top of the first, its 1 at the bottom of the second
        (3, [5, 1, 6, 3], [0b10_001_101, 0b0000_011_1]),
        (3, [7] * 8, [0xFF, 0xFF, 0xFF]),
        (4, [], []),
    ],
    ids=["4-bits", "2-bits", "3-bits-across-bytes", "3-bits-whole-bytes", "empty"],
)
def test_bytes_worked_out_by_hand(bits: int, indices: list[int], stream: list[int]) -> None:
    packed = pack(np.array(indices, np.uint8), bits)
    assert packed.dtype == np.uint8
    assert packed.tolist() == stream
    assert unpack(packed, bits, len(indices)).tolist() == indices


@given(st.data())
def test_unpack_gives_back_what_was_packed(data: st.DataObject) -> None:
    bits = data.draw(st.sampled_from([2, 3, 4]))
    indices = data.draw(st.lists(st.integers(0, (1 << bits) - 1), max_size=70))
    stream = pack(np.array(indices, np.uint8), bits)
    assert len(stream) == packed_bytes(len(indices), bits)
    assert unpack(stream, bits, len(indices)).tolist() == indices
    number = sum(index << (j * bits) for j, index in enumerate(indices))
    assert int.from_bytes(stream.tobytes(), "little") == number


def test_rows_follow_each_other() -> None:
    assert pack(np.array([[1, 2], [3, 4]], np.uint8), 4).tolist() == [0x21, 0x43]


def test_index_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="of 3 bits go from 0 to 7, got 8"):
        pack(np.array([0, 8], np.uint8), 3)


@pytest.mark.parametrize("bits", [0, 1, 5, 8])
def test_other_numbers_of_bits_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match=f"2, 3 or 4 bits, got {bits}"):
        pack(np.zeros(1, np.uint8), bits)
    with pytest.raises(ValueError, match=f"2, 3 or 4 bits, got {bits}"):
        unpack(np.zeros(1, np.uint8), bits, 1)


@pytest.mark.parametrize("length", [1, 3])
def test_stream_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=r"3 indices of 4 bits has the shape \(2,\)"):
        unpack(np.zeros(length, np.uint8), 4, 3)
