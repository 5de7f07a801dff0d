"""A student of an encoder of texts or images: a part of it, picked from one weight-sharing network and trained further.

No key of a training holds a device: one network serves all devices, each with the part that fits it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze import students
from squeeze.budget import Ahead
from squeeze.spec import ArchSpec
from squeeze.steps.float_student import exported
from squeeze.steps.inheriting_work import Kept, tokens_of
from squeeze.steps.planning import after_student
from squeeze.steps.room import parameters_within, smallest_form
from squeeze.steps.sharing import (
    further_trained,
    inherited_if_any,
    network_part,
    part_alone,
    shared_network,
)
from squeeze.steps.staging import Alone, staged, steps_of, trained_in_stages
from squeeze.steps.sub_spaces import pick_spaces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Front
    from squeeze.net import FloatNet
    from squeeze.run import Run
    from squeeze.spec import Recipe
    from squeeze.students.encoder import Params
    from squeeze.train.supernet.choice import Scored
    from squeeze.train.supernet.space import Name

Json = dict[str, Any]  # Any: JSON

# Of linear layers on CPUs with integer products: what int8 brings an encoder over float.
INT8_SPEEDUP = 3.0
_BYTES_RESERVE = 0.95


def inherits(run: Run, case: Case, recipe: Recipe) -> bool:
    """Whether the student is taken from a weight-sharing network of the teacher, where that can be read: of texts it
    always is, of images where a network is given or the recipe says that students inherit: to train one takes long."""
    if not shareable(case):
        return False
    wanted = run.supernet is not None or recipe.start == "inherit"
    return wanted or case.data.modality == "tokens"


def shareable(case: Case) -> bool:
    """Whether the teacher could be a transformer that a network is made of: its inputs are integers [n, s] of one
    length, or one image and the teacher has a single convolution and attention; its output is one."""
    inputs, outputs = case.interface.inputs, case.interface.outputs
    firsts = all(spec.batch_axis == 0 for spec in (*inputs, *outputs))
    if not firsts or len(outputs) != 1:
        return False
    if case.data.modality == "image" and len(inputs) == 1:
        (image,), census = inputs, case.teacher.census
        attended = census.get("Softmax", 0) > (case.teacher.output_activation == "softmax")
        patches = census.get("Conv", 0) == 1 and "DepthwiseConv" not in census
        return np.dtype(image.dtype).kind == "f" and len(image.shape) == 3 and patches and attended
    integers = all(np.dtype(s.dtype).kind in "iu" and len(s.shape) == 1 for s in inputs)
    return integers and case.data.modality == "tokens"


def inheriting_student(
    run: Run, case: Case, device: Device, recipe: Recipe, front: Front
) -> FloatNet | None:
    """The part of the teacher that fits `device`, trained; None, with the reason in the log, where there is none."""
    from squeeze.students.encoder import Params
    from squeeze.train.supernet.space import NAMES

    part, blind, given = recipe.supernet, case.blind(), run.supernet
    inherited = inherited_if_any(run, blind) if given is None else given.inherited
    if "params" not in inherited.result:
        return None
    teacher = Params.model_validate(inherited.result["params"])
    # Folders that older versions wrote have none.
    whole = inherited.result.get("stored")
    limits = _limits(case, recipe, front, teacher, whole)
    known = NAMES if given is None else tuple(given.spaces)
    if whole is not None:
        known = not_larger(known, teacher, whole)
        if not known:
            run.skip(
                "distill",
                "its layers are one and the same: every part, whose layers have weights of their own, would be "
                "larger than it",
            )
            return None
    tokens = tokens_of(case, teacher)
    fitting = space_for(teacher, tokens, limits[0], known)
    space = part.space if part.space in known else fitting
    if part.space == "untrained" and given is None:
        (space,) = pick_spaces(run, case, inherited, part, known, limits[0], 1).spaces
    if given is None:
        network = network_part(run, case, inherited, part, space, _ahead(run, recipe), front)
        if network is None:
            return None
        trained, scored = shared_network(run, case, inherited, network, space)
    else:
        trained, scored = given.spaces[space]
    picked = pick(scored, teacher, *limits, tokens)
    if picked is None:
        run.skip("distill", f"no part of the space '{space}' is inside the goal")
        return None
    child = picked.params
    if recipe.stages:
        alone = trained_in_stages(run, case, recipe, inherited, trained, child)
    else:
        part = part_alone(run, case, inherited, trained, child, part, after_student(recipe))
        last = further_trained(run, case, inherited, trained, child, part)
        alone = Alone(last, last.result["history"], part.further)
    arch = ArchSpec(family=students.ENCODER, params=child.model_dump(mode="json"))
    made = exported(run, case, device, arch, alone.trained, alone.steps)
    return made.net(case, "student", {"training": alone.history})


def _ahead(run: Run, recipe: Recipe) -> Ahead:
    """What follows the training of a network: that of the part that is picked, and what follows it."""
    stages = staged(recipe.stages, pretrained=run.pretrained is not None)
    alone = steps_of(stages) if stages else recipe.supernet.further
    return Ahead(sure=alone) + after_student(recipe)


def not_larger(names: Sequence[Name], teacher: Params, params: int) -> tuple[Name, ...]:
    """The spaces that have a part with no more parameters."""
    from squeeze.train.supernet.space import sub_space

    return tuple(
        name
        for name in names
        if sub_space(name, teacher).children(teacher)[0].costs(1).params <= params
    )


def _limits(
    case: Case, recipe: Recipe, front: Front, teacher: Params, stored: int | None
) -> tuple[float, float]:
    """MACs and parameters that a student may have: of the goal where it says so, else of the recipe's speedup. stored:
    a student has no more than a teacher whose layers are one and the same."""
    goal, whole = recipe.goal, teacher.costs(tokens_of(case, teacher))
    share = wished_share(recipe)
    if goal.max_latency_ms is not None:
        times = [t.p50_ms for t in front.timed().values() if t.p50_ms is not None]
        if times:
            share = min(1.0, goal.max_latency_ms / min(times))
    params = float("inf") if stored is None else float(stored)
    if goal.max_bytes is not None:
        most = _BYTES_RESERVE * (goal.max_bytes - front.beside_bytes)
        own = whole.params if stored is None else stored
        forms = front.candidates.values()
        form = smallest_form(c for c in forms if c.net.origin == case.net.origin)
        params = min(params, parameters_within(most, form, own))
    return share * whole.macs, params


def wished_share(recipe: Recipe) -> float:
    """The share of the teacher's MACs that the recipe's speedup leaves, where int8 does its part of it."""
    return min(1.0, INT8_SPEEDUP / recipe.search.speedup)


def space_for(teacher: Params, tokens: int, macs: float, among: Sequence[Name]) -> Name:
    """The smallest space whose largest part does at least as many MACs as are allowed; else the largest space."""
    from squeeze.train.supernet.space import sub_space

    largest = {
        name: sub_space(name, teacher).children(teacher)[-1].costs(tokens).macs for name in among
    }
    enough = [name for name in among if largest[name] >= macs]
    return min(enough, key=largest.__getitem__) if enough else max(among, key=largest.__getitem__)


def pick(scored: Kept, teacher: Params, macs: float, params: float, tokens: int) -> Scored | None:
    """The best part inside the limits, for samples of `tokens`."""
    from squeeze.train.supernet.choice import Scored, best

    found = []
    for row in scored.result["parts"]:
        sizes = {n: row[n] for n in ("layers", "hidden", "heads", "ffn")}
        small = teacher.model_copy(update=sizes)
        found.append(Scored(small, row["parameters"], row["macs"], row["loss"]))
    return best(found, macs, params, tokens)
