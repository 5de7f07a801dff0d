"""Tokens of a transformer get as many learners of each layer as they need, a fixed number of tokens each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze import budget, students
from squeeze.errors import UnsupportedError
from squeeze.seal import WEIGHTS
from squeeze.spec import ArchSpec
from squeeze.steps.float_student import exported
from squeeze.steps.inheriting import shareable
from squeeze.steps.inheriting_work import objective_of, tokens_of
from squeeze.steps.planning import adaptive_steps, after_float, agreed, planned, recorded

if TYPE_CHECKING:
    from squeeze.budget import Ahead, Left
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Front
    from squeeze.net import FloatNet
    from squeeze.run import At, Run
    from squeeze.spec import AdaptivePart, Recipe
    from squeeze.students.encoder import Encoder
    from squeeze.train import Compute
    from squeeze.train.adaptive.conversion import Conversion
    from squeeze.workdir import Step

Json = dict[str, Any]  # Any: JSON

NAME = "adaptive"
_COMPARED = 8
# What comes after the learners decides nothing of them: with another share they are found trained.
APART: Json = {"compute": 0.0, "gate_steps": 0, "steps": 0}


def adaptive(
    run: Run, case: Case, device: Device, net: FloatNet, recipe: Recipe, front: Front
) -> FloatNet | None:
    """`net` with a share of the operations between its attentions; None, with the reason in the log, where not wanted
    or not possible. It answers as `net` does."""
    part = recipe.adaptive
    if not part.compute:
        return None
    blind = case.blind()
    why = "its teacher is no transformer that can be read" if not shareable(case) else ""
    if not why:
        try:
            encoder_of(case, net)
        except UnsupportedError as e:
            why = str(e)
    if why:
        run.skip(NAME, f"cannot be made adaptive: {why}")
        return None
    given: Json = {
        "case": blind,
        "net": net,
        "compute": run.compute,
        "seed": run.seed,
        "threads": run.threads,
    }
    if run.budget is not None and (wanted := adaptive_steps(part)):
        plan = planned(run, plan_adaptive, NAME, ahead=after_float(recipe), part=part, **given)
        steps = agreed(run, plan, wanted, front, first=net.origin == "kept")
        if steps is None:
            return None
        part = cut_to(part, steps)
    cut = run.step("learners", make_learners, part=part.model_copy(update=APART), **given)
    trained = run.step(NAME, make_adaptive, cut=cut, part=part, **given)
    arch = ArchSpec.model_validate(trained.result["arch"])
    made = exported(run, case, device, arch, trained, part.steps)
    return made.net(case, "adaptive", {"training": trained.result["history"]})


def cut_to(part: AdaptivePart, steps: int) -> AdaptivePart:
    """With so many steps in all: each training has the same share of its own."""
    share = steps / adaptive_steps(part)
    wanted = {name: getattr(part, name) for name in ("module_steps", "gate_steps", "steps")}
    got = {name: max(1, round(share * count)) for name, count in wanted.items() if count}
    return part.model_copy(update=got)


def plan_adaptive(
    at: At,
    *,
    left: Left,
    ahead: Ahead,
    case: Case,
    net: FloatNet,
    part: AdaptivePart,
    training: str,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """Measures some steps of all that makes `net` adaptive, and says how many it gets."""
    from squeeze.train.adaptive.train import pace_of_adaptive

    pace = pace_of_adaptive(_conversion(at, case, net, part, compute, seed, threads))
    made = budget.plan(
        training,
        "adaptive.module_steps, gate_steps, steps",
        adaptive_steps(part),
        pace,
        left,
        later_s=ahead.sure * pace.step_s,
        maybe_s=ahead.maybe * pace.step_s,
    )
    return recorded(made)


def encoder_of(case: Case, net: FloatNet) -> Encoder:
    """The network as torch has it. Raises UnsupportedError, in a line, where it is no encoder."""
    from squeeze.train.supernet.inherited import inherited, stored

    feed = case.data.feed(case.data.calibrate, 0, _COMPARED)
    found = inherited(net.file, case.interface, feed, case.teacher.output_activation)
    if stored(found) is not None:
        raise UnsupportedError("its layers are one and the same, and learners would be of each")
    return found


def make_learners(
    at: At,
    *,
    case: Case,
    net: FloatNet,
    part: AdaptivePart,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """Writes the weights of the network whose layers are cut into learners."""
    from safetensors.torch import save_file

    from squeeze.train.adaptive.train import train_learners

    conversion = _conversion(at, case, net, part, compute, seed, threads)
    made, errors = train_learners(conversion)
    save_file(made.state_dict(), at.folder / WEIGHTS)
    firsts = [layer[0] for layer in errors]
    return {
        "summary": f"{part.learners} learners a layer; the first alone is {100 * min(firsts):.0f} to "
        f"{100 * max(firsts):.0f} % off",
        "errors": [[float(f"{share:.4g}") for share in layer] for layer in errors],
    }


def make_adaptive(
    at: At,
    *,
    case: Case,
    net: FloatNet,
    cut: Step,
    part: AdaptivePart,
    compute: Compute,
    seed: int,
    threads: int,
) -> Json:
    """Writes the weights of the adaptive network; its capacities are in "arch"."""
    from safetensors.torch import load_file, save_file

    from squeeze.students.encoder import AdaptiveEncoder, AdaptiveParams
    from squeeze.train.adaptive.train import train_adaptive

    conversion = _conversion(at, case, net, part, compute, seed, threads)
    params = conversion.teacher.params
    whole = AdaptiveEncoder(AdaptiveParams.whole(params, part.learners))
    whole.load_state_dict(load_file(cut.path / WEIGHTS))
    made, history = train_adaptive(conversion, whole)
    save_file(made.state_dict(), at.folder / WEIGHTS)
    tokens = tokens_of(case, params)
    before, after = params.costs(tokens).macs, made.params.costs(tokens).macs
    arch = ArchSpec(family=students.ADAPTIVE, params=made.params.model_dump(mode="json"))
    return {
        "summary": f"{after / 1e6:,.1f} of {before / 1e6:,.1f} MMACs a sample, {part.steps:,} steps",
        "arch": arch.model_dump(mode="json"),
        "history": history,
    }


def _conversion(
    at: At,
    case: Case,
    net: FloatNet,
    part: AdaptivePart,
    compute: Compute,
    seed: int,
    threads: int,
) -> Conversion:
    from squeeze.train.adaptive.conversion import Conversion
    from squeeze.train.supernet.samples import Samples

    teacher, data = encoder_of(case, net), case.data
    return Conversion(
        teacher,
        Samples(data, data.fit, teacher.params),
        Samples(data, data.calibrate, teacher.params),
        objective_of(case, teacher.params),
        part,
        identity=f"{case.key()} {net.key()}",
        seed=seed,
        threads=threads,
        compute=compute,
        folder=at.folder,
        progress=at.progress,
    )
