"""Would an x86 CPU compute a file's integers otherwise than the device that it is for?

x86 CPUs without VNNI multiply bytes in pairs that saturate. Files for them have uint8 activations and keep their
weights small enough; files with int8 activations are for devices that have no such instruction (NPUs, microcontrollers,
Arm), and use all of 8 bits. What such a file computes is found without the runtime's integer kernels on all x86 CPUs.
"""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path


def saturates(model: Path | bytes) -> bool:
    """Whether the file has int8 activations, and this is an x86 CPU. False for what cannot be read."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    if isinstance(model, bytes):
        return _signed(model)
    try:
        known = model.stat()
    except OSError:
        return False
    return _signed_file(model, known.st_size, known.st_mtime_ns)


@cache
def _signed_file(model: Path, _bytes: int, _changed_ns: int) -> bool:
    return _signed(model.read_bytes())


def _signed(data: bytes) -> bool:
    # Not where sessions are only timed, or their memory is counted.
    import onnx

    try:
        graph = onnx.ModelProto.FromString(data).graph
    except Exception:  # whoever opens it says what is wrong with it
        return False
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    return any(
        node.op_type == "QuantizeLinear"
        and len(node.input) > 2
        and types.get(node.input[2]) == onnx.TensorProto.INT8
        for node in graph.node
    )
