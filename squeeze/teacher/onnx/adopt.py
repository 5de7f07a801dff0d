"""Any ONNX graph -> the one form that squeeze works on: float32, opset 13 to 20, sizes known, batch free, taps found.

Each change is compared with what the graph computed before it; a step that changes the result is refused or undone.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper, version_converter

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.interface import TensorSpec
from squeeze.teacher.example import for_input
from squeeze.teacher.onnx.batch import free_batch
from squeeze.teacher.onnx.external import all_nodes
from squeeze.teacher.onnx.float32 import to_float32
from squeeze.teacher.onnx.operators import check_operators
from squeeze.teacher.onnx.runtime import check_output, run_values, same
from squeeze.teacher.onnx.taps import (
    Activation,
    Taps,
    activation,
    apply_activation,
    candidates,
    choose,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

LOWEST_OPSET, HIGHEST_OPSET = 13, 20
# What half precision itself loses, as a share of the largest output.
_HALF = 2e-2


@dataclass(frozen=True)
class Adopted:
    """A graph in squeeze's form, and what was found in it."""

    model: onnx.ModelProto
    input: TensorSpec
    output: TensorSpec
    output_activation: Activation
    taps: Taps
    census: dict[str, int]


def adopt(
    model: onnx.ModelProto, example: NDArray[np.generic] | None, where: str
) -> Adopted:  # example: [n, ...]
    """Brings `model` into squeeze's form and tries it on `example` (generated where None).

    Raises ConfigError when it is invalid, does not fit the example or gives NaN or infinity; UnsupportedError when
    squeeze cannot work on it. The message names the node, the value or both shapes.
    """
    model = check_operators(model, where)
    wanted = model.graph.input[0].type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(wanted.elem_type)
    shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in wanted.shape.dim)
    # bfloat16 is no type of NumPy's own; the runtime gets float32 then.
    plain = "float32" if dtype.kind == "V" or dtype.name == "bfloat16" else dtype.name
    x = for_input(example, model.graph.input[0].name, plain, shape, where)
    _fix_sizes(model, x, where)
    model = _as_float32(model, x, where)
    x = x.astype(np.float32) if x.dtype.kind == "f" else x
    model = _at_opset(model, x, where)
    model = free_batch(model, x, where)
    _tidy(model)
    return _examined(model, x, where)


def _fix_sizes(model: onnx.ModelProto, x: NDArray[np.generic], where: str) -> None:
    """Writes the example's sizes for those that may vary, in place; not the batch."""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    for dim, size in list(zip(dims, x.shape, strict=True))[1:]:
        if not dim.HasField("dim_value"):
            logger.info(
                "%s: size '%s' may vary; it is fixed to %d as in the data",
                where,
                dim.dim_param,
                size,
            )
            dim.dim_value = size
    shape = model.graph.output[0].type.tensor_type.shape
    for dim in list(shape.dim)[1:]:
        if not dim.HasField("dim_value"):
            dim.Clear()


def _batch_of(model: onnx.ModelProto, x: NDArray[np.generic]) -> NDArray[np.generic]:
    """Samples of `x` as a batch that the model declares."""
    dim = model.graph.input[0].type.tensor_type.shape.dim[0]
    return np.repeat(x[:1], dim.dim_value, axis=0) if dim.HasField("dim_value") else x[:1]


def _as_float32(model: onnx.ModelProto, x: NDArray[np.generic], where: str) -> onnx.ModelProto:
    original = type(model)()
    original.CopyFrom(model)
    if not to_float32(model):
        return model
    output = model.graph.output[0].name
    batch = _batch_of(model, x)
    single = batch.astype(np.float32) if batch.dtype.kind == "f" else batch
    try:
        (after,) = run_values(model, single, [output], where)
    except ConfigError as e:
        raise UnsupportedError(
            f"{where}: uses float16 or double in a way that cannot be changed to float32; export it in float32 "
            f"({str(e).removeprefix(f'{where}: ')})"
        ) from e
    try:
        (before,) = run_values(original, batch, [output], where)
    except ConfigError:
        logger.warning(
            "%s: the runtime cannot run it in its own precision; float32 is not compared", where
        )
        return model
    if not same(after, before, _HALF):
        raise UnsupportedError(f"{where}: computes something else in float32; export it in float32")
    logger.info("%s: changed to float32", where)
    return model


def _at_opset(model: onnx.ModelProto, x: NDArray[np.generic], where: str) -> onnx.ModelProto:
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
    target = min(max(opset, LOWEST_OPSET), HIGHEST_OPSET)
    if target == opset:
        return model
    try:
        converted = version_converter.convert_version(model, target)
        output = model.graph.output[0].name
        batch = _batch_of(model, x)
        (before,) = run_values(model, batch, [output], where)
        (after,) = run_values(converted, batch, [output], where)
        reason = "" if same(before, after) else "the result differs"
    except (RuntimeError, ValueError, ConfigError, onnx.checker.ValidationError) as e:
        reason = str(e).strip().removeprefix(f"{where}: ").splitlines()[0][:200]
    if not reason:
        logger.info("%s: opset %d converted to %d", where, opset, target)
        return converted
    if opset > HIGHEST_OPSET:
        logger.warning(
            "%s: stays at opset %d (%s); old runtimes may not read it", where, opset, reason
        )
        return model
    raise UnsupportedError(
        f"{where}: opset {opset} cannot be converted to {target}: {reason}; "
        f"export it with opset {target} to {HIGHEST_OPSET}"
    )


def _tidy(model: onnx.ModelProto) -> None:
    """Removes what says where and when a file was made, in place; lowers the IR version for old runtimes."""
    model.producer_name, model.producer_version, model.doc_string = "squeeze", "", ""
    del model.metadata_props[:]
    model.graph.doc_string = ""
    for node in all_nodes(model.graph):
        node.doc_string = ""
        del node.metadata_props[:]
    if all(o.version <= HIGHEST_OPSET for o in model.opset_import if o.domain in ("", "ai.onnx")):
        model.ir_version = 9


def _examined(model: onnx.ModelProto, x: NDArray[np.generic], where: str) -> Adopted:
    graph = model.graph
    dim = graph.input[0].type.tensor_type.shape.dim[0]
    batch = np.resize(x, (dim.dim_value, *x.shape[1:])) if dim.HasField("dim_value") else x
    kind, logits = activation(graph)
    path = candidates(graph, logits)
    inside = {s.value for s in path} | {o for s in path for o in s.node.output if o}
    names = sorted((inside | {logits}) - {graph.input[0].name, graph.output[0].name})
    found = run_values(_with_outputs(model, names), batch, [graph.output[0].name, *names], where)
    output, values = found[0], dict(zip(names, found[1:], strict=True))
    values[graph.output[0].name] = output
    check_output(output, graph.output[0].name, where)
    if kind != "none" and not _is_activation(kind, values[logits], output):
        kind, logits = "none", graph.output[0].name
        path = candidates(graph, logits)
    shapes = {name: value.shape for name, value in values.items()}
    shapes[graph.input[0].name] = batch.shape
    taps = choose(graph, logits, path, shapes) if output.ndim == 2 else Taps(logits)
    _declare_output(graph.output[0], output)
    return Adopted(
        model,
        TensorSpec(graph.input[0].name, x.dtype.name, tuple(x.shape[1:])),
        TensorSpec(graph.output[0].name, output.dtype.name, tuple(output.shape[1:])),
        kind,
        taps,
        census(graph),
    )


def _is_activation(
    kind: Activation, logits: NDArray[np.generic], output: NDArray[np.generic]
) -> bool:
    if logits.shape != output.shape:
        return False
    return bool(np.allclose(apply_activation(kind, logits), output, atol=1e-4))


def _declare_output(value: onnx.ValueInfoProto, output: NDArray[np.generic]) -> None:
    """States the sizes that were seen, in place; the batch stays as declared."""
    dims = value.type.tensor_type.shape.dim
    if len(dims) != output.ndim:
        first = value.type.tensor_type.shape.dim.add() if not dims else dims[0]
        first.dim_param = first.dim_param or "batch"
        del dims[1:]
        for _ in output.shape[1:]:
            dims.add()
    for dim, size in list(zip(dims, output.shape, strict=True))[1:]:
        dim.dim_value = size


def _with_outputs(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """A copy of `model` which also gives the values called `names`."""
    copied = type(model)()
    copied.CopyFrom(model)
    copied.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return copied


def census(graph: onnx.GraphProto) -> dict[str, int]:
    """Nodes by operator, constants left out; depthwise convolutions are counted as Conv and as DepthwiseConv."""
    counts = Counter(n.op_type for n in all_nodes(graph) if n.op_type != "Constant")
    weights = {t.name: t.dims for t in graph.initializer}
    for node in all_nodes(graph):
        if node.op_type == "Conv":
            groups = next((a.i for a in node.attribute if a.name == "group"), 1)
            dims = weights.get(node.input[1])
            counts["DepthwiseConv"] += groups > 1 and (dims is None or dims[1] == 1)
    return {name: count for name, count in sorted(counts.items()) if count}
