"""The inputs and outputs that an ONNX graph declares: read, given sizes, declared anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import helper

from squeeze.teacher.declared import Declared, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

    from squeeze.interface import Interface
    from squeeze.teacher.example import Fitted


def inputs_of(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs that are no stored tensors; old graphs list those as well."""
    stored = {t.name for t in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    return [v for v in graph.input if v.name not in stored]


def declared(value: onnx.ValueInfoProto) -> Declared:
    """What a file says of an input or output. Its bfloat16, which NumPy does not have, becomes float32."""
    tensor = value.type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    plain = "float32" if dtype.kind == "V" or dtype.name == "bfloat16" else dtype.name
    sizes = tuple(_size(d) for d in tensor.shape.dim) if tensor.HasField("shape") else None
    return Declared(value.name, plain, sizes)


def _size(dim: onnx.TensorShapeProto.Dimension) -> Size:
    """Some exporters write -1 or 0 for a size that may vary."""
    return dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else dim.dim_param


def fix_sizes(graph: onnx.GraphProto, inputs: Sequence[Fitted]) -> None:
    """Writes the data's sizes for those that may vary, in place, but for the batch."""
    values = {v.name: v for v in graph.input}
    for one in inputs:
        spec = one.spec
        shape = values[spec.name].type.tensor_type.shape
        at = spec.batch_axis
        name = shape.dim[at].dim_param if at is not None and len(shape.dim) > at else ""
        shape.SetInParent()
        del shape.dim[:]
        for axis in spec.axes:
            if axis.kind == "batch" and axis.size is None:
                shape.dim.add().dim_param = name or "batch"
            else:
                shape.dim.add().dim_value = axis.size or 0


def declare_outputs(graph: onnx.GraphProto, interface: Interface, batch: str | int) -> None:
    """States the sizes of `interface`, in place, with `batch` for the batch."""
    for value, spec in zip(graph.output, interface.outputs, strict=True):
        shape = value.type.tensor_type.shape
        shape.SetInParent()
        del shape.dim[:]
        for axis in spec.axes:
            dim = shape.dim.add()
            if axis.kind == "batch" and isinstance(batch, str):
                dim.dim_param = batch
            else:
                dim.dim_value = int(batch) if axis.kind == "batch" else axis.size or 0
