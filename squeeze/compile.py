"""THE straight line: trained model + data + target + goal in, one verified artifact out. Start reading here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import artifact, graph, machine, measure, paths, steps
from squeeze.errors import GoalMissed
from squeeze.progress import Progress
from squeeze.run import Run
from squeeze.spec import Recipe, load_recipe, load_target
from squeeze.workdir import Workdir

if TYPE_CHECKING:
    from squeeze.artifact import Artifact


def compile_model(
    teacher: str,
    calib: str | None = None,
    target: str = "host",
    *,
    out: str | Path,
    recipe: str = "balanced",
    weights: str | None = None,
    latency_ms: float | None = None,
    size_bytes: int | None = None,
    drop: float | None = None,
    bits: int | None = None,
    prune: float | None = None,
    metric: str | None = None,
    seed: int | None = None,
    threads: int | None = None,
    overrides: dict[str, Any] | None = None,  # Any: values of recipe keys
    cache: str | Path | None = None,
    progress: Progress | None = None,
    command: list[str] | None = None,
) -> Artifact:
    """Compiles `teacher` for `target` and writes the package `out`.

    teacher: a .pt2 or .onnx file, or 'package.module:factory' with `weights` (.safetensors or weights-only .pt)
    calib: .npz, .npy, an image folder, a bundled name or a TOML file; None makes inputs from the teacher alone
    latency_ms, size_bytes, drop: the goal; they go before the recipe's. drop is in points of the metric
    bits: 8, 4, 3 or 2 for the weights of all layers but the first and the last; prune: share of the MACs to remove
    overrides: dotted recipe keys to values, such as {"distill.steps": 20000}
    cache: where finished steps are kept, so that the same call goes on after a kill

    Raises ConfigError or UnsupportedError before any training, and GoalMissed when the artifact was written but is
    beyond the goal.
    """
    out = Path(out)
    wanted = load_recipe(
        recipe, _overrides(latency_ms, size_bytes, drop, bits, prune, seed, overrides)
    )
    run = Run(
        workdir=Workdir(Path(cache) if cache else paths.cache_dir()),
        target=load_target(target),
        seed=wanted.seed,
        threads=threads or machine.usable_cores(),
        progress=progress or Progress(),
        table=measure.LatencyTable(paths.state_dir()),
    )
    steps.check(wanted, run.target, data=calib is not None)
    artifact.check_output(out)

    run.progress.headline(
        _headline(run, wanted, teacher, calib or "none: synthesised from the teacher")
    )
    loaded, data = steps.load_inputs(run, teacher, weights, calib, metric)
    name, base = steps.baseline(run, loaded, data, metric)
    data = replace(data, metric=name)

    kept = steps.keep(run, wanted, loaded, data)
    models = {"teacher": loaded.model, **kept.models("kept")}
    judged = steps.judge(run, models, data, name, base, wanted.goal)

    search = student = None
    word, floats = "kept", kept
    if why := steps.wanted(wanted, loaded, data, judged):
        run.skip("search", why)
    else:
        search = steps.searched(run, wanted, loaded, data)
    if search and search.arch:
        student = steps.distilled(run, wanted, loaded, data, search.arch)
        weights_path = student.path / "weights.safetensors"
        trained = steps.exporter(run, search.arch, weights_path, loaded, data)
        word = "student"
        floats = steps.deploy(run, "quantise", wanted.quant, data, loaded, trained, student.key)
        models |= floats.models(word)
    pruned = steps.pruned(run, wanted, loaded, data, floats) if wanted.prune.ratio else None
    if pruned is not None:
        word, path = "pruned", pruned.path / "pruned.onnx"
        floats = steps.deploy(
            run, "quantise-pruned", wanted.quant, data, loaded, lambda: graph.load(path), pruned.key
        )
        models |= floats.models(word)
    if word != "kept":
        judged = steps.judge(run, models, data, name, base, wanted.goal)

    rungs = steps.Ladder()
    if why := steps.ladder_wanted(wanted, run.target, judged, word):
        run.skip("ladder", why)
    else:
        rungs = steps.ladder(run, wanted, loaded, data, word, floats, name)
        judged = steps.judge(run, models | rungs.models, data, name, base, wanted.goal)

    package = steps.package(
        run,
        wanted,
        loaded,
        data,
        judged,
        search=search,
        student=student,
        pruned=pruned,
        rungs=rungs,
        out=out,
        command=command,
    )
    if not judged.met:
        raise GoalMissed(f"{judged.missed()}. It is in {out}; the report says what was tried")
    return package


def _overrides(
    latency_ms: float | None,
    size_bytes: int | None,
    drop: float | None,
    bits: int | None,
    prune: float | None,
    seed: int | None,
    overrides: dict[str, Any] | None,  # Any: values of recipe keys
) -> dict[str, Any]:
    given = {
        "goal.max_latency_ms": latency_ms,
        "goal.max_bytes": size_bytes,
        "goal.max_drop": drop,
        "quant.bits": bits,
        "prune.ratio": prune,
        "seed": seed,
    }
    return {**(overrides or {}), **{k: v for k, v in given.items() if v is not None}}


def _headline(run: Run, recipe: Recipe, teacher: str, calib: str) -> list[tuple[str, str]]:
    goal, target = recipe.goal, run.target
    limits = [f"at most {goal.max_drop:g} points below the teacher"]
    if goal.max_latency_ms is not None:
        limits.append(f"at most {goal.max_latency_ms:g} ms")
    if goal.max_bytes is not None:
        limits.append(f"at most {goal.max_bytes / 1000:g} KB")
    return [
        ("teacher", teacher),
        ("data", calib),
        ("target", f"{target.name} · {machine.host_name()} · {', '.join(machine.isa())}"),
        ("goal", f"{goal.objective}, {', '.join(limits)}"),
    ]
