"""Runs the models of a folder in whatever onnxruntime this Python has; called by test_other_runtimes.py.

    python old_runtime.py FOLDER [LIBRARY]

<name>.onnx is fed <name>.npz; its output goes to <name>.native.npy with LIBRARY, else to <name>.body.npy.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

folder, library = Path(sys.argv[1]), sys.argv[2:]
for path in sorted(folder.glob("*.onnx")):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    if library:
        options.register_custom_ops_library(library[0])
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    y = session.run(None, dict(np.load(path.with_suffix(".npz"))))[0]
    np.save(path.with_suffix(".native.npy" if library else ".body.npy"), y)
print(ort.__version__)
