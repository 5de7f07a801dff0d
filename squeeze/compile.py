"""THE straight line: trained model + data + targets + goal in, a verified artifact for each out. Start reading here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import artifact, goal, steps
from squeeze.licence import spdx
from squeeze.spec import load_recipe

if TYPE_CHECKING:
    from squeeze.artifact import Artifact
    from squeeze.calib import Asked, AskedText
    from squeeze.progress import Progress
    from squeeze.train.compute import TrainingDevice


def compile_model(
    teacher: str,
    calib: str | None = None,
    target: str | Sequence[str] = "host",
    *,
    out: str | Path,
    recipe: str = "balanced",
    weights: str | None = None,
    latency_ms: float | None = None,
    size_bytes: int | None = None,
    ram_bytes: int | None = None,
    flash_bytes: int | None = None,
    drop: float | None = None,
    time_s: float | None = None,
    worst_class_drop: float | None = None,
    bits: int | None = None,
    keep_float: Sequence[str] = (),
    prune: float | None = None,
    metric: str | None = None,
    preprocess: Asked | None = None,
    text: AskedText | None = None,
    extra: Sequence[str] = (),
    pretrained: str | None = None,
    guides: Sequence[str | tuple[str, float]] = (),
    accept_baseline: bool = False,
    shape: Mapping[str, Sequence[int]] | None = None,
    embed_preprocess: bool = False,
    seed: int | None = None,
    threads: int | None = None,
    device: TrainingDevice = "auto",
    supernet: str | Path | None = None,
    overrides: dict[str, Any] | None = None,  # Any: values of recipe keys
    licence: str | None = None,
    cache: str | Path | None = None,
    progress: Progress | None = None,
    command: list[str] | None = None,
) -> Artifact | list[Artifact]:
    """Compiles `teacher` for `target` and writes the package `out`; for several targets, `out`/<target> and an index.

    teacher: a .pt2 or .onnx file, a Hugging Face folder, or 'package.module:factory' with `weights` (.safetensors or
        weights-only .pt)
    calib: .npz, .npy, an image folder, .csv, .tsv, .jsonl, .txt or .conll, a bundled name or a TOML file; None makes
        inputs from the teacher alone
    extra: data like those of calib, whose samples train without labels
    pretrained: the model that a text encoder was fine-tuned from, for recipes whose stages learn from it
    guides: further models of the same classes that answer with the teacher, as files or as (file, weight); it has 1
    shape: without calib, by input with its batch, for sizes that the model leaves open
    latency_ms, size_bytes, ram_bytes, flash_bytes, drop, worst_class_drop: the goal; they go before the recipe's. drop
        is in points of the metric, worst_class_drop in points of recall of the class that loses most; RAM and flash are
        of devices whose runtime says what a model takes of them
    time_s: seconds that all of it may take; trainings are planned to fit (docs/distillation.md)
    bits: 8, 4, 3 or 2 for the weights of all layers but the first and the last; prune: share of the MACs to remove
    preprocess: of the data, a name such as "imagenet" or keys of a TOML's [preprocess]; goes before the TOML's
    text: of texts, keys of a TOML's [text], such as {"columns": ["sentence1", "sentence2"], "label": "score"}; goes
        before the TOML's
    accept_baseline: go on with a teacher that answers as chance does on the data
    keep_float: names, patterns such as 'head.*' or operators of nodes that stay float
    embed_preprocess: puts the preprocessing of the data into the file, which then takes samples as they are stored
    device: what trains: cpu, cuda, or auto for cuda where torch sees one
    supernet: a folder that `squeeze search --supernet` wrote, from which the student is taken
    overrides: dotted recipe keys to values, such as {"distill.steps": 20000}
    licence: of the model, an SPDX expression such as "Apache-2.0", for the bill of materials
    cache: where finished steps are kept, so that the same call goes on after a kill

    Raises ConfigError or UnsupportedError before any training, and GoalMissed when the artifact was written but is
    beyond the goal.
    """
    given = {
        "goal.max_latency_ms": latency_ms,
        "goal.max_bytes": size_bytes,
        "goal.max_ram_bytes": ram_bytes,
        "goal.max_flash_bytes": flash_bytes,
        "goal.max_drop": drop,
        "goal.max_worst_class_drop": worst_class_drop,
        "budget.time_s": time_s,
        "quant.bits": bits,
        "quant.keep_float": list(keep_float) or None,
        "prune.ratio": prune,
        "seed": seed,
    }
    licence = None if licence is None else spdx("--licence", licence)
    wanted = load_recipe(recipe, steps.overrides(given, overrides))
    names = [target] if isinstance(target, str) else list(target)
    devices = steps.reach(names, wanted, data=calib is not None)
    if embed_preprocess:
        steps.refuse_embedding(devices, data=calib is not None)
    steps.refuse_guides(guides, wanted)
    places = artifact.places(Path(out), [reached.name for reached in devices])
    run = steps.begin(wanted, cache, threads, device, progress, supernet, len(devices))
    run.progress.headline(steps.headline(wanted, devices, teacher, calib))

    keep = wanted.quant.keep_float
    case = steps.load(
        run,
        teacher,
        weights,
        calib,
        metric,
        shape,
        trained=wanted.trains,
        keep_float=keep,
        preprocess=preprocess,
        text=text,
        extra=extra,
    )
    steps.refuse_unfit(run, case, wanted, accept_baseline=accept_baseline)
    steps.guided(run, case, guides, wanted)
    case = steps.fewer(run, steps.sifted(run, case, wanted.distill), wanted.distill)
    steps.refuse_unstaged(run, case, wanted, pretrained)
    wanted = steps.weighed(run, case, wanted)
    case = steps.embedding(case) if embed_preprocess else case
    for on in devices:
        steps.refuse_lacking(case, on, wanted)
    packages = []
    for on, place in zip(devices, places, strict=True):
        here = run.on_one_device()
        front = steps.front(here, case, on, goal.of(wanted))
        small = goal.about_bytes(front.goal)
        fitting = steps.fitting(wanted, on)
        net = case.net
        front.add(*steps.deploy(here, case, on, net, fitting.quant, slower=small))
        # Each a float network, or None with a reason.
        for make in (steps.puzzled, steps.student, steps.pruned, steps.adaptive):
            if made := make(here, case, on, net, fitting, front):
                net, fitting = made, steps.keep_in(made, fitting)
                front.add(*steps.deploy(here, case, on, net, fitting.quant, slower=small))
        front.add(*steps.fewer_bits(here, case, on, fitting, front))
        packages.append(steps.package(here, case, on, fitting, front, place, command, licence))
    return steps.finish(packages, Path(out))
