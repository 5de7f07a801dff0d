"""THE straight line: trained model + data + target + goal in, one verified artifact out. Start reading here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import artifact, graph, measure, paths, steps
from squeeze.errors import GoalMissed
from squeeze.progress import Progress
from squeeze.run import Run
from squeeze.spec import Recipe, load_recipe, load_target
from squeeze.workdir import Workdir

if TYPE_CHECKING:
    from squeeze.artifact import Artifact


def compile_model(
    teacher: str,
    calib: str,
    target: str = "host",
    *,
    out: str | Path,
    recipe: str = "balanced",
    weights: str | None = None,
    latency_ms: float | None = None,
    size_bytes: int | None = None,
    drop: float | None = None,
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
    calib: .npz, .npy, an image folder, a bundled name or a TOML file
    latency_ms, size_bytes, drop: the goal; they go before the recipe's. drop is in points of the metric
    overrides: dotted recipe keys to values, such as {"distill.steps": 20000}
    cache: where finished steps are kept, so that the same call goes on after a kill

    Raises ConfigError or UnsupportedError before any training, and GoalMissed when the artifact was written but is
    beyond the goal.
    """
    out = Path(out)
    wanted = load_recipe(recipe, _overrides(latency_ms, size_bytes, drop, seed, overrides))
    run = Run(
        workdir=Workdir(Path(cache) if cache else paths.cache_dir()),
        target=load_target(target),
        seed=wanted.seed,
        threads=threads or measure.usable_cores(),
        progress=progress or Progress(),
        table=measure.LatencyTable(paths.state_dir()),
    )
    artifact.check_output(out)

    run.progress.headline(_headline(run, wanted, teacher, calib))
    loaded, data = steps.load_inputs(run, teacher, weights, calib, metric)
    name, base = steps.baseline(run, loaded, data, metric)
    data = replace(data, metric=name)

    kept = steps.deploy(
        run, "keep", wanted.quant, data, lambda: graph.load(loaded.model), loaded.digest
    )
    models = {"teacher": loaded.model, **kept.models("kept")}
    judged = steps.judge(run, models, data, name, base, wanted.goal)

    search = student = None
    if why := steps.wanted(wanted, loaded, data, judged):
        run.skip("search", why)
    else:
        search = steps.searched(run, wanted, loaded, data)
    if search and search.arch:
        student = steps.distilled(run, wanted, loaded, data, search.arch)
        weights_path = student.path / "weights.safetensors"
        trained = steps.exporter(run, search.arch, weights_path, loaded, data)
        deployed = steps.deploy(run, "quantise", wanted.quant, data, trained, student.key)
        judged = steps.judge(
            run, models | deployed.models("student"), data, name, base, wanted.goal
        )

    package = steps.package(
        run, wanted, loaded, data, judged, search=search, student=student, out=out, command=command
    )
    if not judged.met:
        raise GoalMissed(f"{judged.missed()}. It is in {out}; the report says what was tried")
    return package


def _overrides(
    latency_ms: float | None,
    size_bytes: int | None,
    drop: float | None,
    seed: int | None,
    overrides: dict[str, Any] | None,  # Any: values of recipe keys
) -> dict[str, Any]:
    given = {
        "goal.max_latency_ms": latency_ms,
        "goal.max_bytes": size_bytes,
        "goal.max_drop": drop,
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
        ("target", f"{target.name} · {measure.host_name()} · {', '.join(measure.isa())}"),
        ("goal", f"{goal.objective}, {', '.join(limits)}"),
    ]
