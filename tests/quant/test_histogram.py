"""A histogram of a stream read once, against NumPy on all values at once."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from squeeze.quant.ranges.histogram import BINS, Histogram
from squeeze.quant.ranges.observe import MOST_PER_SAMPLE, observe
from squeeze.quant.ranges.observers import Seen, percentile
from tests.feeds import passes_of
from tests.graph.small import floats, model, node

Floats = NDArray[np.float32]
RNG = np.random.default_rng(0)

# Growing far: each kind begins with small values and ends with large ones of both signs.
KINDS: dict[str, Floats] = {
    "above-zero": (RNG.random(20_000) + 100).astype(np.float32),
    "growing": (RNG.normal(size=20_000) * np.geomspace(1e-4, 1e4, 20_000)).astype(np.float32),
    "normal": RNG.normal(size=20_000).astype(np.float32),
    "rectified": np.maximum(RNG.normal(size=20_000), 0).astype(np.float32),
    "tiny": (RNG.normal(size=20_000) * 1e-25).astype(np.float32),
}


def streamed(values: Floats, size: int) -> Seen:
    found = Histogram()
    for start in range(0, len(values), size):
        found.add(values[start : start + size])
    return found.seen()


@pytest.mark.parametrize("kind", KINDS)
def test_counts_are_those_of_numpy_on_the_same_edges(kind: str) -> None:
    values = KINDS[kind]
    found = streamed(values, 100)
    edges = found.start + np.arange(len(found.counts) + 1) * found.width
    expected, _ = np.histogram(values.astype(np.float64), edges)
    np.testing.assert_array_equal(found.counts, expected)
    assert (found.low, found.high) == (values.min(), values.max())
    assert BINS // 2 <= len(found.counts) <= BINS


@pytest.mark.parametrize("kind", KINDS)
def test_result_does_not_depend_on_chunks_or_order(kind: str) -> None:
    values = KINDS[kind]
    whole = streamed(values, len(values))
    for other in (streamed(values, 7), streamed(values[::-1], 1000)):
        np.testing.assert_array_equal(other.counts, whole.counts)
        assert (other.start, other.width) == (whole.start, whole.width)


@pytest.mark.parametrize("kind", KINDS)
def test_every_value_is_near_the_centre_of_its_bin(kind: str) -> None:
    values = KINDS[kind].astype(np.float64)
    found = streamed(KINDS[kind], 500)
    bins = np.floor((values - found.start) / found.width).astype(int)
    bound = (found.high - found.low) / (BINS - 4)
    assert np.abs(values - found.centres[bins]).max() <= bound


@pytest.mark.parametrize("value", [90, 99, 99.9])
def test_percentiles_are_within_a_bin_of_numpy(value: float) -> None:
    values = KINDS["normal"][:19_997]  # no percentile falls between two samples
    found = streamed(values, 64)
    low, high = percentile(found, value)
    expected = np.percentile(values, [100 - value, value], method="inverted_cdf")
    assert np.abs(np.array([low, high]) - expected).max() <= found.width


@pytest.mark.parametrize("value", [0.0, 3.0, -1e-30])
def test_constant_is_one_bin(value: float) -> None:
    found = streamed(np.full(7, value, np.float32), 2)
    np.testing.assert_array_equal(found.counts, [7])
    assert found.centres == pytest.approx([value], rel=1e-6)


def test_values_that_float32_hardly_tells_apart_are_counted_apart() -> None:
    steps = np.float32(1) + np.arange(4, dtype=np.float32) * np.float32(2**-20)
    found = streamed(np.repeat(steps, [1, 2, 3, 4]), 1)
    np.testing.assert_array_equal(found.counts[found.counts > 0], [1, 2, 3, 4])


def test_memory_does_not_grow_with_the_range() -> None:
    found = Histogram()
    for exponent in range(-30, 30):
        found.add(np.array([-(10.0**exponent), 10.0**exponent], np.float32))
    seen = found.seen()
    assert len(seen.counts) <= BINS
    assert seen.counts.sum() == 120


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_remembered(bad: float) -> None:
    found = Histogram()
    found.add(np.array([1, 2], np.float32))
    found.add(np.array([1, bad], np.float32))
    found.add(np.array([3], np.float32))
    assert not found.finite


def test_nothing_is_added_by_an_empty_array() -> None:
    found = Histogram()
    found.add(np.zeros((0, 4), np.float32))
    found.add(np.array([2.0], np.float32))
    assert found.seen().counts.sum() == 1


def test_some_of_many_values_stand_for_all_and_extremes_are_exact() -> None:
    # Channels last: every 64th value is of a channel that no other is like.
    values = RNG.normal(size=(4000, 64)).astype(np.float32)
    values[:, 5] += 50
    values[1234, 7] = -99
    some, again, whole = Histogram(), Histogram(), Histogram()
    for found, most in ((some, 8192), (again, 8192), (whole, None)):
        found.add(values, most)
    few, everything = some.seen(), whole.seen()
    assert few.counts.sum() == 8192
    assert everything.counts.sum() == values.size
    np.testing.assert_array_equal(few.counts, again.seen().counts)
    assert (few.low, few.high) == (everything.low, everything.high) == (-99, values.max())
    large = few.counts[few.centres > 25].sum() / few.counts.sum()
    assert large == pytest.approx(1 / 64, rel=0.25)
    for found in (few, everything):
        assert found.counts[found.centres < 3].sum() / found.counts.sum() == pytest.approx(
            63 / 64 * 0.99865, abs=0.005
        )


def test_how_samples_are_cut_into_feeds_does_not_show_where_some_of_a_tensor_is_counted() -> None:
    graph, x = model([node("Neg", ["x"], ["y"])], {}, (200, 200)), floats(5, 200, 200)
    assert x[0].size > MOST_PER_SAMPLE
    first, *others = (
        observe(graph, ["y"], passes_of(graph, x, size), 5, histograms=True, tick=lambda n: None)[
            "y"
        ]
        for size in (1, 2, 5)
    )
    assert first.counts.sum() == 5 * MOST_PER_SAMPLE
    assert (first.low, first.high) == (-x.max(), -x.min())
    for other in others:
        np.testing.assert_array_equal(other.counts, first.counts)
