"""Outputs that are scored as they come score as all of them together, and are not kept."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from squeeze.errors import ConfigError, MeasureError
from squeeze.metrics import METRICS, Reading, Scorer, interval, scores, scores_of

RNG = np.random.default_rng(0)
N = 30


def case(metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Outputs that the metric takes, and what they should be."""
    if metric == "f1_boxes":
        wanted = np.concatenate(
            [RNG.uniform(1, 60, (N, 4, 50)), RNG.uniform(0, 1, (N, 2, 50)) ** 9], axis=1
        )
        return wanted * RNG.uniform(0.9, 1, wanted.shape), wanted
    wanted = RNG.normal(size=(N, 5, 7))
    return wanted + RNG.normal(size=wanted.shape), wanted


SUMMED = sorted(n for n, m in METRICS.items() if m.sums is not None and m.labels == "plain")


def test_metrics_of_dense_outputs_are_summed() -> None:
    assert {"channel_error", "error", "f1_boxes", "miou", "edit_distance", "si_sdr"} <= set(SUMMED)


@pytest.mark.parametrize("metric", SUMMED)
def test_batches_score_as_all_samples_together(metric: str) -> None:
    outputs, wanted = case(metric)
    reading = (Reading("y", metric),)
    scorer = Scorer(reading, None, {"y": wanted})
    for start in (0, 1, 8, 20):
        stop = {0: 1, 1: 8, 8: 20, 20: N}[start]
        scorer.take({"y": outputs[start:stop]})
    (whole,) = scores(reading, {"y": outputs}, None, {"y": wanted})
    (found,) = scores_of(scorer)
    assert found.value == pytest.approx(whole.value)
    assert found.value == pytest.approx(METRICS[metric].fn(outputs, wanted))
    known = interval(reading[0], {"y": outputs}, None, {"y": wanted})
    assert scorer.intervals() == [pytest.approx(known)]
    assert known is not None
    assert known[0] <= found.value <= known[1]


def test_outputs_that_are_summed_are_not_kept() -> None:
    wanted = RNG.normal(size=(4, 3, 9))
    scorer = Scorer(
        (Reading("y", "channel_error"), Reading("z", "agreement")), None, {"y": wanted, "z": wanted}
    )
    batch = {"y": wanted[:2].copy(), "z": wanted[:2].copy()}
    summed, kept = weakref.ref(batch["y"]), weakref.ref(batch["z"])
    scorer.take(batch)
    del batch
    gc.collect()
    assert summed() is None
    assert kept() is not None


def test_batches_that_do_not_go_together_are_refused() -> None:
    wanted = RNG.normal(size=(4, 3))
    scorer = Scorer((Reading("y", "error"),), None, {"y": wanted})
    with pytest.raises(ConfigError, match="there are no samples"):
        scores_of(scorer)
    scorer.take({"y": wanted[:3]})
    with pytest.raises(ConfigError, match="3 outputs but 4 labels"):
        scores_of(scorer)
    scorer.take({"y": np.full((1, 3), np.nan)})
    with pytest.raises(MeasureError, match="output 'y': values of 1 of 4 samples are not finite"):
        scores_of(scorer)


def test_more_samples_than_wanted_are_refused() -> None:
    wanted = RNG.normal(size=(4, 3))
    scorer = Scorer((Reading("y", "error"),), None, {"y": wanted[:2]})
    scorer.take({"y": wanted})
    with pytest.raises(ConfigError, match="4 outputs but 2 labels"):
        scores_of(scorer)
