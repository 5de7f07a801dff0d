"""The inputs and outputs that an ONNX graph declares: read, given sizes, declared anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import helper

from squeeze.end import End, Size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx

    from squeeze.interface import Interface
    from squeeze.teacher.example import Fitted

# What a batch is called that the user's file gives no name.
BATCH = "batch"


def inputs_of(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs that are no stored tensors; old graphs list those as well."""
    stored = {t.name for t in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    return [v for v in graph.input if v.name not in stored]


def declared(value: onnx.ValueInfoProto) -> End:
    """What a file says of an input or output. Its bfloat16, which NumPy does not have, becomes float32.

    What is no tensor, or of a type that ONNX does not have, is "object" of no known sizes: who looks up names only is
    not stopped by it, and `check_operators` refuses it.
    """
    tensor = value.type.tensor_type
    if tensor.elem_type not in helper.get_all_tensor_dtypes():
        return End(value.name, "object", None)
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    plain = "float32" if dtype.kind == "V" or dtype.name == "bfloat16" else dtype.name
    return End(value.name, plain, sizes_of(value))


def sizes_of(value: onnx.ValueInfoProto) -> tuple[Size, ...] | None:
    """What a file says of the sizes of an input or output; None where not even the number of axes is said."""
    tensor = value.type.tensor_type
    return tuple(_size(d) for d in tensor.shape.dim) if tensor.HasField("shape") else None


def _size(dim: onnx.TensorShapeProto.Dimension) -> Size:
    """Some exporters write -1 or 0 for a size that may vary."""
    return dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else dim.dim_param


def declare_inputs(graph: onnx.GraphProto, inputs: Sequence[Fitted]) -> None:
    """States the sizes of the inputs, in place: the user's names where they may vary. What was said of other values
    goes: it may be wrong, and is inferred by who needs it."""
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
                shape.dim.add().dim_param = name or BATCH
            elif axis.kind == "free":
                shape.dim.add().dim_param = axis.name
            else:
                shape.dim.add().dim_value = axis.size or 0
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    del graph.value_info[:]


def declare_outputs(
    graph: onnx.GraphProto,
    interface: Interface,
    batch: str | int,
    outputs: Mapping[str, End],
) -> None:
    """States the sizes of `interface`, in place, with `batch` for the batch, or what the user's file calls it."""
    for value, spec in zip(graph.output, interface.outputs, strict=True):
        said = outputs[spec.name].sizes or ()
        names = said if len(said) == len(spec.axes) else ("",) * len(spec.axes)
        shape = value.type.tensor_type.shape
        shape.SetInParent()
        del shape.dim[:]
        for axis, name in zip(spec.axes, names, strict=True):
            dim = shape.dim.add()
            if axis.kind == "batch" and isinstance(batch, str):
                dim.dim_param = name if isinstance(name, str) and name else batch
            elif axis.kind == "free":
                if axis.name:
                    dim.dim_param = axis.name
            else:
                dim.dim_value = int(batch) if axis.kind == "batch" else axis.size or 0
