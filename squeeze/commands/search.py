"""`squeeze search --supernet`: trains one network of which all students of a teacher are parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import steps
from squeeze.errors import ConfigError
from squeeze.spec import load_recipe
from squeeze.steps.inheriting import shareable, wished_share
from squeeze.steps.inheriting_work import tokens_of
from squeeze.steps.sharing import inherited_from, shared_network
from squeeze.steps.slices import sliced_network, slices_from
from squeeze.steps.sub_spaces import pick_sliced_spaces, pick_spaces
from squeeze.steps.supernet import check_output, write_supernet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.calib import Asked, AskedText
    from squeeze.case import Case
    from squeeze.progress import Progress
    from squeeze.run import Run
    from squeeze.spec import Recipe
    from squeeze.steps.inheriting_work import Kept
    from squeeze.steps.sub_spaces import Picked
    from squeeze.train.compute import TrainingDevice
    from squeeze.train.supernet.space import Name

    # What the teacher gives, which spaces got a network, and of each its weights and the losses of its parts.
    Networks = tuple[Kept, Picked, dict[Name, tuple[Kept, Kept]]]

Json = dict[str, Any]  # Any: JSON


def search_supernet(
    teacher: str,
    calib: str,
    *,
    out: str | Path,
    spaces: Sequence[Name] = ("small",),
    recipe: str = "balanced",
    weights: str | None = None,
    metric: str | None = None,
    preprocess: Asked | None = None,
    text: AskedText | None = None,
    extra: Sequence[str] = (),
    seed: int | None = None,
    threads: int | None = None,
    device: TrainingDevice = "auto",
    overrides: dict[str, Any] | None = None,  # Any: values of recipe keys
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Json:
    """Trains the network of each of `spaces` (base, small, tiny) and writes the folder `out`, which `compile_model`
    takes as `supernet`. What it says: the folder, of each space its parts with sizes, costs and losses, and of each
    space that got no network, for `supernet.networks` is less, why.

    Arguments as those of `compile_model`. Killed, the same call goes on. Raises ConfigError, and UnsupportedError for a
    teacher that is neither an encoder of the kind of BERT or ViT nor a convolutional network with one input and outputs
    [n, c].
    """
    if not spaces:
        raise ConfigError("--space: none was given; allowed: base, small, tiny")
    wanted = load_recipe(recipe, steps.overrides({"seed": seed}, overrides))
    check_output(Path(out))
    run = steps.begin(wanted, cache, threads, device, progress)
    case = steps.load(
        run,
        teacher,
        weights,
        calib,
        metric,
        trained=True,
        preprocess=preprocess,
        text=text,
        extra=extra,
    )
    if shareable(case):
        inherited, picked, found = _encoders(run, case, wanted, spaces)
    else:
        inherited, picked, found = _slices(run, case, wanted, spaces)
    write_supernet(Path(out), case.teacher.digest, inherited, found, picked.to_json())
    parts = {space: scored.result["parts"] for space, (_, scored) in found.items()}
    said = {"supernet": str(out), "teacher": case.teacher.digest, "spaces": parts}
    return {**said, "picked": picked.to_json()}


def _encoders(run: Run, case: Case, wanted: Recipe, spaces: Sequence[Name]) -> Networks:
    """The networks of parts of a transformer."""
    from squeeze.students.encoder import Params

    inherited, part = inherited_from(run, case), wanted.supernet
    whole = Params.model_validate(inherited.result["params"])
    macs = wished_share(wanted) * whole.costs(tokens_of(case, whole)).macs
    count = part.networks or len(spaces)
    picked = pick_spaces(run, case, inherited, part, spaces, macs, count)
    found = {space: shared_network(run, case, inherited, part, space) for space in picked.spaces}
    return inherited, picked, found


def _slices(run: Run, case: Case, wanted: Recipe, spaces: Sequence[Name]) -> Networks:
    """The networks of slices of a convolutional teacher."""
    inherited = slices_from(run, case)
    macs = wished_share(wanted) * case.teacher.macs
    count = wanted.supernet.networks or len(spaces)
    picked = pick_sliced_spaces(run, case, inherited, spaces, macs, count)
    found = {space: sliced_network(run, case, inherited, wanted, space) for space in picked.spaces}
    return inherited, picked, found
