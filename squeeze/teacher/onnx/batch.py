"""Gives an ONNX teacher a batch that may vary, where that provably computes the same.

Proof: a batch of three gives what three runs of one sample give. Cases: the batch varies already (checked), it is
fixed and only declared so, or it is also written into the shapes of Reshape nodes (replaced by -1, or by 0, which
copies). Where none of these holds the batch stays fixed, a warning says it, and callers run in chunks.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from onnx import numpy_helper

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.teacher.onnx.runtime import run_values, same

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

NAME = "batch"


def free_batch(
    model: onnx.ModelProto, x: NDArray[np.generic], where: str
) -> onnx.ModelProto:  # x: [3, ...]
    """`model` with a batch called "batch" where that is proven on `x`, else with a fixed one.

    Raises ConfigError when the model does not run on `x`, UnsupportedError when its output has no batch.
    """
    dim = model.graph.input[0].type.tensor_type.shape.dim[0]
    fixed = dim.dim_value if dim.HasField("dim_value") else None
    singles = _singles(model, x, fixed, where)
    output = model.graph.output[0].name
    for attempt in _attempts(model, fixed):
        _declare(attempt, None)
        try:
            (together,) = run_values(attempt, x, [output], where)
        except ConfigError:
            continue
        if same(singles, together):
            return attempt
    kept = fixed or 1
    logger.warning(
        "%s: the model computes something else for several samples at once; its batch stays %d",
        where,
        kept,
    )
    _declare(model, kept)
    return model


def _singles(
    model: onnx.ModelProto, x: NDArray[np.generic], fixed: int | None, where: str
) -> NDArray[np.generic]:
    """The outputs for each sample of `x` on its own."""
    batch = fixed or 1
    output = model.graph.output[0].name
    parts = []
    for sample in x:
        (part,) = run_values(model, np.repeat(sample[None], batch, axis=0), [output], where)
        if part.ndim == 0 or len(part) != batch:
            raise UnsupportedError(
                f"{where}: output '{output}' has shape {list(part.shape)} for {batch} samples; "
                "its first dimension must be the batch"
            )
        parts.append(part[:1])
    return np.concatenate(parts)


def _attempts(model: onnx.ModelProto, fixed: int | None) -> list[onnx.ModelProto]:
    copies = [_copy(model)]
    if fixed is not None:
        for replacement in (-1, 0):
            changed = _copy(model)
            if _reshape_freely(changed.graph, fixed, replacement):
                copies.append(changed)
    return copies


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = type(model)()
    copied.CopyFrom(model)
    return copied


def _declare(model: onnx.ModelProto, batch: int | None) -> None:
    """States the batch in the signature, in place; shapes inside of the graph are inferred again by who needs them."""
    for value in (model.graph.input[0], model.graph.output[0]):
        dims = value.type.tensor_type.shape.dim
        if not dims:
            continue
        if batch is None:
            dims[0].dim_param = NAME
        else:
            dims[0].dim_value = batch
    del model.graph.value_info[:]


def _reshape_freely(graph: onnx.GraphProto, fixed: int, replacement: int) -> bool:
    """Puts `replacement` for the batch into every Reshape's stored shape, in place; whether there was one."""
    shapes = {
        node.input[1] for node in graph.node if node.op_type == "Reshape" and len(node.input) == 2
    }
    stored = [t for t in graph.initializer if t.name in shapes]
    for node in graph.node:
        if node.op_type == "Constant" and node.output[0] in shapes:
            stored.extend(a.t for a in node.attribute if a.name == "value")
    changed = False
    for tensor in stored:
        sizes = numpy_helper.to_array(tensor).copy()
        if sizes.ndim != 1 or len(sizes) == 0 or sizes[0] != fixed:
            continue
        if replacement == -1 and -1 in sizes:
            continue
        sizes[0] = replacement
        tensor.CopyFrom(numpy_helper.from_array(sizes, tensor.name))
        changed = True
    return changed
