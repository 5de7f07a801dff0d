"""Plans of networks that are given as graphs: pruned, made smaller, pieced together; in float or at few bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze import budget, graph
from squeeze.budget import Ahead
from squeeze.errors import UnsupportedError
from squeeze.steps.answering import answered
from squeeze.steps.planning import agreed, planned, recorded, too_short, untimed
from squeeze.steps.training import settings, source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squeeze.budget import Left, Pace, Plan
    from squeeze.case import Case
    from squeeze.front import Candidate, Front
    from squeeze.net import FloatNet
    from squeeze.run import At, Run
    from squeeze.spec import DistillPart, QuantPart, Recipe
    from squeeze.train import Compute
    from squeeze.train.quantised.settings import Settings
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON


def recovery_steps(
    run: Run,
    case: Case,
    recipe: Recipe,
    front: Front,
    net: FloatNet | Candidate,
    training: str,
    wanted: int,
    key: str,
    *,
    ahead: Ahead,
    times: int = 1,
    among: int = 1,
    first: bool = True,
) -> int | None:
    """The steps of a float graph's distillation, of `times` that are alike; None as `agreed`. `key`: of the recipe,
    that says how many are wanted."""
    if run.budget is None or not wanted:
        return wanted
    made = recovery_plan(run, case, recipe, net, training, wanted, key, ahead, times, among)
    return agreed(run, made, wanted, front, first=first)


def recovery_plan(
    run: Run,
    case: Case,
    recipe: Recipe,
    net: FloatNet | Candidate,
    training: str,
    wanted: int,
    key: str,
    ahead: Ahead,
    times: int = 1,
    among: int = 1,
) -> Plan:
    """The plan of a float graph's distillation, of `times` that are alike."""
    found = planned(
        run,
        plan_recovery,
        training,
        ahead=ahead,
        among=among,
        net=net,
        case=case.blind(),
        wanted=wanted,
        recipe_key=key,
        times=times,
        distill=recipe.distill,
        answers=answered(run, case, recipe.distill),
    )
    assert found is not None  # what can be trained can be timed
    return found


def rung_part(
    run: Run,
    case: Case,
    recipe: Recipe,
    base: Candidate,
    label: str,
    bits: Mapping[str, int],
    times: int,
    activations: str,
) -> QuantPart | None:
    """How a rung is trained, of `times` that may be; None, with the reason in the log, where there is no time."""
    part = recipe.quant
    if run.budget is None:
        return part
    made = planned(
        run,
        plan_rung,
        label,
        ahead=Ahead(),
        base=base,
        case=case.blind(),
        bits=bits,
        times=times,
        part=part,
        distill=recipe.distill,
        answers=answered(run, case, recipe.distill),
        activations=activations,
    )
    if made is None:
        return part
    if not made.steps:
        run.skip(label, too_short(made))
        return None
    return part.model_copy(update={"steps": made.steps})


def plan_recovery(
    at: At,
    *,
    left: Left,
    ahead: Ahead,
    net: FloatNet | Candidate,
    case: Case,
    training: str,
    wanted: int,
    recipe_key: str,
    times: int,
    distill: DistillPart,
    answers: Step,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """Measures some steps of a float graph's distillation, and says how many it gets."""
    pace = pace_of_graph(
        net, wanted, case, distill, answers, compute=compute, seed=seed, threads=threads
    )
    made = budget.plan(
        training,
        recipe_key,
        wanted,
        pace,
        left,
        times=times,
        later_s=ahead.sure * pace.step_s,
        maybe_s=ahead.maybe * pace.step_s,
    )
    return recorded(made)


def plan_rung(
    at: At,
    *,
    left: Left,
    ahead: Ahead,
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
    """The same for a training at quantised weights, which nothing follows."""
    wanted = settings(part, distill, activations)
    try:
        pace = _pace(base, dict(bits), wanted, case, distill, answers, compute, seed, threads)
    except UnsupportedError as e:  # then the training says so, too
        return untimed(training, e)
    return recorded(budget.plan(training, "quant.steps", part.steps, pace, left, times=times))


def pace_of_graph(
    net: FloatNet | Candidate,
    steps: int,
    case: Case,
    distill: DistillPart,
    answers: Step,
    *,
    compute: Compute,
    seed: int,
    threads: int,
) -> Pace:
    """How fast a float graph is distilled."""
    from squeeze.train.quantised.settings import Settings

    # The rate decides nothing of how fast it goes.
    wanted = Settings(steps, 1e-3, distill.batch_size)
    return _pace(net, None, wanted, case, distill, answers, compute, seed, threads)


def _pace(
    net: FloatNet | Candidate,
    bits: dict[str, int] | None,
    wanted: Settings,
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
