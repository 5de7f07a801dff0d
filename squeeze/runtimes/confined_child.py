"""The inside of the process in which files of strangers are looked at: see `confined`. It forks for each job.

It has one thread, so that a fork has all that it has; limits are those of the fork alone. A job that is not done when
the other process is gone ends with it.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import onnx.inliner
import onnx.shape_inference

from squeeze.runtimes.ort import session
from squeeze.runtimes.shapes import ANY, shapes_of
from squeeze.runtimes.signature import Input, generate, signature

if TYPE_CHECKING:
    import onnxruntime as ort

Json = dict[str, Any]  # Any: JSON
# What ONNX, ONNX Runtime and the C++ library say where there is no more memory.
_NO_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate memory", "alloc failed")


def serve() -> None:
    """Answers each line of standard input, a job, with one of standard output, until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    for line in sys.stdin:
        print(json.dumps(_forked(json.loads(line))), flush=True)


def _forked(job: Json) -> Json:
    """What came of the job: what it said, whether it took too long, and what else ended it."""
    end, start = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(end)
        _work(job, start)
    os.close(start)
    ready, _, _ = select.select([0, end], [], [], job["wall_s"])
    # Nobody asks again before the answer: what comes is the end of who asked.
    if end not in ready:
        os.kill(child, signal.SIGKILL)
    with os.fdopen(end, "rb") as told:
        said = told.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    late = not ready or code == -signal.SIGXCPU
    died = f"code {code}" if code >= 0 else signal.Signals(-code).name
    return {
        **(json.loads(said) if said else {}),
        "late": late,
        "died": died if code and not late else None,
    }


def _work(job: Json, start: int) -> None:
    """In the fork, which ends here: within its limits, as quiet as a mouse."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    code = 1
    try:
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_CPU, job["cpu_s"])
        os.write(start, json.dumps(_tried(Path(job["model"]), job)).encode())
        code = 0
    finally:
        os._exit(code)


def _tried(model: Path, job: Json) -> Json:
    """{"memory": what was said, "doing": what it was said of} where there was not enough; any other error is told by
    who works on the file."""
    doing = "open"
    try:
        _limit_memory(job["open_bytes"])
        _look(model)
        if job["run"]:
            opened = [session(model, optimise=optimise) for optimise in (True, False)]
            doing = "run"
            _limit_memory(job["run_bytes"])
            for one in opened:
                _run(one, job["shapes"])
    except MemoryError as e:
        return {"memory": str(e), "doing": doing}
    except Exception as e:
        text = str(e)
        return {"memory": text, "doing": doing} if any(sign in text for sign in _NO_MEMORY) else {}
    return {}


def _limit(what: int, most: int) -> None:
    _, hardest = resource.getrlimit(what)
    resource.setrlimit(what, (most if hardest < 0 else min(most, hardest), hardest))


def _limit_memory(further_bytes: int) -> None:
    """Of the process's own writable memory, which what the runtime only reserves is no part of."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    held = next(int(line.split()[1]) << 10 for line in status.splitlines() if "VmData" in line)
    _limit(resource.RLIMIT_DATA, held + further_bytes)


def _look(model: Path) -> None:
    """What is done with every file: functions written out, sizes inferred."""
    proto = onnx.load(model, load_external_data=False)
    if proto.functions:
        proto = onnx.inliner.inline_local_functions(proto)
    onnx.shape_inference.infer_shapes(proto, data_prop=True)


def _run(opened: ort.InferenceSession, given: dict[str, list[int]]) -> None:
    """One sample."""
    inputs = signature(opened)
    fitting: dict[str, list[int]] = {}
    for needs in inputs:
        shape = given.get(needs.name, given.get(ANY))
        if shape is not None and _fits(needs, shape):
            fitting[needs.name] = shape
    shapes, _ = shapes_of(inputs, fitting, opened.get_modelmeta().custom_metadata_map)
    opened.run(None, {needs.name: generate(needs, shapes[needs.name]) for needs in inputs})


def _fits(needs: Input, shape: list[int]) -> bool:
    """Data may have their axes in another order."""
    return len(shape) == len(needs.shape) and all(
        isinstance(need, str) or need == got for need, got in zip(needs.shape, shape, strict=True)
    )
