"""`squeeze quantize`: a float model in, one quantised ONNX file out, measured; for people who want only this step."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import steps
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.front import TEACHER, Candidate
from squeeze.spec import load_recipe
from squeeze.steps.judging import report_on
from squeeze.steps.manifest import outputs_of
from squeeze.steps.packaging import golden_of
from squeeze.steps.proof import other_cpus, size_account
from squeeze.steps.timing import FASTER
from squeeze.workdir import check_target_file, write_target_file

if TYPE_CHECKING:
    from squeeze.front import Front
    from squeeze.progress import Progress

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
    alone. The architecture and the float weights stay as they are: no training. A file that is smaller but not faster
    here is written, and `not_faster` says so. Raises ConfigError or UnsupportedError, and writes nothing, for what
    cannot be read, and where the file would be neither.
    """
    path = Path(out)
    check_target_file(path, Path(model))
    if (overrides or {}).get("quant.method", "post-training") != "post-training":
        raise ConfigError("quant.method: quantize trains nothing; use squeeze compile for that")
    known = {"quant.bits": bits, "seed": seed, **(overrides or {})}
    recipe = load_recipe("ptq", {**known, "quant.method": "post-training"})
    bits = recipe.quant.bits
    if not recipe.quant.enabled:
        raise ConfigError("quant.enabled = false: there is nothing to do then; take it away")
    (device,) = steps.reach([target], recipe, data=calib is not None)
    with tempfile.TemporaryDirectory(prefix="squeeze-") as folder:
        run = steps.begin(recipe, folder, threads, "cpu", progress)
        case = steps.load(run, str(model), weights, calib, metric)
        front = steps.front(run, case, device, recipe.goal)
        front.add(*steps.deploy(run, case, device, case.net, recipe.quant, slower=True))
        if bits < 8:
            front.add(*steps.fewer_bits(run, case, device, recipe, front))
        picked = _quantised(front, bits, str(model), run.log)
        golden = golden_of(run, case, device, picked)
        if not golden.result["ok"]:
            raise UnsupportedError(f"{model}: {golden.result['summary']}; please report this")
        for name in [n for n in front.candidates if n not in (TEACHER, picked.name)]:
            front = front.without(name)
        measurements, evaluated = report_on(run, case, device, front)
        found = evaluated.result["candidates"]
        cpus = other_cpus(run, case, device, picked, evaluated)
        size = size_account(picked.file)
        data = picked.file.read_bytes()
    before, after, timed = measurements[TEACHER], measurements[picked.name], front.timed()
    slow = _not_faster(timed[picked.name].ratio, before.file_bytes / after.file_bytes)
    if slow and after.file_bytes >= before.file_bytes:
        raise UnsupportedError(
            f"{model}: no quantised file was made: it would be neither faster on this machine "
            f"({timed[picked.name].ratio:.2f}x the speed of the model) nor smaller"
        )
    write_target_file(path, data)
    return {
        "model": str(model),
        "out": str(path),
        "bits": bits,
        "metric": {
            "name": after.metric_name,
            "before": before.metric,
            "after": after.metric,
            "n": after.n,
            "interval": after.interval,
        },
        "drop": found[picked.name]["drop"],
        "outputs": outputs_of(measurements, found, picked.name),
        "latency_ms": {"before": before.latency_p50_ms, "after": after.latency_p50_ms},
        "speed": timed[picked.name].ratio,
        "speed_spread": [timed[picked.name].ratio_p10, timed[picked.name].ratio_p90],
        "not_faster": slow,
        "bytes": {"before": before.file_bytes, "after": after.file_bytes},
        "size": size,
        "cpus": cpus,
        "interface": {**case.interface.to_json(), "changes": list(case.teacher.changes)},
        "assumed": list(case.data.assumed),
        "steps": run.log,
    }


def _not_faster(ratio: float, smaller: float) -> str | None:
    """What is said of a file that does not make the model faster here; None of one that does."""
    if ratio * FASTER > 1:
        return None
    return f"not faster on this machine ({ratio:.2f}x the speed of the model); it is {smaller:.1f}x smaller"


def _quantised(front: Front, bits: int, model: str, log: list[Json]) -> Candidate:
    """The quantised candidate that loses least on the calibrate split. Raises UnsupportedError when there is none."""
    wanted = [
        c
        for c in front.candidates.values()
        if c.form not in (TEACHER, "float") and not (bits < 8 and c.form == "int8")
    ]
    if not wanted:
        why = next((s["summary"] for s in reversed(log) if s["name"] in ("ladder", "keep")), "")
        raise UnsupportedError(f"{model}: no quantised file was made: {why}")
    return min(wanted, key=lambda c: c.drop)
