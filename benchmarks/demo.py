"""The demo of the README by several seeds: what its file lost, how fast and small it is, and how long it took.

    python -m benchmarks.demo --seeds 3 --steps 833 1250

Each seed is what `make demo` runs, a process of its own with an empty cache, on all cores; `--steps` is `shrink.steps`,
whose default is a third of `distill.steps`. `wall_s` counts start to end, so nothing should run beside it. Writes
benchmarks/results/demo.json (rows: steps, seed, wall_s, training_s, teacher_metric, metric and drop in points of top-1
on the evaluate split, calibrate_drop as what is picked there is judged, speedup and its spread, bytes,
teacher_bytes, picked, pick).
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import results_file
from benchmarks.cases import ROOT

RESULTS = ROOT / "benchmarks/results/demo.json"
DEMO = "examples/fashion/fashion_resnet.pt2 --calib fashion --target host --drop 1.5 --size 216KB"
TRAINING = "distill-shrunk"
logger = logging.getLogger(__name__)
Json = dict[str, Any]  # Any: JSON


def compiled(steps: int, seed: int, folder: Path) -> Json:
    """One row. Raises RuntimeError with what the compile said where it wrote nothing."""
    command = [sys.executable, "-m", "squeeze", "compile", *DEMO.split(), "--seed", str(seed)]
    command += ["--set", f"shrink.steps={steps}", "--cache", str(folder / "cache")]
    command += ["--json", "-o", str(folder / "out")]
    began = time.perf_counter()
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    wall_s = time.perf_counter() - began
    # 4: a package that misses its goal was written; its row is one too.
    if ran.returncode not in (0, 4):
        raise RuntimeError(f"exit {ran.returncode}: {ran.stderr[-400:]}")
    return {
        "steps": steps,
        "seed": seed,
        "wall_s": round(wall_s, 1),
        **row_of(json.loads(ran.stdout)),
    }


def row_of(said: Json) -> Json:
    """What a compile's manifest, with its verdict, tells of the file that it picked."""
    picked = said["verdict"]["picked"]
    teacher, student = said["measurements"]["teacher"], said["measurements"]["student"]
    return {
        "training_s": [one["seconds"] for one in said["steps"] if one["name"] == TRAINING],
        "pick": next(one["summary"] for one in said["steps"] if one["name"] == "shrink"),
        "picked": picked,
        "met": said["verdict"]["met"],
        "teacher_metric": teacher["metric"],
        "metric": student["metric"],
        "drop": round(said["verdict"]["drop"], 2),
        "calibrate_drop": round(said["drops"][picked]["calibrate"], 2),
        "speedup": round(said["latency_ratio"][picked], 2),
        "speedup_spread": [round(ratio, 2) for ratio in said["latency_ratio_spread"][picked]],
        "bytes": student["file_bytes"],
        "teacher_bytes": teacher["file_bytes"],
    }


def main() -> None:
    """Compiles with each number of steps and seed, and writes a row of each."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", nargs="+", type=int, default=[833, 1250])
    given = parser.parse_args()
    rows = list[Json]()
    for seed in range(given.seeds):
        for steps in given.steps:
            with tempfile.TemporaryDirectory() as scratch:
                rows.append(compiled(steps, seed, Path(scratch)))
            logger.info("%s", rows[-1])
    steps = " ".join(map(str, given.steps))
    results_file.write(
        RESULTS, f"python -m benchmarks.demo --seeds {given.seeds} --steps {steps}", rows
    )


if __name__ == "__main__":
    main()
