"""The answers of a real browser: golden inputs in headless Chromium against ONNX Runtime here, and times beside float.

python -m benchmarks.browser          results/browser.json; --case for one

Two packages for `web-wasm`: the demo network and a detector with SiLU blocks, the sixth of $SQUEEZE_DATA/../cases, made
by its own script. `same_top1`: of how many golden inputs the browser has the same class; of a detector, the class of
its most certain box. Latencies: the float file and ours take turns in one page. Needs Chromium and onnxruntime-web.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results_file
from benchmarks.cases import CASES, cache_dir, data
from squeeze import artifact, seal
from squeeze.compile import compile_model
from squeeze.errors import GoalMissed
from squeeze.measure.on_runtime import outputs_on
from squeeze.runtimes import session
from squeeze.runtimes.runtime import Built
from squeeze.runtimes.web import Web
from squeeze.target import load_target
from squeeze.verification import Golden

RESULTS = Path(__file__).parent / "results" / "browser.json"
FASHION = "teacher-fashion/fashion_resnet.onnx"
DETECTOR = "06_detector_one_output"
RUNS, MOST_SECONDS = 200, 60.0
Array = np.ndarray
Json = dict[str, Any]  # Any: JSON


def best_class(logits: Array) -> int:
    """Of [classes]."""
    return int(logits.argmax())


def best_box_class(boxes: Array) -> int:
    """Of [4 + classes, anchors]: the class of the most certain box."""
    scores = boxes[4:]
    return int(scores.max(1).argmax())


def detector(folder: Path) -> tuple[Path, Path]:
    """The model and its samples, as its script writes them; the samples are images without labels."""
    script = data("README.md").parent.parent / "cases" / f"{DETECTOR}.py"
    subprocess.run([sys.executable, str(script), str(folder)], check=True)
    (model,) = folder.glob(f"{DETECTOR}.onnx")
    return model, model.with_suffix(".npz")


def row(
    name: str,
    teacher: Path,
    float_file: Path,
    calib: str,
    recipe: str,
    top1: Callable[[Array], int],
) -> Json:
    """Compiles for the browser, runs the golden inputs in both places, and times the float file beside ours."""
    target = load_target("web-wasm")
    web = Web(target)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        try:
            package = compile_model(
                str(teacher),
                calib,
                target.name,
                out=folder / "out",
                recipe=recipe,
                cache=cache_dir() / "steps",
            )
        except GoalMissed as e:
            package = artifact.open(e.packages[0])
        assert not isinstance(package, list)
        with np.load(package.path / seal.GOLDEN) as stored:
            known = Golden.read(stored)
        ours, whole = Built({"m": package.model}), Built({"m": float_file})
        there = outputs_on(web, ours, known.inputs, package.interface)
        (output,) = known.outputs
        pairs = list(zip(known.outputs[output], there[output], strict=True))
        sample = {spec.name: known.inputs[spec.name][:1] for spec in package.interface.inputs}
        whole_sample = dict(
            zip((i.name for i in session(float_file).get_inputs()), sample.values(), strict=True)
        )
        rounds = web.time(
            {"float": whole, "squeeze": ours},
            {"float": whole_sample, "squeeze": sample},
            RUNS,
            MOST_SECONDS,
        )
    p50_ms = {one: float(np.median(np.concatenate(found))) / 1e6 for one, found in rounds.items()}
    return {
        "case": name,
        "target": target.name,
        "runtime": web.version,
        "picked": package.manifest["verdict"]["picked"],
        "golden": len(pairs),
        "same_top1": sum(top1(here) == top1(browser) for here, browser in pairs),
        "largest_difference": float(max(np.abs(here - browser).max() for here, browser in pairs)),
        "largest_output": float(np.abs(known.outputs[output]).max()),
        "float_latency_p50_ms": p50_ms["float"],
        "latency_p50_ms": p50_ms["squeeze"],
        "speed": p50_ms["float"] / p50_ms["squeeze"],
    }


def main() -> None:
    """Measures, writes the results; those of the other case stay."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--case", choices=("fashion", "detector"), help="this one alone")
    asked = parser.parse_args().case
    if asked != "detector":
        demo = CASES["fashion"]
        keep(
            row("fashion", demo.teacher_path(), data(FASHION), demo.calib(), "balanced", best_class)
        )
    if asked != "fashion":
        with tempfile.TemporaryDirectory() as scratch:
            model, samples = detector(Path(scratch))
            keep(row("detector", model, model, str(samples), "ptq", best_box_class))


def keep(found: Json) -> None:
    """Puts a case into the results."""
    print(json.dumps(found, indent=1))
    command = f"python -m benchmarks.browser --case {found['case']}"
    results_file.write(RESULTS, command, [found], case=found["case"])


if __name__ == "__main__":
    main()
