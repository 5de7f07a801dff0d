from __future__ import annotations

import pytest

from squeeze.report import axes


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 6, [0, 1, 2, 3, 4, 5, 6]),
        (-1.7, 0.1, [-1.5, -1.0, -0.5, 0.0]),
        (58, 98, [60, 70, 80, 90]),
        (0, 5300, [0, 1000, 2000, 3000, 4000, 5000]),
    ],
)
def test_ticks_are_round_numbers_inside_a_linear_axis(
    low: float, high: float, ticks: list[float]
) -> None:
    assert axes.Axis(low, high, 0, 1).ticks() == pytest.approx(ticks)


def test_ticks_of_a_log_axis_are_one_two_and_five() -> None:
    assert axes.Axis(1.5, 60, 0, 1, log=True).ticks() == pytest.approx([2, 5, 10, 20, 50])


def test_log_axis_puts_the_geometric_mean_in_the_middle() -> None:
    assert axes.Axis(1, 100, 50, 250, log=True).at(10) == pytest.approx(150)


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [-3.0]])
def test_axis_around_equal_values_has_a_width(values: list[float]) -> None:
    axis = axes.upwards(values)
    assert axis.low < values[0] < axis.high
    assert axes.TOP < axis.at(values[0]) < axes.HEIGHT - axes.BOTTOM
