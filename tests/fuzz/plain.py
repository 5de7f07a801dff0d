"""Whether the runtime itself survives a damaged file, without any code of ours: python -m tests.fuzz.plain BASE SEED.

It opens the file and runs it on ones, optimised and as it stands. Ends with 0 unless the process dies, or is ended
because it does not come back.
"""

from __future__ import annotations

import os
import resource
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime as ort

from tests.fuzz.bases import BASES
from tests.fuzz.mutations import mutated

TYPES = {
    "tensor(bool)": np.bool_,
    "tensor(double)": np.float64,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
}
SAMPLES = (1, 2, 4)
LIMIT_CPU_SECONDS = 60


def main() -> None:
    """Errors are what a damaged file should get."""
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_CPU_SECONDS, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    file = mutated(BASES[sys.argv[1]](), int(sys.argv[2]))
    for level in (
        ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
        ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    ):
        options = ort.SessionOptions()
        options.graph_optimization_level = level
        options.log_severity_level = 4
        for n in SAMPLES:
            try:
                session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
                feed = {
                    v.name: np.ones(
                        [d if isinstance(d, int) else n for d in v.shape], TYPES[v.type]
                    )
                    for v in session.get_inputs()
                }
                session.run(None, feed)
            except Exception as e:  # any error is fine, the end of the process is not
                print(str(e)[:100])


if __name__ == "__main__":
    main()
