"""Weights of few values become a book and packed indices, in the smallest exact form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from squeeze.graph.codes import Codes, cheapest
from squeeze.ops.packing import unpack


def restored(codes: Codes) -> NDArray[Any]:  # Any: of the type of the books
    count = int(np.prod(codes.shape))
    indices = unpack(codes.indices, codes.bits, count)
    return codes.codebooks[np.arange(count) // codes.bucket, indices].reshape(codes.shape)


def test_four_values_take_two_bits_in_one_book() -> None:
    w = np.array([[5, -3, 5, 100], [-3, -7, 100, 100]], np.int8)
    codes = cheapest(w)
    assert codes is not None
    assert (codes.bits, codes.bucket, codes.shape) == (2, 8, (2, 4))
    assert codes.codebooks.tolist() == [[-7, -3, 5, 100]]
    # 2 1 2 3 | 1 0 3 3, from the low bits on
    assert codes.indices.tolist() == [0b11_10_01_10, 0b11_11_00_01]
    assert codes.bytes == 6


@pytest.mark.parametrize(
    ("levels", "bits"), [(1, 2), (2, 2), (4, 2), (5, 3), (8, 3), (9, 4), (16, 4), (17, None)]
)
def test_bits_follow_from_the_number_of_values(levels: int, bits: int | None) -> None:
    w = np.resize(np.arange(levels, dtype=np.int8) * 3 - 20, (8, 40, 3))
    codes = cheapest(w)
    assert (codes.bits if codes else None) == bits
    if codes is not None:
        np.testing.assert_array_equal(restored(codes), w)


def test_book_for_each_channel_where_the_tensor_has_too_many_values() -> None:
    w = np.stack([np.resize(np.array([i, -i, 2 * i]), 60) for i in range(1, 11)]).astype(np.int8)
    codes = cheapest(w.reshape(10, 20, 3))
    assert codes is not None
    assert (codes.bits, codes.bucket, codes.codebooks.shape) == (2, 60, (10, 4))
    np.testing.assert_array_equal(restored(codes), w.reshape(10, 20, 3))


def test_books_of_their_own_win_where_they_save_more_than_they_cost() -> None:
    # 16 values in all, 4 in each of 4 channels of 400 weights: 4 bits are 800 + 16 bytes, 2 bits 400 + 16.
    w = np.resize(np.arange(4), (4, 400)) + 4 * np.arange(4)[:, None]
    codes = cheapest(w.astype(np.int8))
    assert codes is not None
    assert (codes.bits, codes.bucket, codes.bytes) == (2, 400, 416)


def test_one_book_wins_where_books_of_their_own_cost_more_than_they_save() -> None:
    # 8 values in all, 4 in each of 64 channels of 16 weights: 3 bits are 384 + 8 bytes, 2 bits 256 + 256.
    w = np.resize(np.arange(4), (64, 16)) + 4 * (np.arange(64) % 2)[:, None]
    codes = cheapest(w.astype(np.int8))
    assert codes is not None
    assert (codes.bits, codes.bucket, codes.bytes) == (3, 1024, 392)
    np.testing.assert_array_equal(restored(codes), w)


def test_float_values_are_kept_to_the_last_bit() -> None:
    values = np.float32([0.1, np.float32(0.1) * np.float32(1 + 2**-23), -3.7])
    w = np.resize(values, (6, 50))
    codes = cheapest(w)
    assert codes is not None
    assert codes.codebooks.dtype == np.float32
    assert restored(codes).tobytes() == w.tobytes()


def test_what_no_weight_uses_repeats_a_level_that_one_does() -> None:
    codes = cheapest(np.resize(np.int8([-9, 9]), (4, 30)))
    assert codes is not None
    assert codes.codebooks.tolist() == [[-9, 9, 9, 9]]


def test_no_weights_are_no_codes() -> None:
    assert cheapest(np.zeros((0, 3), np.int8)) is None
