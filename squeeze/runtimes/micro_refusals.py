"""Why tflite-micro does not take a .tflite file, by the nodes of the ONNX file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.runtimes.runtime import Refusal
from squeeze.runtimes.tflite_file import operators

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.runtimes.micro_arena import Rejected
    from squeeze.runtimes.tflite_nodes import NodeNames


def refusals_of(path: Path, rejected: Rejected, names: NodeNames) -> list[Refusal]:
    """What the interpreter's `rejected` of the file `path` says, at least one refusal."""
    if rejected.number is not None:
        return [_failing(path, rejected.number, rejected.why, names)]
    if not rejected.operator:
        return [Refusal("", str(rejected).removeprefix(f"{path}: "))]
    return _lacking(path, rejected.operator, names)


def _failing(path: Path, number: int, why: str, names: NodeNames) -> Refusal:
    """Where the operator at a place of the file does not run, such as one of numbers that it has no kernel for."""
    one = operators(path)[number]
    said = f"tflite-micro's {one.op} does not run: {why.rstrip('.')}; change it, or keep it out of the model"
    return Refusal(names.of(one.name, one.op), said)


def _lacking(path: Path, operator: str, names: NodeNames) -> list[Refusal]:
    """Where the file has the operator that the interpreter missed first; it calls all custom ones CUSTOM."""
    lacking = [
        one
        for one in operators(path)
        if one.op == operator or (one.custom and operator == "CUSTOM")
    ]
    said = "tflite-micro has no operator {}; keep it out of the model"
    return [Refusal(names.of(one.name, one.op), said.format(one.op)) for one in lacking] or [
        Refusal("", said.format(operator))
    ]
