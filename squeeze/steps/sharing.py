"""The steps of one network that devices share: the teacher's own weights, the network, its parts, one of them alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from squeeze.errors import UnsupportedError
from squeeze.steps.inheriting_work import Kept, inherit, keep_states, score_parts
from squeeze.steps.planning import agreed, planned, spared
from squeeze.steps.sharing_work import plan_further, plan_supernet, train_further, train_supernet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.budget import Ahead
    from squeeze.case import Case
    from squeeze.front import Front
    from squeeze.run import Run
    from squeeze.spec import SupernetPart
    from squeeze.students.encoder import Params
    from squeeze.train.supernet.space import Name

Json = dict[str, Any]  # Any: JSON

# What comes after a network, or decided for it, decides nothing of it: with another `further` it is found trained.
APART: Json = {"space": "auto", "further": 0, "networks": 0}


def shared_network(
    run: Run, case: Case, inherited: Kept, part: SupernetPart, space: Name
) -> tuple[Kept, Kept]:
    """The steps with the weights of the network of a space, and with the loss of each of its parts."""
    learning = _learning(run, case, inherited, part.model_copy(update=APART))
    trained = run.step("supernet", train_supernet, space=space, **learning)
    children = parts_of(space, inherited)
    scored = run.step(
        "parts", score_parts, trained=trained, children=children, proxies=False, **learning
    )
    return trained, scored


def network_part(
    run: Run,
    case: Case,
    inherited: Kept,
    part: SupernetPart,
    space: Name,
    ahead: Ahead,
    front: Front,
) -> SupernetPart | None:
    """How the network of a space is trained; None as `agreed`. ahead: what follows, in steps of one part alone."""
    if run.budget is None:
        return part
    learning = _learning(run, case, inherited, part.model_copy(update=APART))
    made = planned(run, plan_supernet, "supernet", ahead=ahead, space=space, **learning)
    steps = agreed(run, made, part.steps, front)
    return None if steps is None else part.model_copy(update={"steps": steps})


def untrained_parts(
    run: Run,
    case: Case,
    inherited: Kept,
    part: SupernetPart,
    children: Sequence[Params],
    *,
    proxies: bool,
) -> Kept:
    """The step with the loss of parts as they are cut out of the teacher: nothing is trained for it. proxies: and with
    W-PCA and SWAP, which take three times as long."""
    return run.step(
        "parts",
        score_parts,
        trained=inherited,
        children=tuple(children),
        proxies=proxies,
        **_learning(run, case, inherited, part.model_copy(update=APART)),
    )


def parts_of(space: Name, inherited: Kept) -> tuple[Params, ...]:
    """All parts of a space."""
    from squeeze.students.encoder import Params
    from squeeze.train.supernet.space import sub_space

    teacher = Params.model_validate(inherited.result["params"])
    return tuple(sub_space(space, teacher).children(teacher))


def further_trained(
    run: Run,
    case: Case,
    inherited: Kept,
    trained: Kept,
    child: Params,
    part: SupernetPart,
    layers: tuple[int, ...] = (),
    name: str = "distill",
) -> Kept:
    """The step `name` with the weights of one part of `trained`, trained alone. layers: which of them it has; () for
    those that lose least."""
    learning = _learning(run, case, inherited, part)
    return run.step(name, train_further, trained=trained, child=child, layers=layers, **learning)


def part_alone(
    run: Run,
    case: Case,
    inherited: Kept,
    trained: Kept,
    child: Params,
    part: SupernetPart,
    ahead: Ahead,
) -> SupernetPart:
    """How one part of `trained` is trained alone: not at all where there is no time, for it learned with the others."""
    if run.budget is None or not part.further:
        return part
    given = _learning(run, case, inherited, part)
    given |= {"trained": trained, "child": child, "layers": ()}
    made = planned(run, plan_further, "distill", ahead=ahead, **given)
    return part.model_copy(update={"further": spared(run, made, part.further)})


def inherited_from(run: Run, case: Case) -> Kept:
    """The step with the teacher's own weights, sorted. Raises UnsupportedError for a teacher that has none to give."""
    found = inherited_if_any(run, case.blind())
    if "params" not in found.result:
        raise UnsupportedError(
            f"{case.teacher.source}: {found.result['summary']}; squeeze compile, or squeeze quantize, keeps its own "
            "architecture (which ones give students: docs/search.md)"
        )
    return found


def inherited_if_any(run: Run, blind: Case) -> Kept:
    """The same, or a step without "params", which says why there are none."""
    return run.step("inherit", inherit, case=blind, seed=run.seed, threads=run.threads)


def _learning(run: Run, case: Case, inherited: Kept, part: SupernetPart) -> Json:
    """What every training of parts is given."""
    from squeeze.students.encoder import Params
    from squeeze.train.supernet.mixing import with_mixed

    teacher, blind = Params.model_validate(inherited.result["params"]), case.blind()
    blind = replace(blind, data=with_mixed(blind.data, teacher, part.mixed, run.seed))
    told = run.step("told", keep_states, case=blind, inherited=inherited, threads=run.threads)
    return {
        "case": blind,
        "inherited": inherited,
        "told": told,
        "part": part,
        "compute": run.compute,
        "seed": run.seed,
        "threads": run.threads,
    }
