"""`squeeze quantize`: a float model in, one quantised ONNX file out, measured; for people who want only this step."""

from __future__ import annotations

import logging
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import measure, steps
from squeeze.account.float_parts import float_parts
from squeeze.commands.gain import Aim, Gain, why_little
from squeeze.commands.remarks import (
    at_8_bits,
    float_arithmetic,
    missed_by,
    not_faster,
    refused,
    said,
    without_int8,
)
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.front import TEACHER
from squeeze.goal import holds_drop
from squeeze.metrics import DEFAULT_DROP
from squeeze.quant.weights.levels import FULL_BITS
from squeeze.runtimes.ort import uses_our_ops
from squeeze.spec import load_recipe
from squeeze.steps.contract import contract_of, fulfilled
from squeeze.steps.judging import report_on
from squeeze.steps.manifest import changes_of, outputs_of
from squeeze.steps.noise import undecided
from squeeze.steps.packaging import golden_of
from squeeze.steps.proof import other_cpus, size_account
from squeeze.steps.timing import compared
from squeeze.workdir import check_target_file, write_target_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from squeeze.calib import Asked, AskedText
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.front import Candidate, Front, Timed
    from squeeze.progress import Progress
    from squeeze.run import Run
    from squeeze.spec import Measurement, Objective
    from squeeze.workdir import Step

logger = logging.getLogger(__name__)
Json = dict[str, Any]  # Any: JSON

_OBJECTIVES: dict[Aim, Objective] = {"both": "balanced", "size": "smallest", "speed": "fastest"}


def quantize_file(
    model: str | Path,
    out: str | Path,
    *,
    calib: str | None = None,
    bits: int = 8,
    drop: float = DEFAULT_DROP,
    aim: Aim = "both",
    keep_float: Sequence[str] = (),
    weights_only: bool = False,
    target: str = "host",
    weights: str | None = None,
    metric: str | None = None,
    seed: int = 0,
    threads: int | None = None,
    overrides: dict[str, Any] | None = None,  # Any: values of recipe keys
    shape: Mapping[str, Sequence[int]] | None = None,
    preprocess: Asked | None = None,
    text: AskedText | None = None,
    accept_baseline: bool = False,
    embed_preprocess: bool = False,
    progress: Progress | None = None,
) -> Json:
    """Writes `model` with int8 activations and weights of `bits` bits to `out`, and says what it costs and gains.

    model, calib, target, weights, metric, shape, preprocess, text, accept_baseline, embed_preprocess: as for
    `squeeze.compile`; without calib the inputs are made from the model alone. The architecture and the float weights
    stay as they are: no training.
    drop: points of the metric that may be lost. Where plain int8 loses more, the nodes that cost most stay float; where
    that is not enough either, the file that loses least is written, and `missed` says what it loses and what to try
    weights_only: weights of matrix products in blocks of 8 or 4 bits, float activations: for decoders
    aim: what counts among the files inside the drop; "size" takes the smallest even where it is slower, "speed" none
    that is not faster
    keep_float: names, patterns or operators of nodes that stay float

    A file that is not faster here but smaller, by more than a twentieth unless the aim is size, is written unless the
    aim is speed, and `not_faster` says so. Raises ConfigError or UnsupportedError, and writes nothing, for what cannot
    be read, and where the file would be neither.
    """
    path = Path(out)
    check_target_file(path, Path(model))
    if (overrides or {}).get("quant.method", "post-training") != "post-training":
        raise ConfigError("quant.method: quantize trains nothing; use squeeze compile for that")
    known = {"quant.bits": bits, "goal.max_drop": drop, "seed": seed, **(overrides or {})}
    if weights_only:
        known["quant.weights_only"] = True
    if keep_float:
        known["quant.keep_float"] = list(keep_float)
    recipe = load_recipe("ptq", {**known, "quant.method": "post-training"})
    bits = recipe.quant.bits
    if recipe.goal.max_worst_class_drop is not None:
        raise ConfigError(
            "goal.max_worst_class_drop: is a goal of squeeze compile (--worst-class-drop), and quantize has --drop "
            "alone; take it away"
        )
    if not recipe.quant.enabled:
        raise ConfigError("quant.enabled = false: there is nothing to do then; take it away")
    (device,) = steps.reach([target], recipe, data=calib is not None)
    if embed_preprocess:
        steps.refuse_embedding([device], data=calib is not None)
    recipe = steps.fitting(recipe, device)
    with tempfile.TemporaryDirectory(prefix="squeeze-") as folder:
        run = steps.begin(recipe, folder, threads, "cpu", progress)
        keep = recipe.quant.keep_float
        case = steps.load(
            run,
            str(model),
            weights,
            calib,
            metric,
            shape,
            trained=False,
            keep_float=keep,
            preprocess=preprocess,
            text=text,
        )
        steps.refuse_broken(run, case, accept=accept_baseline)
        case = steps.embedding(case) if embed_preprocess else case
        steps.refuse_lacking(case, device, recipe)
        goal = recipe.goal.model_copy(update={"objective": _OBJECTIVES[aim]})
        front = steps.front(run, case, device, goal)
        front.add(*steps.deploy(run, case, device, case.net, recipe.quant, slower=True))
        front.add(*steps.fewer_bits(run, case, device, recipe, front))
        names = _quantised(front, bits, str(model), run.log)
        while True:
            picked = front.pick(names)
            golden = golden_of(run, case, device, picked)
            if not golden.result["ok"]:
                unsound = f"{golden.result['summary']}; please report this"
                if not (names := [n for n in names if n != picked.name]):
                    raise UnsupportedError(f"{model}: {unsound}")
                logger.warning("%s", unsound)
                front = front.without(picked.name)
                continue
            measurements, evaluated, timed = _reported(run, case, device, front, picked)
            before, after = measurements[TEACHER], measurements[picked.name]
            drop = evaluated.result["candidates"][picked.name]["drop"]
            labelled = case.data.evaluate.y is not None
            noise = undecided(goal, before.outputs, after.outputs, labelled=labelled)
            missed = missed_by(path, goal, picked, drop, noise)
            # What was inside on the calibrate split alone gives way to what is further inside there.
            inside = [n for n in names if holds_drop(goal, front.candidates[n].drop)]
            names = [n for n in inside if front.candidates[n].drop < picked.drop]
            if missed is None or not names:
                break
        found = evaluated.result["candidates"]
        cpus = other_cpus(run, case, device, picked, evaluated)
        last = fulfilled(
            run, case, device, recipe, measurements, found[picked.name]["drops"], picked.name
        )
        promise = contract_of(case, device)
        written = Path(folder) / "written.onnx"
        written.write_bytes(promise.written(picked.shipped.read_bytes(), last))
        size = size_account(written, picked.net.file)
        changes = changes_of(case, written)
        original = front.candidates[TEACHER].original
        stock = _stock_speed(device, picked, front.candidates[TEACHER], case)
        no_int8 = without_int8(run.log, picked.file, picked.form)
        data = written.read_bytes()
        # What a device loads has no contract, and no file is refused for its own.
        network = picked.bare_bytes if after.file_bytes == picked.bytes else after.file_bytes
        gain = Gain(timed[picked.name].ratio, before.file_bytes, network)
        little = (
            ""
            if gain.is_much_smaller
            else why_little(float_parts(picked.file, case.teacher.model), len(data))
        )
    # Of a device without floats there is nothing to be faster than.
    slow = not device.integers_only and not gain.is_faster
    still_float = [f"{one['name']} ({one['why']})" for one in picked.story.get("float", [])]
    # What the preprocessing takes is no loss of the file's: the model is timed without any.
    if slow and not embed_preprocess and not gain.is_enough(aim):
        raise UnsupportedError(*refused(str(model), gain, [little, *still_float, *no_int8]))
    write_target_file(path, data)
    return {
        "model": str(model),
        "out": str(path),
        "bits": picked.bits,
        "at_8_bits": at_8_bits(bits, picked, front, run.log),
        "metric": {
            "name": after.metric_name,
            "before": before.metric,
            "after": after.metric,
            "n": after.n,
            "interval": after.interval,
        },
        "drop": drop,
        "max_drop": goal.max_drop,
        "missed": missed,
        "float": picked.story.get("float", []),
        "float_arithmetic": float_arithmetic(front, goal, picked),
        "no_int8": no_int8,
        "outputs": outputs_of(measurements, found, picked.name),
        "latency_ms": {"before": before.latency_p50_ms, "after": after.latency_p50_ms},
        "work": {
            "what": timed[picked.name].what,
            "before": timed[TEACHER].work,
            "after": timed[picked.name].work,
        },
        "speed": timed[picked.name].ratio,
        "speed_spread": [timed[picked.name].ratio_p10, timed[picked.name].ratio_p90],
        "stock_speed": stock,
        "not_faster": not_faster(gain, little) if slow else None,
        "bytes": {"before": before.file_bytes, "after": after.file_bytes},
        "size": size,
        "cpus": cpus,
        "contract": promise.to_json(last),
        "interface": {**case.as_written().interface.to_json(), "changes": changes},
        "assumed": list(case.data.assumed),
        "model_runs": original is None or original.runs,
        "steps": run.log,
    }


def _reported(
    run: Run, case: Case, device: Device, front: Front, picked: Candidate
) -> tuple[dict[str, Measurement], Step, Mapping[str, Timed]]:
    """What is found of the teacher and of what was picked, and their latencies."""
    for name in [n for n in front.candidates if n not in (TEACHER, picked.name)]:
        front = front.without(name)
    return *report_on(run, case, device, front, picked), front.timed()


def _stock_speed(device: Device, picked: Candidate, teacher: Candidate, case: Case) -> float | None:
    """How many times faster the file is where our library is absent; None where it has none of our ops."""
    if not uses_our_ops(picked.file):
        return None
    sample = case.data.feed(case.data.calibrate, 0, 1)
    if not case.embeds:
        given = (sample, case.interface)
        return 1 / compared(device, picked.file, teacher.file, *given, native=False).ratio
    written = case.as_written()
    stored = written.data.feed(written.data.calibrate, 0, 1)
    found = measure.latency_each(
        {
            "teacher": (teacher.file, sample, case.interface),
            "file": (picked.shipped, stored, written.interface),
        },
        threads=device.threads,
        native=False,
    )
    return measure.compared(found["teacher"], found["file"]).ratio


def _quantised(front: Front, bits: int, model: str, log: list[Json]) -> list[str]:
    """The quantised candidates; those of few bits where they were asked for, unless no such file is there or smaller
    than one of 8 bits. Raises UnsupportedError when there is none."""
    known = [c for c in front.candidates.values() if c.form not in (TEACHER, "float")]
    whole = [c for c in known if c.bits >= FULL_BITS]
    wanted = known
    if bits < FULL_BITS:
        least = min((c.bytes for c in whole), default=math.inf)
        wanted = [c for c in known if c.bits < FULL_BITS and c.bytes < least] or whole
    if not wanted:
        raise UnsupportedError(f"{model}: no quantised file was made: {said(log, 'keep')}")
    return [c.name for c in wanted]
