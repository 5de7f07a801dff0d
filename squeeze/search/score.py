"""The combined score of candidates: ranks over everything evaluated so far, of the proxy and of the size baselines.

Training-free scores say little more than size does, so size is part of the score and Kendall's tau between them is
reported. Ranks, because their scales have nothing in common.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from squeeze import students
from squeeze.search.proxies import PROXIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.search.genome import Space
    from squeeze.search.panel import Panel
    from squeeze.spec import ArchSpec, Objective
    from squeeze.students import ArchCost
    from squeeze.students.family import Genome

BASELINES = ("depth", "macs", "params")
# Weights of the proxy, then of BASELINES. Inside a byte limit work is free, inside a latency limit bytes are.
WEIGHTS: dict[Objective, tuple[float, float, float, float]] = {
    "balanced": (0.2, 0.2, 0.25, 0.35),
    "fastest": (0.2, 0.2, 0.15, 0.45),
    "smallest": (0.2, 0.3, 0.3, 0.2),
}
# Sizes within this factor rank as equal: near a limit all candidates are of one size.
SAME_SIZE = 1.1
# What a family loses for each place that it stands behind the likeliest one.
FAMILY_PENALTY = 0.1


@dataclass(frozen=True)
class Candidate:
    """An evaluated architecture. estimate_ratio: guessed latency as a share of the teacher's; values: by proxy name."""

    space: Space
    genome: Genome
    arch: ArchSpec
    cost: ArchCost
    bytes: int
    estimate_ratio: float
    place: int
    values: dict[str, float]


def values_of(arch: ArchSpec, panels: Sequence[Panel], proxy: str, seed: int) -> dict[str, float]:
    """The proxy, averaged over panels with other initial weights for each, and the baselines."""
    found: dict[str, list[float]] = {}
    student = students.build(arch, seed=seed)
    for turn, panel in enumerate(panels):
        if turn:
            students.initialise(student, seed + turn)
        for name in dict.fromkeys((proxy, *BASELINES)):
            found.setdefault(name, []).append(PROXIES[name](student, panel))
    return {name: math.fsum(v) / len(v) for name, v in found.items()}


def combined(history: Sequence[Candidate], proxy: str, objective: Objective) -> list[float]:
    """A score for each candidate, higher is better: weighted ranks from 0 to 1, less the penalty of its family."""
    totals = [-FAMILY_PENALTY * c.place for c in history]
    for name, weight in zip((proxy, *BASELINES), WEIGHTS[objective], strict=True):
        values = [c.values[name] for c in history]
        if name in BASELINES:
            values = [round(math.log(max(v, 1), SAME_SIZE)) for v in values]
        for i, rank in enumerate(ranks(values)):
            totals[i] += weight * rank
    return totals


def ranks(values: Sequence[float]) -> list[float]:
    """0 for the lowest, 1 for the highest, ties in the middle of their places."""
    from scipy.stats import rankdata  # type: ignore[import-untyped]

    return [(float(rank) - 1) / max(1, len(values) - 1) for rank in rankdata(values)]


def kendall_tau(one: Sequence[float], two: Sequence[float]) -> float | None:
    """Kendall's tau-b of two orders; None when one of them is constant."""
    from scipy.stats import kendalltau

    if len(set(one)) < 2 or len(set(two)) < 2:
        return None
    return float(kendalltau(one, two).statistic)


def taus(history: Sequence[Candidate], proxy: str) -> dict[str, float | None]:
    """Kendall's tau of each pair among the proxy and the baselines, over everything evaluated."""
    names = list(dict.fromkeys((proxy, *BASELINES)))
    return {
        f"{a}~{b}": kendall_tau([c.values[a] for c in history], [c.values[b] for c in history])
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    }
