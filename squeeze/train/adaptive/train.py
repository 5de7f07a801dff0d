"""Makes an encoder adaptive: learners and gates layer by layer, then all of it together, then at fixed capacities."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from squeeze.budget import Pace
from squeeze.students.encoder import with_capacities
from squeeze.train import checkpoint
from squeeze.train.adaptive import modules
from squeeze.train.adaptive.capacity import capacities, gates_of
from squeeze.train.pace import SECONDS

if TYPE_CHECKING:
    from squeeze.students.encoder import AdaptiveEncoder
    from squeeze.train.adaptive.conversion import Conversion

Json = dict[str, Any]  # Any: numbers by name, JSON


def train_learners(conversion: Conversion) -> tuple[AdaptiveEncoder, list[list[float]]]:
    """The teacher, its layers cut into learners that are each as good with those before it as they can be; and of each
    layer the squared error of its first k, as a share, for k of 1 to N.

    Raises ConfigError for more learners than a layer has channels, and as `Conversion.trained`.
    """
    with conversion.compute.session(conversion.threads):
        teacher, made = conversion.still(), conversion.cut()
        conversion.trained("modules", conversion.of_modules(teacher, made))
        found = conversion.errors(teacher, made.of_layers)
    checkpoint.remove_all(conversion.folder / "modules")
    shares = [(one.mean(0) / one[:, 0].mean())[1:].tolist() for one in found]
    return made.cpu().eval(), shares


def train_adaptive(
    conversion: Conversion, cut: AdaptiveEncoder
) -> tuple[AdaptiveEncoder, list[Json]]:
    """What `train_learners` gave with gates, all of it trained and at capacities for `part.compute`; and the history.

    Raises as `Conversion.trained`.
    """
    compute = conversion.part.compute
    with conversion.compute.session(conversion.threads):
        teacher = conversion.still()
        made = copy.deepcopy(cut).to(conversion.compute.device)
        ratio = modules.ratio_for(conversion.errors(teacher, made.of_layers), compute)
        conversion.trained("gates", conversion.of_gates(teacher, made, ratio))
        free = conversion.free(teacher, made)
        history = conversion.trained("free", free)
        made = _at_capacities(conversion, made)
        fixed = conversion.trained("fixed", conversion.fixed(teacher, made))
        history += [{**entry, "step": free.steps + entry["step"]} for entry in fixed]
    for name in ("gates", "free", "fixed"):
        checkpoint.remove_all(conversion.folder / name)
    return made.cpu().eval(), history


def pace_of_adaptive(conversion: Conversion) -> Pace:
    """How fast `train_learners` and `train_adaptive` would go, by some steps of each phase: the mean over all steps of
    the part. Raises as they do."""
    with conversion.compute.session(conversion.threads):
        teacher, made = conversion.still(), conversion.cut()
        phases = [
            conversion.of_modules(teacher, made),
            conversion.of_gates(teacher, made, modules.RATIO),
            conversion.free(teacher, made),
            conversion.fixed(teacher, _at_capacities(conversion, made)),
        ]
        phases = [one for one in phases if one.steps]
        each = SECONDS / len(phases)
        took = sum(one.steps * conversion.step_s(one, each) for one in phases)
        return Pace(took / sum(one.steps for one in phases))


def _at_capacities(conversion: Conversion, made: AdaptiveEncoder) -> AdaptiveEncoder:
    """With as many tokens for each learner as its gates ask for, for the share of operations of the part."""
    place = conversion.compute.device
    asked = gates_of(made, [tuple(x.to(place)) for x in conversion.batches()])
    return with_capacities(made, capacities(asked, conversion.part.compute)).to(place)
