"""What the written file says of itself: made from the case, and at the end from what the verdict says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import squeeze
from squeeze import contract as contracts
from squeeze import metrics
from squeeze.contract import LONGEST, NUMBERS, VECTOR, Contract, rounded
from squeeze.front import TEACHER
from squeeze.run import STEPS_VERSION, keyed, versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from squeeze.calib import Calib, Preprocess
    from squeeze.case import Case
    from squeeze.device import Device
    from squeeze.interface import TensorSpec
    from squeeze.metrics import Reading
    from squeeze.run import Run
    from squeeze.spec import Measurement, Recipe

Json = dict[str, Any]  # Any: JSON

FORMULA = "(x * scale - mean) / std"
# What a final activation makes of the scores of classes.
_SCORES = {
    "softmax": "probabilities of classes",
    "sigmoid": "probability of each class by itself",
    "none": "scores of classes before softmax",
}
_LABELS = {
    "boxes": "boxes",
    "pairs": VECTOR,
    "tags": "scores of the classes of each token",
    "text": "scores of characters",
}


def contract_of(case: Case, device: Device) -> Contract:
    """All that is known before anything is judged, and room for the rest. The teacher's own entries stay."""
    written, teacher = case.as_written(), case.teacher
    data = written.data
    known: Json = {
        "version": squeeze.__version__,
        "target": device.name,
        "inputs": [_input(data, spec) for spec in written.interface.inputs],
        "outputs": [_output(case, spec) for spec in case.interface.outputs],
        "made_from": {"teacher": teacher.digest, "data": data.digest},
    }
    if data.class_names:
        known["classes"] = list(data.class_names)
    if data.text is not None:
        known["text"] = data.text.to_json()
    room = {"build": "0" * 64, "measured": _longest(case)}
    return Contract(known, room, teacher.metadata)


def fulfilled(
    run: Run,
    case: Case,
    device: Device,
    recipe: Recipe,
    measurements: Mapping[str, Measurement],
    drops: Sequence[float],
    picked: str,
) -> Json:
    """What the contract says last: the key of the build, and what is found of the picked file on the evaluate split.
    drops: of each output."""
    before, after = measurements[TEACHER], measurements[picked]
    build = contracts.build_key(
        case=keyed(case),
        recipe=keyed(recipe),
        device=keyed(device),
        seed=run.seed,
        threads=run.threads,
        embeds=case.embeds,
        versions={**versions(), "steps": STEPS_VERSION},
    )
    measured = [
        {
            **_measured(now.output, now.metric),
            "value": rounded(now.value),
            "teacher": rounded(was.value),
            "drop": rounded(drop),
            "interval": None if now.interval is None else [rounded(end) for end in now.interval],
            "samples": after.n,
        }
        for was, now, drop in zip(before.outputs, after.outputs, drops, strict=True)
    ]
    return {"build": build, "measured": measured}


def _longest(case: Case) -> list[Json]:
    """What is measured, with the longest of all numbers; a metric may give way to another on samples without labels."""
    named = max(metrics.METRICS, key=lambda name: len(_text_of(name)))
    numbers = dict.fromkeys(("value", "teacher", "drop"), LONGEST)
    samples = len(case.data.evaluate)
    return [
        {
            **_measured(reading.output, max(reading.metric, named, key=lambda m: len(_text_of(m)))),
            **numbers,
            "interval": [LONGEST, LONGEST],
            "samples": samples,
        }
        for reading in case.readings
    ]


def _measured(output: str, metric: str) -> Json:
    return {"output": output, "metric": metric, "unit": metrics.resolve(metric).unit}


def _text_of(metric: str) -> str:
    return metric + metrics.resolve(metric).unit


def _input(data: Calib, spec: TensorSpec) -> Json:
    stored = data.fit.arrays[spec.name]
    found: Json = {
        "name": spec.name,
        "preprocess": _preprocess(data.preprocesses[spec.name]),
        "stored": {"dtype": str(stored.dtype), "shape": list(stored.shape[1:])},
    }
    if spec.name in data.embedded:
        found["embedded"] = _preprocess(data.embedded[spec.name])
    if len(data.preprocesses) == 1:
        found["holds"] = data.modality
    return found


def _preprocess(known: Preprocess) -> Json:
    return {**known.model_dump(mode="json"), "formula": FORMULA}


def _output(case: Case, spec: TensorSpec) -> Json:
    means = [_meaning(case, reading) for reading in case.readings if spec.name in reading.names]
    return {"name": spec.name, "means": means[0] if means else "not judged"}


def _meaning(case: Case, reading: Reading) -> str:
    metric = metrics.resolve(reading.metric)
    if metric.labels != "plain":
        return _LABELS[metric.labels]
    if metric.compares == "classes" and len(case.interface.outputs) == 1:
        return _SCORES[case.teacher.output_activation]
    return {"classes": "scores of classes", "values": NUMBERS, "directions": VECTOR}.get(
        metric.compares, "what its metric reads"
    )
