"""The card of a model: what it takes and gives, its architecture, and what it scores, with intervals."""

from __future__ import annotations

import json
from typing import Any

from squeeze import metrics
from squeeze.bom.fields import DATA, Json, number


def card(manifest: Json) -> Json:
    signature, calib = manifest["signature"], manifest["calib"]
    used = [name for name, split in calib["splits"].items() if split["samples"]]
    card: Json = {
        "modelParameters": {
            **(
                {}
                if manifest["arch"] is None
                else {"architectureFamily": manifest["arch"]["family"]}
            ),
            "modelArchitecture": _architecture(manifest),
            "datasets": [{"ref": f"{DATA}/{name}"} for name in used],
            "inputs": [{"format": _format(spec)} for spec in signature["inputs"]],
            "outputs": [{"format": _format(spec)} for spec in signature["outputs"]],
        },
        "quantitativeAnalysis": {
            "performanceMetrics": [*scores(manifest, "student"), *_beside(manifest)]
        },
    }
    if changes := signature["changes"]:
        card["considerations"] = {"technicalLimitations": list(changes)}
    return card


def _architecture(manifest: Json) -> str:
    if manifest["arch"] is None:
        return "the teacher's own"
    return json.dumps(manifest["arch"], sort_keys=True)


def _format(spec: Json) -> str:
    sizes = [str(size) for size in spec["shape"]]
    if spec["batch_axis"] is not None:
        sizes.insert(spec["batch_axis"], str(spec["batch_size"] or "n"))
    return f"{spec['name']}: {spec['dtype']} [{', '.join(sizes)}]"


def scores(manifest: Json, whose: str) -> list[Json]:
    """The metric of each output on the evaluation samples; whose: teacher, student."""
    measured = manifest["measurements"][whose]
    several = len(measured["outputs"]) > 1
    rows = []
    for row in measured["outputs"]:
        where = _samples(measured["n"]) + (f", output {row['output']}" if several else "")
        rows.append(_score(_metric(row["metric"]), row["value"], where, row["interval"]))
    return [row for row in rows if row]


def _beside(manifest: Json) -> list[Json]:
    """What was lost against the teacher on both splits that tell it, and the metric on other kinds of CPU."""
    picked, measured = manifest["verdict"]["picked"], manifest["measurements"]["student"]
    judged = measured["metric_name"]
    evaluated = _samples(measured["n"])
    chosen = f"{manifest['calib']['splits']['calibrate']['samples']} calibration samples"
    drops = manifest["drops"][picked]
    rows = [
        _score("agreement with the teacher, %", manifest["agreement"][picked], evaluated),
        _score(f"points of {judged} lost", drops["evaluate"], evaluated),
        _score(f"points of {judged} lost", drops["calibrate"], chosen),
    ]
    for cpu in (manifest["cpus"] or {}).get("cpus", []):
        where = f"{_samples(cpu['samples'])}, {cpu['cpu']} ({cpu['source']})"
        rows.append(_score(_metric(cpu["metric_name"]), cpu["metric"], where))
    return [row for row in rows if row]


def _score(kind: str, value: Any, where: str, interval: Any = None) -> Json:  # Any: JSON
    """A performance metric; nothing where there is no value."""
    if value is None:
        return {}
    row: Json = {"type": kind, "value": number(value), "slice": where}
    if interval is not None and None not in interval:
        low, high = interval
        row["confidenceInterval"] = {"lowerBound": number(low), "upperBound": number(high)}
    return row


def _samples(n: int) -> str:
    return f"{n} evaluation samples"


def _metric(name: str) -> str:
    unit = metrics.resolve(name).unit
    return f"{name}, {unit}" if unit else name
