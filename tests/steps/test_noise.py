"""What the evaluate split can tell; intervals of shares are Wilson's, worked out by hand."""

from __future__ import annotations

import pytest

from squeeze.spec import Goal, Measurement, OutputScore
from squeeze.steps.noise import few_judge, undecided

GOAL = Goal(max_drop=1.0)


def share(hits: int, samples: int, metric: str, interval: tuple[float, float]) -> OutputScore:
    return OutputScore(output="y", metric=metric, value=100 * hits / samples, interval=interval)


# Wilson: n/n gives [n / (n + z^2), 1], z^2 = 3.8415.
ALL_OF_12 = share(12, 12, "agreement", (75.75, 100.0))
ALL_OF_51 = share(51, 51, "agreement", (93.00, 100.0))
ALL_OF_100 = share(100, 100, "agreement", (96.30, 100.0))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (ALL_OF_12, share(11, 12, "agreement", (64.61, 98.51)), False),
        (ALL_OF_51, share(50, 51, "agreement", (89.70, 99.65)), True),
        (ALL_OF_100, share(96, 100, "agreement", (90.16, 98.43)), False),
        (ALL_OF_100, ALL_OF_100, True),
    ],
)
def test_teacher_has_no_noise_against_itself(
    before: OutputScore, after: OutputScore, expected: bool
) -> None:
    # Labels beside a metric that does not read them change nothing.
    for labelled in (False, True):
        assert undecided(GOAL, [before], [after], labelled=labelled) is expected


def test_loss_without_an_interval_is_a_loss() -> None:
    after = OutputScore(output="y", metric="agreement", value=90.0)
    assert not undecided(GOAL, [ALL_OF_100], [after], labelled=False)


def test_errors_are_in_doubt_where_their_lower_end_is_allowed() -> None:
    exact = OutputScore(output="y", metric="error", value=0.0, interval=(0.0, 0.0))
    for low, expected in ((0.0, True), (40.0, False)):
        after = OutputScore(output="y", metric="error", value=50.0, interval=(low, 60.0))
        assert undecided(GOAL, [exact], [after], labelled=False) is expected


def test_one_output_that_loses_beyond_doubt_is_enough() -> None:
    lost = share(88, 100, "agreement", (80.19, 93.00))
    assert not undecided(GOAL, [ALL_OF_51, ALL_OF_100], [ALL_OF_51, lost], labelled=False)


def test_labels_are_as_uncertain_for_the_teacher() -> None:
    before = share(49, 51, "top1", (86.79, 98.92))
    after = share(48, 51, "top1", (84.08, 97.98))
    assert undecided(GOAL, [before], [after], labelled=True)
    apart = share(30, 51, "top1", (45.17, 71.24))
    assert not undecided(GOAL, [before], [apart], labelled=True)


@pytest.mark.parametrize(
    ("samples", "labelled", "interval", "said"),
    [
        (
            2,
            True,
            (34.24, 100.0),
            "2 samples judge: the 95 % interval of the shipped file is 34.24 % top-1 to 100.00 % top-1",
        ),
        (1, True, (20.65, 100.0), "only 1 sample judges: the 95 %"),
        (99, True, None, "99 samples judge: how uncertain the loss is, is not known"),
        (100, True, (96.3, 100.0), None),
        (2, False, (34.24, 100.0), None),
    ],
)
def test_few_samples_with_labels_are_told_with_their_interval(
    samples: int, labelled: bool, interval: tuple[float, float] | None, said: str | None
) -> None:
    known = {"metric": 100.0, "metric_name": "top1", "n": samples, "interval": interval}
    found = few_judge(Measurement.model_construct(**known), labelled=labelled)
    assert found is None if said is None else said in str(found)
