"""A .pt2 archive as a teacher: its program, tried on the data and exported to ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.errors import ConfigError
from squeeze.teacher.example import described, fit_inputs
from squeeze.teacher.exported import Exported, Flat, export, failure
from squeeze.teacher.pt2.program import read_program

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.feed import Feed


def pt2_to_onnx(path: Path, example: Feed | None) -> Exported:
    """The archive's program as ONNX, and the example as it takes it. Raises as `squeeze.teacher.load`.

    A program with another batch than 1 written into its shapes is exported for that one.
    """
    program = read_program(path)
    inputs = fit_inputs(program.inputs, example, str(path))
    written = next((f.spec.batch_size for f in inputs if f.spec.batch_size is not None), 1)
    alone = failure(program.module, inputs, 1)
    batch = 1 if alone is None else written
    failed = alone if batch == 1 else failure(program.module, inputs, batch)
    if failed is not None:
        given = ", ".join(described(f.samples) for f in inputs)
        raise ConfigError(f"{path}: the model fails on {given}: {failed}")
    outputs = tuple(d for d in program.outputs if d is not None)
    module = program.module if len(program.outputs) == 1 else Flat(program.module)
    model = export(module, inputs, [d.name for d in outputs], str(path), batch)
    return Exported(model, inputs, outputs, program.changes)
