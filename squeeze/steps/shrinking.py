"""A student that is its teacher made smaller: fewer blocks, fewer channels, the teacher's weights to begin with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from squeeze import graph
from squeeze.net import FloatNet
from squeeze.seal import WEIGHTS
from squeeze.spec import ArchSpec
from squeeze.steps.answering import answered, untrainable
from squeeze.steps.planning import after_student, spared
from squeeze.steps.planning_graphs import recovery_plan, recovery_steps
from squeeze.steps.searching import costs_asked, wished
from squeeze.steps.shrinking_work import CHILD, LARGER_CHILD, SHRUNK, shrink, train_child
from squeeze.steps.training_on import LARGER, WARM_SHARE, Rounds, brought_inside, float_loss
from squeeze.steps.training_on import NAME as NAME_ON

if TYPE_CHECKING:
    from squeeze.budget import Ahead, Plan
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Front
    from squeeze.goal import Lost
    from squeeze.run import Run
    from squeeze.spec import Recipe
    from squeeze.workdir import Step

NAME = "shrink"
STEPS = "shrink.steps"


def made_smaller(run: Run, case: Case, device: Device, recipe: Recipe, front: Front) -> Step | None:
    """The step that made a child of the teacher that fits `device` and is worth its training; None, with the reason in
    the log, where there is none, or where the recipe leaves the choice and it begins too far from the teacher."""
    from squeeze.shrink import refusal

    base = front.candidates["kept-float"]
    several = len(case.interface.inputs) > 1
    why = "it has more than one input" if several else untrainable(case)
    example = case.data.feed(case.data.calibrate, 0, 2)
    why = why or refusal(graph.load(base.file), case.interface, example)
    if why:
        run.skip(NAME, f"the teacher cannot be made smaller: {why}")
        return None
    found = run.step(
        NAME,
        shrink,
        measured_on=device,
        base=base,
        case=case.blind(),
        part=wished(recipe, device),
        quantising=recipe.quant,
        goal=costs_asked(recipe.goal, front.beside_bytes),
        seed=run.seed,
        threads=run.threads,
    )
    if "digest" not in found.result:
        return None
    far = found.result["far"]
    if recipe.start == "auto" and far > recipe.shrink.farthest:
        run.skip(
            "distill-shrunk",
            f"untrained, the smaller teacher is {far:.0%} as far from the teacher as one constant answer (more than "
            f"{recipe.shrink.farthest:.0%}): a student that begins anew is trained",
        )
        return None
    return found


def shrunk(run: Run, case: Case, recipe: Recipe, front: Front, found: Step) -> FloatNet | None:
    """The child of that step, trained; None, with the reason in the log, where there is no time for it and the goal is
    met without."""
    child = FloatNet("shrunk", found.path / CHILD, found.result["digest"], case.interface)
    steps, ahead = recipe.shrink_steps, after_student(recipe)
    first = distilled_child(run, case, recipe, front, child, steps, STEPS, ahead)
    if first is None:
        return None
    return _inside(run, case, recipe, first, found)


def distilled_child(
    run: Run,
    case: Case,
    recipe: Recipe,
    front: Front,
    child: FloatNet,
    wanted: int,
    key: str,
    ahead: Ahead,
    among: int = 1,
) -> FloatNet | None:
    """A child of the teacher, trained for `wanted` steps, which `key` of the recipe says, or as many as there is time
    for; None, with the reason in the log, where there is none. ahead, among: as `planned` has them; where it is one of
    several, the goal can do without it."""
    name = child.step("distill")
    steps = recovery_steps(
        run,
        case,
        recipe,
        front,
        child,
        name,
        wanted,
        key,
        ahead=ahead,
        among=among,
        first=among == 1,
    )
    if steps is None:
        return None
    return _trained(run, case, recipe, child, steps, recipe.shrink.lr, name)


def _inside(run: Run, case: Case, recipe: Recipe, first: FloatNet, found: Step) -> FloatNet:
    """`first`, brought inside the goal as far as `--time` allows; `found` has the next larger child."""
    lr = WARM_SHARE * recipe.shrink.lr

    def lost(one: FloatNet) -> Lost:
        return float_loss(run, case, one)

    def plan(one: FloatNet, steps: int) -> Plan:
        return recovery_plan(run, case, recipe, one, NAME_ON, steps, STEPS, after_student(recipe))

    def train(one: FloatNet, steps: int) -> FloatNet:
        more = _trained(run, case, recipe, one, steps, lr, NAME_ON)
        return replace(more, story={**more.story, "steps": one.story["steps"] + steps})

    def larger() -> FloatNet | None:
        if "larger" not in found.result:
            run.skip(LARGER, "no larger child was measured inside the bounds")
            return None
        child = FloatNet(
            first.origin, found.path / LARGER_CHILD, found.result["larger"], case.interface
        )
        wanted = recipe.shrink_steps
        made = recovery_plan(run, case, recipe, child, LARGER, wanted, STEPS, after_student(recipe))
        if not (steps := spared(run, made, wanted)):
            return None
        return _trained(run, case, recipe, child, steps, recipe.shrink.lr, LARGER)

    rounds = Rounds(lost, plan, train, larger)
    return brought_inside(run, recipe.goal, first, recipe.shrink_steps, rounds)


def _trained(
    run: Run, case: Case, recipe: Recipe, child: FloatNet, steps: int, lr: float, name: str
) -> FloatNet:
    """The child after a step of training. Its key has no device: devices that pick one child share its training."""
    trained = run.step(
        name,
        train_child,
        child=child,
        case=case.blind(),
        steps=steps,
        lr=lr,
        distill=recipe.distill,
        answers=answered(run, case, recipe.distill),
        compute=run.compute,
        seed=run.seed,
        threads=run.threads,
    )
    return FloatNet(
        child.origin,
        trained.path / SHRUNK,
        trained.result["digest"],
        case.interface,
        arch=ArchSpec.model_validate(trained.result["arch"]),
        weights=trained.path / WEIGHTS,
        story={"training": trained.result["history"], "steps": steps},
    )
