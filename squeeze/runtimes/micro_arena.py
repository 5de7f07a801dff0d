"""The interpreter of microcontrollers in a process of its own: what it needs of the arena, and what it computes.

It prints what it allocated and what it misses on its standard error, and is at the mercy of the file it is given.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from squeeze.errors import MeasureError
from squeeze.runtimes.child import in_child
from squeeze.runtimes.runtime import Array

_TIMEOUT_S = 600.0
# More than any microcontroller has; only what is used of it is ever touched.
_ARENA_BYTES = 1 << 30
_SCRIPT = """
import numpy as np
from tflite_micro.python.tflite_micro import runtime

given = [np.load(f"given-{i}.npy") for i in range(job["inputs"])]
interpreter = runtime.Interpreter.from_file("model.tflite", arena_size=job["arena_bytes"])
print(json.dumps("opened"), flush=True)
taken = [[] for _ in range(job["outputs"])]
for sample in range(job["samples"]):
    for index, one in enumerate(given):
        interpreter.set_input(one[sample], index)
    interpreter.invoke()
    for index, values in enumerate(taken):
        values.append(np.array(interpreter.get_output(index)))
interpreter.print_allocations()
for index, values in enumerate(taken):
    np.save(f"taken-{index}.npy", np.stack(values))
"""
_ALLOCATED = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")
_UNKNOWN = re.compile(
    r"(?:Didn't find op for builtin opcode|Failed to get registration from op code) '?([A-Z0-9_]+|\S+)"
)
_FAILED = re.compile(r"Node (\S+) \(number (\d+)f?\) failed to (?:invoke|prepare)")


@dataclass(frozen=True)
class Arena:
    """Bytes of one model. activations: tensors that live and die in a run, and scratch; exact. persistent: what the
    interpreter keeps of the model as long as it is open, with pointers of 64 bits."""

    activation_bytes: int
    persistent_bytes: int


class Rejected(MeasureError):
    """The interpreter does not load the file, or does not run it. `operator`: of TFLite, that it does not know, where
    that is why; or the one at place `number` in the file, which it knows and which fails: `why`, in its own words."""

    def __init__(
        self, message: str, operator: str = "", number: int | None = None, why: str = ""
    ) -> None:
        super().__init__(message)
        self.operator = operator
        self.number = number
        self.why = why


def interpreted(
    model: Path, given: Sequence[Array], outputs: int, timeout_s: float = _TIMEOUT_S
) -> tuple[list[Array], Arena]:
    """Runs samples [n, *shape of the input] and gives [n, *shape] of each output, and the arena.

    Raises Rejected when the file does not load or an operator does not run, MeasureError when it fails otherwise or its
    report is not as known.
    """
    with tempfile.TemporaryDirectory(prefix="squeeze-") as private:
        at = Path(private)
        (at / "model.tflite").write_bytes(model.read_bytes())
        for index, array in enumerate(given):
            np.save(at / f"given-{index}.npy", array)
        job = {
            "arena_bytes": _ARENA_BYTES,
            "inputs": len(given),
            "outputs": outputs,
            "samples": len(given[0]) if given else 1,
        }
        try:
            ended = in_child(_SCRIPT, job, at, timeout_s)
        except MeasureError as e:
            raise MeasureError(f"{model}: tflite-micro: {e}") from e
        if ended.code != 0:
            if failed := _FAILED.search(ended.said):
                why = _first_line(ended.said[: failed.start()])
                said = f"{model}: tflite-micro cannot run it: {failed.group(1)}: {why}"
                raise Rejected(said, failed.group(1), int(failed.group(2)), why)
            if "opened" in ended.out:
                raise MeasureError(f"{model}: tflite-micro cannot run it: {ended.why}")
            unknown = _UNKNOWN.search(ended.said)
            operator = unknown.group(1) if unknown else ""
            why = f"it has no operator {operator}" if operator else _first_line(ended.said)
            raise Rejected(f"{model}: tflite-micro cannot load it: {why}", operator)
        found = {kind: int(number) for kind, number in _ALLOCATED.findall(ended.said)}
        if not {"head", "tail"} <= set(found):
            raise MeasureError(
                f"{model}: tflite-micro does not say what it allocated as known versions do; "
                "install the one of constraints.txt"
            )
        taken: list[Array] = [np.load(at / f"taken-{index}.npy") for index in range(outputs)]
    return taken, Arena(found["head"], found["tail"])


def _first_line(said: str) -> str:
    """The interpreter's own words come before Python's traceback."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[0] if lines else "it gives no reason"
