"""What runs a file: ONNX Runtime on this CPU, with and without our library."""

from __future__ import annotations

from squeeze.runtimes.fused import fused_ops
from squeeze.runtimes.inference import infer, run, tensors
from squeeze.runtimes.ort import ORT_ERRORS, session

__all__ = [
    "ORT_ERRORS",
    "fused_ops",
    "infer",
    "run",
    "session",
    "tensors",
]
