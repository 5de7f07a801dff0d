"""`squeeze search --supernet`: trains one network of which all students of a text encoder are parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import steps
from squeeze.errors import ConfigError
from squeeze.spec import load_recipe
from squeeze.steps.inheriting import inherited_from, inherits, shared_network
from squeeze.steps.supernet import write_supernet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.calib import Asked, AskedText
    from squeeze.progress import Progress
    from squeeze.train.compute import TrainingDevice
    from squeeze.train.supernet.space import Name

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
    takes as `supernet`. What it says: the folder, and of each space its parts with sizes, costs and losses.

    Arguments as those of `compile_model`. Killed, the same call goes on. Raises ConfigError, and UnsupportedError for a
    teacher that is no text encoder of the kind of BERT.
    """
    if not spaces:
        raise ConfigError("--space: none was given; allowed: base, small, tiny")
    wanted = load_recipe(recipe, steps.overrides({"seed": seed}, overrides))
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
    if not inherits(case):
        raise ConfigError(
            f"{teacher}: squeeze search --supernet takes a text encoder: inputs of integers [n, tokens], one output"
        )
    inherited = inherited_from(run, case)
    found = {
        space: shared_network(run, case, inherited, wanted.supernet, space)
        for space in dict.fromkeys(spaces)
    }
    write_supernet(Path(out), case.teacher.digest, inherited, found)
    parts = {space: scored.result["parts"] for space, (_, scored) in found.items()}
    return {"supernet": str(out), "teacher": case.teacher.digest, "spaces": parts}
