"""Before and after the steps: what is asked for on which devices, the headline, and what is raised or returned."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import artifact, machine, paths
from squeeze.budget import Budget
from squeeze.device import connect
from squeeze.errors import GoalMissed
from squeeze.progress import Progress
from squeeze.quantities import show_seconds
from squeeze.run import Run
from squeeze.steps.refusals import refuse, refuse_goal
from squeeze.steps.supernet import open_supernet
from squeeze.target import load_target
from squeeze.train.compute import Compute
from squeeze.workdir import Workdir

if TYPE_CHECKING:
    from squeeze.artifact import Artifact
    from squeeze.device import Device
    from squeeze.spec import Recipe
    from squeeze.train.compute import TrainingDevice

logger = logging.getLogger(__name__)
_NO_DATA = "none: synthesised from the teacher"


def reach(targets: Sequence[str], recipe: Recipe, *, data: bool) -> list[Device]:
    """The devices called `targets`. Raises ConfigError or UnsupportedError for what `recipe` cannot ask of one of them,
    and for those that are out of reach. data: whether there is any."""
    found = [load_target(name) for name in targets]
    for target in found:
        refuse(recipe, target, data=data)
    reached = [connect(target, paths.state_dir()) for target in found]
    for device in reached:
        refuse_goal(recipe.goal, device)
    return reached


def fitting(recipe: Recipe, device: Device) -> Recipe:
    """The recipe in the form that the device can take: one that runs integers alone has the outputs in int8 too."""
    if not device.integers_only:
        return recipe
    quant = recipe.quant.model_copy(update={"integer_outputs": True})
    return recipe.model_copy(update={"quant": quant})


def begin(
    recipe: Recipe,
    cache: str | Path | None,
    threads: int | None,
    device: TrainingDevice,
    progress: Progress | None,
    supernet: str | Path | None = None,
    packages: int = 1,
) -> Run:
    """A run whose steps are kept in `cache`. threads: no more than there are cores, for more only wait for each other.
    device: what trains, cpu, cuda or auto. supernet: the folder that students are taken from. packages: how many share
    the time that the recipe allows, which begins now. Raises ConfigError for a supernet that is none, or lacks the
    space that the recipe names."""
    cores = machine.usable_cores()
    if threads is not None and threads > cores:
        logger.warning("--threads %d: this machine has %d cores; as many are used", threads, cores)
    given = None if supernet is None else open_supernet(Path(supernet))
    if given is not None:
        given.check_space(recipe.supernet.space)
    return Run(
        workdir=Workdir(Path(cache) if cache else paths.cache_dir()),
        seed=recipe.seed,
        threads=min(threads or cores, cores),
        compute=Compute.choose(device, recipe.distill.precision),
        progress=progress or Progress(),
        supernet=given,
        budget=None if recipe.budget.time_s is None else Budget(recipe.budget.time_s, packages),
    )


def headline(
    recipe: Recipe, devices: Sequence[Device], teacher: str, calib: str | None
) -> list[tuple[str, str]]:
    """What is compiled, for what, and the goal."""
    goal = recipe.goal
    limits = [f"at most {goal.max_drop:g} points below the teacher"]
    if goal.max_worst_class_drop is not None:
        limits.append(
            f"at most {goal.max_worst_class_drop:g} points of recall below it in each class"
        )
    if goal.max_latency_ms is not None:
        limits.append(f"at most {goal.max_latency_ms:g} ms")
    for count, of in (
        (goal.max_bytes, ""),
        (goal.max_ram_bytes, " of RAM"),
        (goal.max_flash_bytes, " of flash"),
    ):
        if count is not None:
            limits.append(f"at most {count / 1000:g} KB{of}")
    if recipe.quant.bits < 8:
        limits.append(f"weights of {recipe.quant.bits} bits")
    if recipe.quant.weights_only:
        limits.append("activations in float")
    targets = [("target", f"{d.name} · {_where(d)}") for d in devices]
    return [
        ("teacher", teacher),
        ("data", calib or _NO_DATA),
        *targets,
        ("goal", f"{goal.objective}, {', '.join(limits)}"),
        *_time(recipe),
    ]


def _time(recipe: Recipe) -> list[tuple[str, str]]:
    asked = recipe.budget.time_s
    return [] if asked is None else [("time", f"at most {show_seconds(asked)} by a plan")]


def _where(device: Device) -> str:
    """What the numbers are of: this processor, or the runtime or compiler of another device."""
    if device.runtime is None or device.runtime.source == "measured":
        return f"{device.facts.host} · {', '.join(device.facts.isa)}"
    return f"{device.runtime.source} by {device.runtime.version}"


def overrides(
    given: dict[str, Any], further: dict[str, Any] | None
) -> dict[str, Any]:  # Any: values of recipe keys
    """Keys of the recipe to values: `further`, and what of `given` is not None, which goes before."""
    return {**(further or {}), **{key: v for key, v in given.items() if v is not None}}


def finish(packages: list[Artifact], out: Path) -> Artifact | list[Artifact]:
    """The package, or all of them with an index in `out`. Raises GoalMissed when one of them is beyond the goal."""
    if len(packages) > 1:
        artifact.write_index(out, packages)
    missed = [p for p in packages if not p.goal_met]
    if missed:
        said = "; ".join(f"{p.manifest['verdict']['missed']}. It is in {p.path}" for p in missed)
        options = dict.fromkeys(one for p in missed for one in p.manifest["verdict"]["try"])
        more = [f"next: the same command with {', or '.join(options)}"] if options else []
        raise GoalMissed(
            f"{said}; the report says what was tried", *more, packages=[p.path for p in packages]
        )
    return packages if len(packages) > 1 else packages[0]
