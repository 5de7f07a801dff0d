"""Two models side by side: their ratio, its spread and both latencies, all from the same rounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from squeeze.measure.rounds import Latency

# Ratios of one call's rounds, p90 to p10. Wider, and a second call would give another ratio.
WIDEST_SPREAD = 1.5


@dataclass(frozen=True)
class Comparison:
    """How many times `model` takes what `against` takes: the median round, and the edges of eight rounds in ten.

    The latencies are the median rounds of each. steady: made on a calm machine, with rounds that agree; only such a
    comparison is worth remembering. what: is compared, a latency of class `source` or what else a device is judged by.
    """

    ratio: float
    ratio_p10: float
    ratio_p90: float
    model_p50_ms: float
    against_p50_ms: float
    rounds: int
    steady: bool
    what: str = "latency"
    source: str = "measured"

    def said(self, against: str) -> str:
        """'1.8x the speed of the teacher', of a time that is not measured with its class; else the share of what is
        compared: '0.56x the memory traffic of the teacher'."""
        if self.what != "latency":
            return f"{self.ratio:.2f}x the {self.what} of {against}"
        speed = f"{1 / self.ratio:.1f}x the speed of {against}"
        return speed if self.source == "measured" else f"{speed} ({self.source})"

    @property
    def spread(self) -> float:
        """p90 of the ratio as a multiple of its p10."""
        return self.ratio_p90 / self.ratio_p10

    @property
    def inverse(self) -> Comparison:
        """The same rounds the other way round."""
        return Comparison(
            1 / self.ratio,
            1 / self.ratio_p90,
            1 / self.ratio_p10,
            self.against_p50_ms,
            self.model_p50_ms,
            self.rounds,
            self.steady,
            self.what,
            self.source,
        )


def compared(model: Latency, against: Latency) -> Comparison:
    """Compares two latencies of one call, round by round. Raises ValueError for those of two different calls."""
    if len(model.rounds_ms) != len(against.rounds_ms):
        raise ValueError("compared: the two latencies come from different calls")
    ratios = np.asarray(model.rounds_ms) / np.asarray(against.rounds_ms)
    p10, p50, p90 = (float(p) for p in np.percentile(ratios, [10, 50, 90]))
    return Comparison(
        ratio=p50,
        ratio_p10=p10,
        ratio_p90=p90,
        model_p50_ms=float(np.median(model.rounds_ms)),
        against_p50_ms=float(np.median(against.rounds_ms)),
        rounds=len(ratios),
        steady=model.calm and against.calm and p90 <= WIDEST_SPREAD * p10,
    )


def decided(taken: Mapping[str, Latency], undecided: tuple[float, float]) -> bool:
    """Whether the rounds of two models say of their ratio that it is below the range `undecided`, or that it is above:
    more rounds would say so too, also on a machine that is busy.

    All of at least five have to, or all but one of nine, but two of thirteen, and so on: a sign test, in which each of
    these is as unlikely as five of five (1 in 32) or less where the median is on the other side.
    """
    model, against = taken.values()
    ratios = np.asarray(model.rounds_ms) / np.asarray(against.rounds_ms)
    low, high = undecided
    most = max(0, len(ratios) - 5) // 4
    return bool((ratios >= low).sum() <= most or (ratios <= high).sum() <= most)


def comparisons(taken: Mapping[str, Latency], model: str) -> dict[str, Comparison]:
    """`model` against each of the models of one call, itself included, for a table in which all numbers belong
    together: with the teacher as `model`, each ratio is how many times faster than the teacher one is."""
    return {name: compared(taken[model], one) for name, one in taken.items()}


def unsteadiness(taken: Mapping[str, Latency]) -> float:
    """How far models of one call are from a steady comparison with the first: 0 when all are steady, else the widest
    spread, and infinite on a machine that was not calm."""
    if not all(one.calm for one in taken.values()):
        return math.inf
    found = comparisons(taken, next(iter(taken))).values()
    return 0.0 if all(one.steady for one in found) else max(one.spread for one in found)
