"""What squeeze itself costs: the start of the command line, and the memory of calibration against its samples.

python -m benchmarks.overheads
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import results_file

RESULTS = Path(__file__).parent / "results" / "overheads.json"
STARTS = 21
SAMPLES = (200, 2000)
REPEATS = 3
Json = dict[str, Any]  # Any: JSON

# Runs in a process of its own, so that the peak is that of this calibration alone. The ranges of the bundled teacher
# are read from random images, which cost the same memory as real ones.
CALIBRATION = """
import resource, sys
from pathlib import Path
import numpy as np
from benchmarks.feeds import interface_of, optimise
from squeeze import graph, quant
from squeeze.feed import Passes
from squeeze.spec import QuantPart
folder, samples = Path(sys.argv[1]), int(sys.argv[2])
model = graph.load(folder / "teacher.onnx")
x = np.random.default_rng(0).normal(size=(32, 1, 28, 28)).astype(np.float32)
optimise(model, x)
interface = interface_of(model)
name = interface.only_input.name
passes = Passes(interface, lambda: ({name: x[: min(32, samples - i)]} for i in range(0, samples, 32)))
quant.quantize(model, passes, activations="uint8", part=QuantPart(samples=samples))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def main() -> None:
    """Measures both and puts this machine's rows into results/overheads.json."""
    starts = sorted(_start_seconds() for _ in range(STARTS))
    rows: list[Json] = [
        {
            "case": "squeeze --help",
            "run": "squeeze",
            "seconds_p50": round(median(starts), 4),
            "seconds_max": round(starts[-1], 4),
            "runs": STARTS,
        }
    ]
    peaks = {n: median(_calibration_bytes(n) for _ in range(REPEATS)) for n in SAMPLES}
    rows += [
        {
            "case": "calibration peak memory",
            "run": f"{n} samples",
            "peak_bytes": int(peak),
            "ratio_to_200": round(peak / peaks[SAMPLES[0]], 4),
            "runs": REPEATS,
        }
        for n, peak in peaks.items()
    ]
    results_file.write(RESULTS, "python -m benchmarks.overheads", rows)
    sys.stdout.write(json.dumps(rows, indent=1) + "\n")


def _start_seconds() -> float:
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "squeeze", "--help"], check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - started


def _calibration_bytes(samples: int) -> float:
    import tempfile

    from squeeze import teacher

    source = Path(__file__).parent.parent / "examples/fashion/fashion_resnet.pt2"
    with tempfile.TemporaryDirectory() as folder:
        teacher.load(str(source), weights=None, example=None, folder=Path(folder))
        done = subprocess.run(
            [sys.executable, "-c", CALIBRATION, folder, str(samples)],
            check=True,
            capture_output=True,
            text=True,
        )
    return float(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
