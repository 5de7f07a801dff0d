"""How much memory a model needs: how far the resident set of a fresh process grows while it opens and runs it.

The child process has already opened and run a one-node model when the counting starts, so that the runtime's own
code and buffers are not counted. From there: opening the model (parsing, packed weights) and `runs` inferences
with batch 1. `peak_bytes` is the highest point of the resident set (VmHWM, cleared before), `resident_bytes`
where it ended. Both are growth in whole pages; what the process already held and reuses does not show, which for
a model of some kilobytes is most of it. Linux only: the numbers come from /proc.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from squeeze.errors import MeasureError

# The module path is ours to give: an isolated interpreter (-I) takes nothing from the environment or the folder.
_CHILD = (
    "import json, sys; job = json.load(sys.stdin); sys.path[:] = job['path']; "
    "from squeeze.measure.memory_child import grow; print(json.dumps(grow(job)))"
)


@dataclass(frozen=True)
class Memory:
    """Growth of a fresh process: at the highest point, and after the last run."""

    peak_bytes: int
    resident_bytes: int


def can_measure() -> bool:
    """Whether this system tells the resident set of a process."""
    return Path("/proc/self/status").exists()


def peak_memory(
    model: Path,
    *,
    threads: int = 1,
    runs: int = 5,
    feeds: Mapping[str, npt.NDArray[np.generic]] | None = None,
    timeout_s: float = 120.0,
) -> Memory:
    """Measures `model` in a child process. `feeds` is one run, by input; by default zeros of the model's own shapes
    with a batch of 1. Raises MeasureError when the model cannot run, or not within `timeout_s`."""
    if not can_measure():
        raise MeasureError("peak memory: this system has no /proc, from which it is read")
    job: dict[str, Any] = {  # Any: JSON
        "model": str(model.resolve()),
        "path": [str(Path(entry).resolve()) for entry in sys.path],
        "runs": runs,
        "feeds": None,
        "threads": threads,
    }
    with tempfile.TemporaryDirectory(prefix="squeeze-") as folder:
        if feeds is not None:
            job["feeds"] = [*feeds]
            for i, array in enumerate(feeds.values()):  # names may be none for files
                np.save(Path(folder) / f"{i}.npy", array)
            job["folder"] = folder
        child = _run(job, model, runs, timeout_s)
    if child.returncode != 0:
        raise MeasureError(f"{model}: peak memory: {_why(child.returncode, child.stderr)}")
    result: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])  # Any: parsed JSON
    if "error" in result:
        raise MeasureError(f"{model}: peak memory: {result['error']}")
    return Memory(int(result["peak_bytes"]), int(result["resident_bytes"]))


def _run(
    job: dict[str, Any], model: Path, runs: int, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [sys.executable, "-I", "-c", _CHILD],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise MeasureError(
            f"{model}: peak memory: no result within {timeout_s:g} s; the model is too slow for "
            f"{runs} runs here"
        ) from e
    except OSError as e:
        raise MeasureError(f"peak memory: {sys.executable} cannot be started: {e.strerror}") from e


def _why(returncode: int, stderr: str) -> str:
    if returncode < 0:
        name = signal.Signals(-returncode).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"the process that ran it was ended by {name}{hint}"
    lines = stderr.strip().splitlines()
    return lines[-1] if lines else f"the process that ran it ended with code {returncode}"
