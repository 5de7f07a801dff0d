"""What squeeze's files cost on every shipped target, beside reference files of the same networks.

python -m benchmarks.targets                            all cases on all targets that can be asked here
python -m benchmarks.targets --case fashion --target ethos-u55-128
python -m benchmarks.targets --recipe balanced --case mlperf-resnet8 --target mcu-cortex-m4 --prune 0.3

A row is one case on one target: its figure with unit and class (`source`), the metric of the device's own file and of
the ONNX file, memory, and for `run` = reference the figures of the published int8 .tflite file by the same tool. A case
on a target that is not asked here, for want of a tool, leaves the row of an earlier run as it is; that is said.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import host, results_file
from benchmarks.cases import CASES, IMAGES, cache_dir, data
from squeeze import artifact
from squeeze.compile import compile_model
from squeeze.errors import GoalMissed, SqueezeError
from squeeze.runtimes.runtime import Built, Cost, Runtime
from squeeze.runtimes.table import runtime_of
from squeeze.spec import names
from squeeze.target import Target, load_target
from squeeze.tflite import ports_of
from squeeze.verification import verify

RESULTS = Path(__file__).parent / "results" / "targets.json"
# Cases that go to every target, and those of small networks, which go to NPUs and microcontrollers.
EVERYWHERE, SMALL = ("fashion",), ("mlperf-resnet8", "mlperf-mobilenetv1")
REFERENCES = {
    "mlperf-resnet8": "teachers-mlperf-tiny/ref-tflite/pretrainedResnet_quant.tflite",
    "mlperf-mobilenetv1": "teachers-mlperf-tiny/ref-tflite/vww_96_int8.tflite",
}
MORE_IMAGES = {"mlperf-resnet8": "cifar_jpeg"}
# The same share of each layer: the peak of RAM is at one place, and hardly ever where weights mean least.
PRUNING = {
    "search.evaluations": 0,
    "prune.scope": "group",
    "prune.align": 4,
    "prune.rounds": 1,
    "prune.steps": 4000,
}
RUNS_TFLITE = ("ethos-u", "tflite-micro")
logger = logging.getLogger(__name__)
Json = dict[str, Any]  # Any: JSON


def main() -> None:
    """Compiles the wanted cases for the wanted targets; keeps each row as soon as there is one."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", choices=(*EVERYWHERE, *SMALL))
    parser.add_argument("--target", action="append", choices=names("targets"))
    parser.add_argument("--recipe", default="ptq")
    parser.add_argument("--ram", type=int, help="a goal, in bytes")
    parser.add_argument("--drop", type=float, help="a goal, in points")
    parser.add_argument("--prune", type=float, help="in place of a search: the share of the MACs")
    asked = parser.parse_args()
    for name in asked.target or names("targets"):
        target = load_target(name)
        small = target.runtime.name in (*RUNS_TFLITE, "hexagon")
        for case in asked.case or (*EVERYWHERE, *(SMALL if small else ())):
            rows = [_compiled(case, target, asked.recipe, asked.ram, asked.prune, asked.drop)]
            if case in REFERENCES and target.runtime.name in RUNS_TFLITE:
                rows.append(_reference(case, target))
            keep([row for row in rows if row is not None])


def keep(rows: list[Json]) -> None:
    """Puts rows in the place of those of this host for the same case, target, run and recipe."""
    document = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"rows": []}
    key = ("host", "case", "target", "run", "recipe")
    machine = host.describe()
    name = results_file.name_of(document, machine)
    made = [{"host": name, **row} for row in rows]
    new = {tuple(row.get(k) for k in key) for row in made}
    kept = [row for row in document["rows"] if tuple(row.get(k) for k in key) not in new]
    ordered = sorted([*kept, *made], key=lambda row: [str(row.get(k)) for k in key])
    hosts = {**document.get("hosts", {}), name: {**machine, "versions": host.versions()}}
    document = {"command": "python -m benchmarks.targets", "hosts": hosts, "rows": ordered}
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")


def _compiled(
    case: str,
    target: Target,
    recipe: str,
    ram_bytes: int | None,
    pruned: float | None,
    drop: float | None,
) -> Json | None:
    if missing := runtime_of(target).missing():
        logger.info("%s on %s: not asked: %s", case, target.name, missing)
        return None
    with tempfile.TemporaryDirectory(prefix="squeeze-targets-") as scratch:
        folder = Path(scratch)
        teacher, calib = CASES[case].teacher_path(), CASES[case].calib()
        told = recipe if ram_bytes is None else f"{recipe}, at most {ram_bytes} bytes of RAM"
        told += f", {pruned:.0%} of the MACs pruned" if pruned else ""
        told += f", at most {drop:g} points lost" if drop is not None else ""
        row: Json = {"case": case, "target": target.name, "run": "squeeze", "recipe": told}
        try:
            package = compile_model(
                str(teacher),
                str(calib),
                target.name,
                out=folder / "out",
                recipe=recipe,
                ram_bytes=ram_bytes,
                prune=pruned,
                drop=drop,
                overrides=PRUNING if pruned else None,
                cache=cache_dir() / "steps",
            )
        except GoalMissed as e:
            row["goal_missed"] = str(e)
            package = artifact.open(e.packages[0])
        except SqueezeError as e:
            logger.info("%s on %s: %s", case, target.name, e)
            return {**row, "error": str(e)}
        assert not isinstance(package, list)
        checks = verify(package.path)
        manifest = package.manifest
        row["verified"] = all(check.ok for check in checks)
        student = manifest["measurements"]["student"]
        device = manifest["device"] or {"cost": {}, "drop_onnx": None, "outputs": None}
        row |= _figures(device["cost"], student)
        row |= {
            "picked": manifest["verdict"]["picked"],
            "metric_name": student["metric_name"],
            "metric": student["metric"],
            "metric_onnx": device.get("metric_onnx", student["metric"]),
            "metric_teacher": manifest["measurements"]["teacher"]["metric"],
            "n": student["n"],
            "file_bytes": student["file_bytes"],
            "params": student["params"],
        }
        if (written := package.path / "model.tflite").is_file():
            row |= _on_more_images(case, target, runtime_of(target).build(written, folder))
    logger.info("%s on %s: %s", case, target.name, row)
    return row


def _figures(cost: Json, student: Json) -> Json:
    """The value that the device is judged by, and what it takes of memory."""
    latency = student["latency_p50_ms"]
    if cost.get("cycles") is not None:
        value, unit = cost["cycles"], "cycles"
    elif latency is not None:
        value, unit = latency, "ms"
    elif cost.get("traffic_bytes"):
        value, unit = sum(cost["traffic_bytes"].values()), "bytes moved"
    else:
        value, unit = cost.get("ram_bytes"), "bytes of RAM"
    return {
        "source": student["source"],
        "value": value,
        "unit": unit,
        "accelerator_share": cost.get("accelerator_share"),
        "left_over": list(cost.get("left_over") or ()),
        "traffic_bytes": cost.get("traffic_bytes") or {},
        "ram_bytes": cost.get("ram_bytes"),
        "persistent_bytes": cost.get("persistent_bytes"),
        "flash_bytes": cost.get("flash_bytes"),
    }


def _reference(case: str, target: Target) -> Json | None:
    """The published int8 file by the same tool."""
    runtime = runtime_of(target)
    if runtime.missing():
        return None
    with tempfile.TemporaryDirectory(prefix="squeeze-targets-") as scratch:
        built: Built = runtime.build(data(REFERENCES[case]), Path(scratch))
        cost: Cost = runtime.cost(built)
        told = {"latency_p50_ms": cost.latency_ms, "source": cost.source}
        figures = _figures(vars(cost) | {"traffic_bytes": dict(cost.traffic_bytes)}, told)
        figures |= _top1(runtime, built, CASES[case].images, CASES[case].scale)
        figures |= _on_more_images(case, target, built)
    return {"case": case, "target": target.name, "run": "reference", "recipe": "", **figures}


def _top1(runtime: Runtime, built: Built, images: str, scale: str) -> Json:
    """Of a file on the test images of a set, which it stores as [n, h, w, c]."""
    arrays = IMAGES[images]()
    top, _, bottom = scale.partition("/")
    x = arrays["x_test"].astype(np.float32) * np.float32(float(top) / float(bottom))
    (port,) = ports_of(built.files["model.tflite"]).inputs
    assert port.shape[1:] == x.shape[1:]
    (answers,) = runtime.run(built, {port.name: x.transpose(np.argsort(port.axes))}).values()
    right = answers.reshape(len(x), -1).argmax(1) == arrays["y_test"]
    return {"metric_name": "top1", "metric": float(100 * right.mean()), "n": len(x)}


def _on_more_images(case: str, target: Target, built: Built) -> Json:
    """The same on a larger set, where there is one: of the 200 official images one is half a point."""
    if case not in MORE_IMAGES or target.runtime.name != "ethos-u":
        return {}
    found = _top1(runtime_of(target), built, MORE_IMAGES[case], CASES[case].scale)
    return {"metric_more": found["metric"], "n_more": found["n"], "images_more": MORE_IMAGES[case]}


if __name__ == "__main__":
    main()
