from __future__ import annotations

import numpy as np
import pytest

from benchmarks.rounds import faster, geomean, per_layer


def test_what_a_run_costs_by_itself_cancels_in_the_time_of_a_layer() -> None:
    overhead, layer = np.array([5.0, 7.0]), np.array([2.0, 3.0])
    assert per_layer(overhead + 11 * layer, overhead + 3 * layer, 8).tolist() == [2.0, 3.0]


def test_ratio_is_that_of_medians_and_its_spread_the_quartiles_of_paired_rounds() -> None:
    ours, theirs = np.array([1.0, 2.0, 10.0]), np.array([4.0, 8.0, 10.0])
    won = faster(ours, theirs)
    assert won.ratio == pytest.approx(8 / 2)
    # The rounds give 4, 4 and 1.
    assert (won.low, won.high) == (pytest.approx(np.exp(np.log(4) / 2)), pytest.approx(4))


def test_geomean_of_two_and_eight_times_faster_is_four() -> None:
    ours = [np.full(5, 1.0), np.full(5, 3.0)]
    won = geomean(ours, [np.full(5, 2.0), np.full(5, 24.0)])
    assert (won.ratio, won.low, won.high) == pytest.approx((4, 4, 4))


def test_a_round_whose_difference_fell_to_zero_does_not_break_the_spread() -> None:
    won = geomean(
        [np.array([1.0, -0.1, 1.0]), np.array([1.0, 1.0, 1.0])],
        [np.array([2.0, 2.0, 2.0]), np.array([2.0, 2.0, 2.0])],
    )
    assert (won.ratio, won.low, won.high) == pytest.approx((2, 2, 2))
