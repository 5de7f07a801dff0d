from __future__ import annotations

import numpy as np
import pytest

from squeeze.errors import ConfigError
from squeeze.runtimes.signature import Input, generate, sized


def test_generate_is_the_same_for_a_seed_and_another_for_the_next() -> None:
    needs = Input("x", np.dtype("float32"), ("n", 3, 4))
    assert generate(needs).shape == (1, 3, 4)
    assert generate(needs).dtype == np.float32
    assert np.array_equal(generate(needs, seed=1), generate(needs, seed=1))
    assert not np.array_equal(generate(needs, seed=1), generate(needs, seed=2))


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("int64", 0, 1), ("int32", 0, 1), ("uint8", 0, 255), ("int8", -128, 127)],
)
def test_generate_keeps_integers_in_range(dtype: str, low: int, high: int) -> None:
    x = generate(Input("x", np.dtype(dtype), (1, 5000)))
    assert (x.min(), x.max()) == (low, high)
    assert x.dtype == dtype


def test_generate_makes_booleans() -> None:
    assert generate(Input("x", np.dtype("bool"), (1, 100))).any()


def test_generate_refuses_a_size_that_no_machine_holds() -> None:
    with pytest.raises(ConfigError, match=r"'x': \[1, 2147483647, 8\] are too many numbers"):
        generate(Input("x", np.dtype("float32"), ("n", 2**31 - 1, 8)))


def test_sized_asks_for_the_shape_when_a_dimension_other_than_the_batch_varies() -> None:
    needs = Input("ids", np.dtype("int64"), ("batch", "length"))
    with pytest.raises(ConfigError, match=r"'ids': dimensions length .* --shape 1x128"):
        sized(needs, None)
    assert sized(needs, (1, 16)) == (1, 16)


@pytest.mark.parametrize("shape", [(1, 3), (1, 4, 4), (2, 3, 0), (1, 3, 4, 1)])
def test_sized_refuses_a_shape_that_the_input_does_not_take(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"input 'x' takes \['n', 3, 'w'\]"):
        sized(Input("x", np.dtype("float32"), ("n", 3, "w")), shape)


def test_batch_is_the_axis_that_is_named_so_wherever_it_is() -> None:
    frames = Input("frames", np.dtype("float32"), (50, "batch", 40))
    assert sized(frames, None) == (50, 1, 40)
    with pytest.raises(ConfigError, match=r"--shape 128x1x40"):
        sized(Input("frames", np.dtype("float32"), ("time", "batch", 40)), None)
    assert Input("x", np.dtype("float32"), ("dim0", 3)).batch_axis == 0


def test_single_number_is_an_input_like_any_other() -> None:
    limit = Input("limit", np.dtype("float32"), ())
    assert (limit.batch_axis, sized(limit, None)) == (None, ())
    assert generate(limit).shape == ()
