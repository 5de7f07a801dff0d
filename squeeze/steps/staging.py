"""A part of a weight-sharing network that is trained in stages, of which each goes on from the one before.

Liu et al., "ERNIE-Tiny: A Progressive Distillation Framework for Pretrained Transformer Compression", 2021: general
texts and the pretrained teacher, the fine-tuned one, texts of the task, at last its answers and the labels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from squeeze.budget import Ahead
from squeeze.calib.extra import extra_samples, own_samples
from squeeze.steps.inheriting_work import Kept, keep_states
from squeeze.steps.planning import after_student, planned, spared
from squeeze.steps.sharing import further_trained
from squeeze.steps.staging_work import plan_stage, train_stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.case import Case
    from squeeze.run import Run
    from squeeze.spec import Recipe, Stage
    from squeeze.students.encoder import Params

Json = dict[str, Any]  # Any: JSON

_CUT = "cut"
# What decides the network and no stage of a part of it.
_ELSEWHERE: Json = {
    "space": "auto",
    "networks": 0,
    "steps": 1,
    "further": 0,
    "between": 0,
    "mixed": 0.0,
}


@dataclass(frozen=True)
class Alone:
    """A part that was trained alone: the step with its weights, the history of all its training, and its steps."""

    trained: Kept
    history: list[Json]
    steps: int


def trained_in_stages(
    run: Run, case: Case, recipe: Recipe, inherited: Kept, network: Kept, child: Params
) -> Alone:
    """The part `child` of `network` after all stages of the recipe that there is a teacher for, a step each; without
    those that there is no time for."""
    uncut = recipe.supernet.model_copy(update={"further": 0})
    last = further_trained(run, case, inherited, network, child, uncut, name=_CUT)
    history: list[Json] = []
    done = 0
    stages = staged(recipe.stages, pretrained=run.pretrained is not None)
    for place, stage in enumerate(stages, 1):
        ahead = Ahead(sure=steps_of(stages[place:])) + after_student(recipe)
        trained = _stage_trained(run, case, recipe, inherited, stage, last, child, ahead)
        if trained is None:
            continue
        last, steps = trained
        history += [{**entry, "step": done + entry["step"]} for entry in last.result["history"]]
        done += steps
    return Alone(last, history, done)


def staged(stages: Sequence[Stage], *, pretrained: bool) -> list[Stage]:
    """Those that there is a teacher for."""
    return [stage for stage in stages if pretrained or stage.teacher != "pretrained"]


def steps_of(stages: Sequence[Stage]) -> int:
    """Of all of them together."""
    return sum(stage.steps for stage in stages)


def _stage_trained(
    run: Run,
    case: Case,
    recipe: Recipe,
    inherited: Kept,
    stage: Stage,
    before: Kept,
    child: Params,
    ahead: Ahead,
) -> tuple[Kept, int] | None:
    """The step of one stage, which goes on from the weights of `before`, and its steps; None, with the reason in the
    log, where there is no time for it. ahead: what follows."""
    teacher = inherited
    if stage.teacher == "pretrained":
        assert run.pretrained is not None  # of such stages none is left without
        teacher = run.pretrained
    blind = case.blind()
    some = extra_samples if stage.data == "general" else own_samples
    blind = replace(blind, data=some(blind.data))
    told = run.step("told", keep_states, case=blind, inherited=teacher, threads=run.threads)
    name = stage.name
    assert name is not None  # recipes have no others
    given: Json = {
        "case": blind,
        "teacher": teacher,
        "told": told,
        "before": before,
        "child": child,
        "part": recipe.supernet.model_copy(update=_ELSEWHERE),
        "label_weight": recipe.distill.label_weight if stage.loss == "answers" else 0.0,
        "compute": run.compute,
        "seed": run.seed,
        "threads": run.threads,
    }
    if run.budget is not None:
        made = planned(run, plan_stage, name, ahead=ahead, stage=stage, **given)
        if not (steps := spared(run, made, stage.steps)):
            return None
        stage = stage.model_copy(update={"steps": steps})
    return run.step(name, train_stage, stage=stage, **given), stage.steps
