"""The work of a plan: some steps of a training are timed on its own data, and what they say is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze import budget, graph
from squeeze.errors import UnsupportedError
from squeeze.note import Note
from squeeze.steps.training import settings, source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squeeze.budget import Left, Pace, Plan
    from squeeze.calib import Calib
    from squeeze.case import Case
    from squeeze.front import Candidate
    from squeeze.net import FloatNet
    from squeeze.run import At
    from squeeze.spec import ArchSpec, DistillPart, QuantPart
    from squeeze.train import Compute
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON

# A step at quantised weights on a CPU, about, in steps of a student in float. Only what is kept for such trainings goes
# by it; when one comes, it is measured.
_QUANTISED = 5.0


def plan_student(
    at: At,
    *,
    left: Left,
    answers: Step,
    arch: ArchSpec,
    data: Calib,
    part: DistillPart,
    training: str,
    later: int,
    certain: bool,
    compute: Compute,
    seed: int,
    threads: int,
    before: Step | None = None,
    following: int = 0,
) -> Json:
    """Measures some steps of the student's training, and says how many it gets. later: steps at quantised weights;
    following: trainings of as many steps that come after it, of networks no larger; before: tells the plan of one
    training that goes on from that of another, and is as fast."""
    from squeeze.train.student import pace_of_student

    pace = pace_of_student(
        arch, data, part, answers=answers.path, seed=seed, threads=threads, compute=compute
    )
    later_s = _QUANTISED * later * pace.step_s + following * pace.seconds(part.steps)
    return _told(
        budget.plan(
            training, "distill.steps", part.steps, pace, left, later_s=later_s, certain=certain
        )
    )


def plan_recovery(
    at: At,
    *,
    left: Left,
    net: FloatNet | Candidate,
    case: Case,
    training: str,
    wanted: int,
    recipe_key: str,
    times: int,
    distill: DistillPart,
    answers: Step,
    later: int,
    certain: bool,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """The same for a float graph that is distilled."""
    from squeeze.train.quantised.settings import Settings

    # The rate decides nothing of how fast it goes.
    steps = Settings(wanted, 1e-3, distill.batch_size)
    pace = _pace(net, None, steps, case, distill, answers, compute, seed, threads)
    later_s = _QUANTISED * later * pace.step_s
    return _told(
        budget.plan(
            training, recipe_key, wanted, pace, left, times=times, later_s=later_s, certain=certain
        )
    )


def plan_rung(
    at: At,
    *,
    left: Left,
    base: Candidate,
    case: Case,
    training: str,
    bits: Mapping[str, int],
    times: int,
    part: QuantPart,
    distill: DistillPart,
    answers: Step,
    activations: str,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """The same for a training at quantised weights."""
    wanted = settings(part, distill, activations)
    try:
        pace = _pace(base, dict(bits), wanted, case, distill, answers, compute, seed, threads)
    except UnsupportedError as e:  # then the training says so, too
        return {"summary": f"{training}: nothing to plan: {e}"}
    return _told(budget.plan(training, "quant.steps", part.steps, pace, left, times=times))


def _pace(
    net: FloatNet | Candidate,
    bits: dict[str, int] | None,
    wanted: Any,  # Any: train.quantised.settings.Settings, which torch comes with
    case: Case,
    distill: DistillPart,
    answers: Step,
    compute: Compute,
    seed: int,
    threads: int,
) -> Pace:
    from squeeze.train.quantised.quantise import pace_of_quantised

    return pace_of_quantised(
        graph.load(net.file),
        bits,
        wanted,
        source(distill, case, answers.path, seed),
        compute=compute,
        threads=threads,
    )


def _told(made: Plan) -> Json:
    note = Note(made.key, not made.cut, made.words(), made.to_json())
    return {"summary": made.words(), "plan": made.to_json(), "tried": [note.to_json()]}
