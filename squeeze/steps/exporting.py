"""A student's torch module as a float graph with the teacher's interface."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze import export, graph, students
from squeeze.export.ends import retype_ends
from squeeze.spec import ArchSpec
from squeeze.workdir import digest_file

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import nn

    from squeeze.case import Case
    from squeeze.feed import Feed
    from squeeze.run import At
    from squeeze.steps.inheriting_work import Kept
    from squeeze.teacher import Teacher

Json = dict[str, Any]  # Any: JSON

STUDENT = "student.onnx"


def student_graph(
    arch: ArchSpec, weights: Path | None, teacher: Teacher, sample: Feed, opset: int
) -> ir.Model:
    """The float graph of `arch`, with the teacher's input and output; without `weights` it is untrained."""
    module = students.build(arch) if arch.family in students.FAMILIES else students.rebuild(arch)
    if weights is not None:
        from safetensors.torch import load_file

        module.load_state_dict(load_file(weights))
    if arch.family in (students.ENCODER, students.ADAPTIVE):
        whole = students.deployed(module.eval(), teacher.output_activation)
        return encoder_graph(whole, teacher, sample, opset)
    made = export.to_ir(
        students.deployed(module.eval(), teacher.output_activation),
        sample[teacher.input.name].astype("float32", copy=False),
        input_name=teacher.input.name,
        output_name=teacher.output.name,
        opset=opset,
    )
    retype_ends(made, teacher.interface)
    return made


def encoder_graph(module: nn.Module, teacher: Teacher, sample: Feed, opset: int) -> ir.Model:
    """Of token ids: as many inputs as the teacher has, in its order, of any length where it takes that."""
    interface = teacher.interface
    free = {spec.name: {axis + 1: name for axis, name in spec.free} for spec in interface.inputs}
    made = export.feed_to_ir(
        module,
        {spec.name: sample[spec.name] for spec in interface.inputs},
        output_names=[interface.only_output.name],
        free_axes=free,
        opset=opset,
    )
    retype_ends(made, interface)
    return made


def export_student(at: At, *, trained: Kept, arch: ArchSpec, case: Case, opset: int) -> Json:
    """Writes `student.onnx`: the trained weights as a float graph."""
    file = at.folder / STUDENT
    sample = case.data.feed(case.data.calibrate, 0, 3)
    weights = trained.path / "weights.safetensors"
    graph.save(student_graph(arch, weights, case.teacher, sample, opset), file)
    summary = f"{file.stat().st_size / 1e6:.2f} MB float, opset {opset}"
    return {"summary": summary, "digest": digest_file(file)}
