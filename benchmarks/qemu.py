"""ONNX Runtime as it runs on an x86 CPU without VNNI: in qemu's user-mode emulation of a Haswell, on this machine.

Debian's package is qemu-user-static. It proves outputs, never speed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

QEMU = "qemu-x86_64-static"
# AVX2, and neither AVX-512 nor VNNI.
CPU = "Haswell"
Array = NDArray[Any]  # Any: of any element type

_SCRIPT = """
import sys
from pathlib import Path
import numpy as np
import onnxruntime as ort

options = ort.SessionOptions()
options.intra_op_num_threads = 1
options.log_severity_level = 4
for inputs in sorted(Path(sys.argv[1]).glob("*.x.npy")):
    model = inputs.with_name(inputs.name.replace(".x.npy", ".onnx"))
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {session.get_inputs()[0].name: np.load(inputs)})[0]
    np.save(inputs.with_name(inputs.name.replace(".x.npy", ".y.npy")), outputs)
"""


def available() -> bool:
    """Whether qemu is installed."""
    return shutil.which(QEMU) is not None


def outputs(models: Sequence[tuple[bytes, Array]], timeout_s: float = 300) -> list[Array]:
    """The output of each model of one input and one output, as a CPU without VNNI computes it.

    Raises CalledProcessError when the emulated process fails, TimeoutExpired when it takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="squeeze-") as folder:
        for i, (model, x) in enumerate(models):
            (Path(folder) / f"{i}.onnx").write_bytes(model)
            np.save(Path(folder) / f"{i}.x.npy", x)
        command = [QEMU, "-cpu", CPU, sys.executable, "-c", _SCRIPT, folder]
        subprocess.run(command, check=True, capture_output=True, timeout=timeout_s)
        return [np.load(Path(folder) / f"{i}.y.npy") for i in range(len(models))]
