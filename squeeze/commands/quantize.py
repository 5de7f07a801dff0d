"""`squeeze quantize`: a float model in, one quantised ONNX file out, measured; for people who want only this step."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import machine, measure, paths, steps
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.progress import Progress
from squeeze.run import Run
from squeeze.spec import load_recipe, load_target
from squeeze.workdir import Workdir, check_target_file, write_target_file

if TYPE_CHECKING:
    from squeeze.steps import Judged

Json = dict[str, Any]  # Any: JSON


def quantize_file(
    model: str | Path,
    out: str | Path,
    *,
    calib: str | None = None,
    bits: int = 8,
    target: str = "host",
    weights: str | None = None,
    metric: str | None = None,
    seed: int = 0,
    threads: int | None = None,
    overrides: dict[str, Any] | None = None,  # Any: values of recipe keys
    progress: Progress | None = None,
) -> Json:
    """Writes `model` with int8 activations and weights of `bits` bits to `out`, and says what it costs and gains.

    model, calib, target, weights, metric: as for `squeeze.compile`; without calib the inputs are made from the model
    alone. The architecture and the float weights stay as they are: no training. Raises ConfigError or UnsupportedError,
    and writes nothing, for what cannot be read, and when int8 is not faster here.
    """
    path = Path(out)
    check_target_file(path, Path(model))
    if (overrides or {}).get("quant.method", "post-training") != "post-training":
        raise ConfigError("quant.method: quantize trains nothing; use squeeze compile for that")
    known = {"quant.bits": bits, **(overrides or {}), "quant.method": "post-training"}
    recipe = load_recipe("ptq", known)
    bits = recipe.quant.bits
    if not recipe.quant.enabled:
        raise ConfigError("quant.enabled = false: there is nothing to do then; take it away")
    with tempfile.TemporaryDirectory(prefix="squeeze-") as folder:
        run = Run(
            workdir=Workdir(Path(folder)),
            target=load_target(target),
            seed=seed,
            threads=threads or machine.usable_cores(),
            progress=progress or Progress(),
            table=measure.LatencyTable(paths.state_dir()),
        )
        steps.check(recipe, run.target, data=calib is not None)
        loaded, data = steps.load_inputs(run, str(model), weights, calib, metric)
        name, base = steps.baseline(run, loaded, data, metric)
        kept = steps.keep(run, recipe, loaded, data)
        models = {"teacher": loaded.model, **kept.models("kept")}
        if bits < 8:
            models |= steps.ladder(run, recipe, loaded, data, "kept", kept, name).models
        judged = steps.judge(run, models, data, name, base, recipe.goal)
        picked = _picked(judged, bits, str(model), run.log)
        proof = steps.old_cpus(run, judged.models[picked], data, judged, picked)
        size = steps.size_account(judged.models[picked])
        write = judged.models[picked].read_bytes()
    write_target_file(path, write)
    before, after = judged.measurements["teacher"], judged.measurements[picked]
    return {
        "model": str(model),
        "out": str(path),
        "bits": bits,
        "metric": {"name": name, "before": before.metric, "after": after.metric, "n": after.n},
        "drop": judged.drops[picked],
        "latency_ms": {"before": before.latency_p50_ms, "after": after.latency_p50_ms},
        "speed": judged.latency_ratio[picked],
        "bytes": {"before": before.file_bytes, "after": after.file_bytes},
        "size": size,
        "cpus": proof,
        "assumed": list(data.assumed),
        "steps": run.log,
    }


def _picked(judged: Judged, bits: int, model: str, log: list[Json]) -> str:
    wanted = [n for n in judged.models if n.startswith("kept-") and n != "kept-float"]
    if bits < 8:
        wanted = [n for n in wanted if n != "kept-int8"]
    if not wanted:
        why = next((s["summary"] for s in reversed(log) if s["name"] in ("ladder", "keep")), "")
        raise UnsupportedError(f"{model}: no quantised file was made: {why}")
    return min(wanted, key=lambda n: judged.drops[n])
