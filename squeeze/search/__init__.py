"""Search without training: which student is worth its training, for this teacher, data and budget.

Candidates are scored untrained, the best at several sizes are exported, quantised and timed, and the best-scored
one that is fast enough is the pick. Deterministic for a seed; only measured times can differ between two searches.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import torch

from squeeze import students
from squeeze.errors import ConfigError, unknown
from squeeze.search import estimate, panel, shortlist
from squeeze.search.bounds import Bounds, bounds_of
from squeeze.search.evolve import LEVEL_STEP, Evolution
from squeeze.search.gap import Gap
from squeeze.search.genome import space_of
from squeeze.search.proxies import PROXIES
from squeeze.search.result import Json, SearchResult
from squeeze.search.score import taus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from squeeze.calib import Calib
    from squeeze.progress import Progress
    from squeeze.search.score import Candidate
    from squeeze.spec import ArchSpec, Goal, SearchPart
    from squeeze.teacher import Teacher

# Scoring one candidate may cost this much work, a tenth of a second; fewer samples are looked at when they are large.
_SCORING_MACS = 4_000_000_000
_LEAST_SAMPLES = 16
# Levels of the second evolution, when everything measured was too slow.
_LOWER_LEVELS = 3


def search(
    teacher: Teacher,
    calib: Calib,
    part: SearchPart,
    goal: Goal,
    *,
    seed: int,
    measure_latency: Callable[[list[ArchSpec]], list[float]],
    teacher_latency_ms: float,
    progress: Progress,
    alignment: int = 1,
) -> SearchResult:
    """Picks the student for `teacher` under `goal`, with at most `part.evaluations` scored and `part.measured` timed.

    measure_latency: latency of each architecture, exported and quantised, as a share of the teacher's; infinite for one
    that the device cannot take. alignment: numbers of channels are multiples of it.
    The result's arch is None, with the reason, when no family fits or even the smallest is beyond a limit.
    Raises ConfigError for an unknown proxy or family.
    """
    if part.proxy not in PROXIES:
        raise ConfigError(unknown("search.proxy", part.proxy, PROXIES))
    families = students.fitting(teacher, calib, part.families)
    bounds = bounds_of(teacher, part, goal, teacher_latency_ms)
    if part.evaluations == 0 or not families:
        why = "no evaluations are allowed" if families else _no_family(teacher, calib, part)
        return _nothing(f"the teacher's architecture is kept: {why}", bounds)
    spec = students.spec_of(teacher, calib)
    rng = random.Random(seed)
    factor = estimate.machine_factor(teacher, teacher_latency_ms)
    evolution = Evolution(
        spaces=[
            tuple(
                space_of(family, spec, coarse=coarse, alignment=alignment)
                for coarse in (False, True)
            )
            for family in families
        ],
        panels=panel.draw(
            teacher,
            calib,
            min(part.batch_size, max(_LEAST_SAMPLES, _SCORING_MACS // bounds.macs)),
            rng=rng,
            threads=torch.get_num_threads(),
        ),
        bounds=bounds,
        part=part,
        objective=goal.objective,
        ms_to_ratio=factor / teacher_latency_ms,
        rng=rng,
        seed=seed,
        progress=progress,
    )
    levels = evolution.levels()
    if levels:
        evolution.run(levels, part.evaluations)
    if not evolution.history:
        limits = f"{bounds.bytes:,} bytes, {bounds.params:,} parameters, {bounds.macs:,} MACs"
        return _nothing(
            f"the teacher's architecture is kept: not even the smallest {' or '.join(families)} is inside {limits}",
            bounds,
        )
    measured = _measure(evolution, part, measure_latency)
    if not measured:
        return _nothing(
            "the teacher's architecture is kept: the device takes none of the candidates that were tried there",
            bounds,
        )
    return _result(evolution, teacher, measured)


def _measure(
    evolution: Evolution,
    part: SearchPart,
    measure_latency: Callable[[list[ArchSpec]], list[float]],
) -> dict[int, float]:
    """Measured latency ratios by index into the history, `part.measured` at most."""
    history, bound = evolution.history, evolution.bounds.latency_ratio
    measured: dict[int, float] = {}
    asked: list[int] = []

    def measure(chosen: Sequence[int]) -> None:
        if chosen:
            ratios = measure_latency([history[i].arch for i in chosen])
            asked.extend(chosen)
            measured.update({i: r for i, r in zip(chosen, ratios, strict=True) if math.isfinite(r)})

    listed = shortlist.best_by_cost(history, evolution.scores())
    measure(shortlist.first_batch(history, listed, bound, -(-part.measured // 2)))
    if not measured:  # the device takes none of these: what is left are the lowest
        rest = [i for i in reversed(listed) if i not in asked]
        measure(rest[: part.measured - len(asked)])
        return measured
    left = part.measured - len(asked)
    guess = shortlist.corrected(history, measured)
    if left and all(guess(history[i]) > bound for i in listed):
        # Levels on a fixed grid: small differences in measured times must not change what is evolved.
        lowest = history[listed[-1]]
        level = lowest.estimate_ratio
        while level * guess(lowest) / lowest.estimate_ratio > bound:
            level /= LEVEL_STEP
        lower = [level / LEVEL_STEP**k for k in range(_LOWER_LEVELS)]
        evolution.run(lower, max(_LOWER_LEVELS, part.evaluations // 4))
        listed = shortlist.best_by_cost(history, evolution.scores())
    measure(shortlist.second_batch(history, listed, measured, bound, left))
    return measured


def _result(evolution: Evolution, teacher: Teacher, measured: dict[int, float]) -> SearchResult:
    history, scores, bounds = evolution.history, evolution.scores(), evolution.bounds
    front = set(shortlist.best_by_cost(history, scores))
    picked = shortlist.pick(scores, measured, bounds.latency_ratio, demanded=bounds.demanded)
    order = sorted(range(len(history)), key=lambda i: -scores[i])
    return SearchResult(
        arch=history[picked].arch,
        reason=_reason(history[picked], measured, picked, bounds, teacher, len(history)),
        candidates=[
            _describe(history[i], scores[i], measured.get(i), i in front, i == picked)
            for i in order
        ],
        evaluated=len(history),
        taus=taus(history, evolution.part.proxy),
        bounds=bounds.numbers(),
    )


def _describe(
    candidate: Candidate, score: float, ratio: float | None, on_front: bool, picked: bool
) -> Json:
    return {
        "family": candidate.arch.family,
        "params": candidate.arch.params,
        "score": score,
        "values": candidate.values,
        "parameters": candidate.cost.params,
        "macs": candidate.cost.macs,
        "estimate_bytes": candidate.bytes,
        "estimate_ratio": candidate.estimate_ratio,
        "measured_ratio": ratio,
        "on_front": on_front,
        "picked": picked,
    }


def _reason(
    picked: Candidate,
    measured: dict[int, float],
    index: int,
    bounds: Bounds,
    teacher: Teacher,
    evaluated: int,
) -> str:
    ratio, bound = measured[index], bounds.latency_ratio
    inside = sum(r <= bound for r in measured.values())
    cost = picked.cost
    what = (
        f"{picked.arch.family} with {cost.params / 1e3:,.0f} k parameters, {cost.macs / 1e6:,.1f} MMACs, "
        f"about {picked.bytes / 1e3:,.0f} KB (estimate)"
    )
    counts = f"(measured {ratio:.1%}), {evaluated} scored, {len(measured)} measured"
    if not inside:
        why = (
            f"the fastest of {len(measured)} measured, at {ratio:.1%} of the teacher's latency; "
            f"none reached {bound:.1%}"
        )
    elif bounds.demanded:
        why = f"the best score of {inside} inside {bound:.1%} of the teacher's latency {counts}"
    else:
        why = f"the nearest to {bound:.1%} of the teacher's latency {counts}"
    if (gap := Gap.between(teacher, cost)).wide:
        why += f"; {gap.words()}"
    return f"{what}: {why}"


def _no_family(teacher: Teacher, calib: Calib, part: SearchPart) -> str:
    shape = "x".join(map(str, teacher.input.shape))
    known = ", ".join(part.families or students.FAMILIES)
    return (
        f"no family of {known} fits {calib.modality} input {shape} ({teacher.input.dtype}) "
        f"with output rank {len(teacher.output.shape) + 1}"
    )


def _nothing(reason: str, bounds: Bounds) -> SearchResult:
    return SearchResult(None, reason, [], 0, {}, bounds.numbers())


__all__ = ["SearchResult", "search"]
