"""Batches, layouts and int8 at the border of a .tflite file; numbers by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.runtimes.tflite_tensors import joined, made_up, stacked


@dataclass(frozen=True)
class Port:
    name: str
    axes: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str = "float32"
    scale: float | None = None
    zero_point: int | None = None


CODES = Port("x", (0, 1), (1, 4), "int8", 0.5, 10)


def test_floats_become_codes_rounded_half_to_even_and_held_within_bytes() -> None:
    given, _ = stacked([CODES], {"x": np.float32([[0.25, 0.75, -100.0, 100.0]])})
    # 0.5 -> 0, 1.5 -> 2, each + 10
    np.testing.assert_array_equal(given[0], [[[10, 12, -128, 127]]])
    assert given[0].dtype == np.int8


def test_codes_are_passed_on_and_come_back_as_floats() -> None:
    given, axis = stacked([CODES], {"x": np.int8([[1, 2, 3, 4]])})
    np.testing.assert_array_equal(given[0][0], [[1, 2, 3, 4]])
    found = joined([CODES], given, axis)["x"]
    np.testing.assert_array_equal(found, np.float32([[-4.5, -4.0, -3.5, -3.0]]))


def test_channels_go_last_and_come_back() -> None:
    port = Port("x", (0, 2, 3, 1), (1, 2, 3, 4))
    x = np.arange(2 * 4 * 2 * 3, dtype=np.float32).reshape(2, 4, 2, 3)
    given, axis = stacked([port], {"x": x})
    assert given[0].shape == (2, 1, 2, 3, 4)
    assert given[0][1, 0, 1, 2, 3] == x[1, 3, 1, 2]
    np.testing.assert_array_equal(joined([port], given, axis)["x"], x)


def test_the_batch_is_found_where_it_is_and_other_inputs_are_repeated() -> None:
    frames, state = Port("frames", (0, 1, 2), (5, 1, 2)), Port("state", (0,), (3,))
    x = np.arange(5 * 4 * 2, dtype=np.float32).reshape(5, 4, 2)
    given, axis = stacked([frames, state], {"frames": x, "state": np.zeros(3, np.float32)})
    assert (axis, given[0].shape, given[1].shape) == (1, (4, 5, 1, 2), (4, 3))
    np.testing.assert_array_equal(joined([frames], given[:1], axis)["frames"], x)


def test_an_output_without_the_batch_where_the_input_has_it_is_joined_at_its_first_axis_of_one() -> (
    None
):
    port = Port("y", (0, 1), (1, 2))
    found = joined([port], [np.float32([[[1, 2]], [[3, 4]]])], axis=1)
    np.testing.assert_array_equal(found["y"], [[1, 2], [3, 4]])


def test_several_samples_of_an_output_without_a_batch_are_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"output 'y' \[2\] has no batch axis"):
        joined([Port("y", (0,), (2,))], [np.zeros((3, 2), np.float32)], axis=0)


@pytest.mark.parametrize(
    ("feed", "said"),
    [
        pytest.param({"x": np.zeros((0, 4), np.float32)}, r"got \[0, 4\]", id="no-samples"),
        pytest.param({"x": np.zeros(4, np.float32)}, r"got \[4\]", id="other-rank"),
        pytest.param(
            {"x": np.array([["a"] * 4])}, "got <U1 values, the model takes int8", id="text"
        ),
        pytest.param(
            {"x": np.int64([[1, 2, 3, 400]])},
            "got int64 values, the model takes int8",
            id="too-large",
        ),
    ],
)
def test_what_does_not_fit_is_refused(feed: dict[str, np.ndarray], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        stacked([CODES], feed)


def test_inputs_with_batches_that_differ_are_refused() -> None:
    ports = [Port("a", (0, 1), (1, 2)), Port("b", (0, 1), (1, 2))]
    feed = {"a": np.zeros((2, 2), np.float32), "b": np.zeros((3, 2), np.float32)}
    with pytest.raises(ConfigError, match="batches differ"):
        stacked(ports, feed)


def test_a_made_up_sample_is_the_same_for_a_seed_and_within_its_type() -> None:
    ports = [CODES, Port("ids", (0,), (50,), "int32"), Port("f", (0,), (3,))]
    first, again = made_up(ports), made_up(ports)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert set(np.unique(first[1])) == {0, 1}
    assert [one.dtype.name for one in first] == ["int8", "int32", "float32"]
