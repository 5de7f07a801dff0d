"""The inside of the child process whose memory is measured: see `memory`. Imports nothing it does not need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from squeeze.errors import SqueezeError
from squeeze.runtimes.ort import ORT_ERRORS, first_line, native_library, session
from squeeze.runtimes.signature import signature, sized

if TYPE_CHECKING:
    import onnxruntime as ort

# An ONNX file, in bytes: IR version 8, opset 17, one Relu from x to y, both float32 [1].
_TRIVIAL = bytes.fromhex(
    "08083a330a0c0a0178120179220452656c751201675a0f0a0178120a0a08080112040a020801620f0a0179120a0a08"
    "080112040a02080142040a001011"
)


def grow(job: dict[str, Any]) -> dict[str, Any]:  # Any: parsed JSON
    """Runs the job's model; {"peak_bytes", "resident_bytes"}, or {"error": text}."""
    try:
        native_library()
        trivial = session(_TRIVIAL)
        _run(trivial, _zeros(trivial), runs=2)
        before = _clear_peak()
        opened = session(Path(job["model"]), threads=job["threads"])
        _run(opened, _given(job) or _zeros(opened), runs=job["runs"])
        after = _status_bytes()
    except ORT_ERRORS as e:
        return {"error": f"the model failed: {first_line(e)}"}
    except SqueezeError as e:
        return {"error": str(e)}
    return {
        "peak_bytes": max(0, after["VmHWM"] - before),
        "resident_bytes": max(0, after["VmRSS"] - before),
    }


def _given(job: dict[str, Any]) -> dict[str, npt.NDArray[np.generic]]:  # Any: parsed JSON
    """What the job has for its inputs, by name; empty where it has nothing."""
    names = job["feeds"] or []
    return {name: np.load(Path(job["folder"]) / f"{i}.npy") for i, name in enumerate(names)}


def _zeros(opened: ort.InferenceSession) -> dict[str, npt.NDArray[np.generic]]:
    """Zeros suit most models (they are valid token ids). Written out: fresh zeros would take no memory."""
    return {needs.name: np.full(sized(needs, None), 0, needs.dtype) for needs in signature(opened)}


def _run(
    opened: ort.InferenceSession, feeds: dict[str, npt.NDArray[np.generic]], runs: int
) -> None:
    for _ in range(runs):
        opened.run(None, feeds)


def _clear_peak() -> int:
    """Sets the peak back to what is resident now, and returns that; where it stays, growth above it counts."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return _status_bytes()["VmHWM"]
    return _status_bytes()["VmRSS"]


def _status_bytes() -> dict[str, int]:
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    pairs = (line.split() for line in lines if line.endswith(" kB"))
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in pairs}
