"""Gives an ONNX teacher a batch that may vary, where that provably computes the same; finds the batch of its outputs.

Proof: a batch of three gives, in every output, what three runs of one sample give. An output's batch is the axis that
grows with it; an output that does not grow is the same for all samples. Cases: the batch varies already (checked), it
is fixed and only declared so, or it is also written into the shapes of Reshape nodes (replaced by -1, or by 0, which
copies). Where none of these holds the batch stays fixed, a warning says it, and callers run in chunks. Where an input
has no batch, a run takes one sample.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import numpy_helper

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.interface import is_named, named_batch_axes
from squeeze.teacher.onnx.runtime import (
    Values,
    one_run,
    output_names,
    run_feeds,
    run_values,
    same,
    together,
)
from squeeze.teacher.onnx.signature import BATCH

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

    from squeeze.teacher.example import Fitted

logger = logging.getLogger(__name__)

Axes = dict[str, int | None]


@dataclass(frozen=True)
class Batched:
    """size: how many samples a run takes, None for any. axes: where each output has its batch. declared: the batch in
    the file, a name where it may vary. other: why what was taken for the batch is another axis, where it is.
    """

    model: onnx.ModelProto
    size: int | None
    axes: Axes
    declared: str | int = 1
    other: str | None = None


def free_batch(model: onnx.ModelProto, inputs: Sequence[Fitted], where: str) -> Batched:
    """`model` with a batch that may vary where that is proven on the inputs' samples, else with a fixed one.

    Raises ConfigError when the model does not run on them, UnsupportedError when outputs have other sizes for other
    samples.
    """
    batched = [one for one in inputs if one.spec.batch_axis is not None]
    fixed = next((s for one in batched if (s := _declared(model, one)) is not None), None)
    base = fixed or 1
    # Another number than the fixed one, so that the axis that grows shows.
    count = 2 if base == 3 else 3
    singles = _singles(model, inputs, count, where)
    if not batched:
        _declare(model, inputs, None)
        return Batched(model, 1, dict.fromkeys(output_names(model)))
    alone = len(batched) < len(inputs)
    axes: Axes | None = None
    runs = False
    for attempt in _attempts(model, inputs, fixed, reshape=not alone):
        try:
            at_once = run_values(
                attempt, together(attempt, inputs, count), output_names(model), where
            )
        except ConfigError:
            continue
        runs = True
        grown = _growing(singles[0], at_once, base, count)
        axes = axes or grown
        if grown is not None and _equal(singles, at_once, grown):
            return Batched(attempt, 1 if alone else None, grown, _name(attempt, batched[0]))
    other = _other_axis(model, batched) if fixed is None and runs else None
    logger.warning(
        "%s: the model computes something else for several samples at once; its batch stays %d",
        where,
        base,
    )
    _declare(model, inputs, base)
    return Batched(model, base, axes or _likely(batched[0], singles[0], base), base, other)


def _other_axis(model: onnx.ModelProto, batched: Sequence[Fitted]) -> str | None:
    """What is wrong where the model's name for the axis says that it is something else than the batch, such as time:
    the first axis was taken for it because the data fits the others."""
    names = [str(_dim(model, one).dim_param) for one in batched]
    if any(named_batch_axes([name]) or not is_named(name) for name in names):
        return None
    one, axis = batched[0].spec, batched[0].spec.batch_axis or 0
    takes = ", ".join([*map(str, one.shape[:axis]), names[0], *map(str, one.shape[axis:])])
    return (
        f"axis {axis} ('{names[0]}') of input '{one.name}' [{takes}] is no batch: the model gives something else for "
        f"several at once than for each alone. The data has samples {list(one.shape)}; give samples as the model takes "
        f"them, [n, {takes}], or call that axis 'batch' if it is one"
    )


def _name(model: onnx.ModelProto, one: Fitted) -> str:
    """What the free batch of an input is called."""
    return str(_dim(model, one).dim_param)


def _declared(model: onnx.ModelProto, one: Fitted) -> int | None:
    dim = _dim(model, one)
    return dim.dim_value if dim.HasField("dim_value") else None


def _dim(model: onnx.ModelProto, one: Fitted) -> onnx.TensorShapeProto.Dimension:
    """The batch in an input's shape."""
    value = next(v for v in model.graph.input if v.name == one.spec.name)
    dim: onnx.TensorShapeProto.Dimension
    dim = value.type.tensor_type.shape.dim[one.spec.batch_axis or 0]
    return dim


def _singles(
    model: onnx.ModelProto, inputs: Sequence[Fitted], count: int, where: str
) -> list[Values]:
    """Every output for each of `count` samples on its own, repeated to a batch that is fixed."""
    names = output_names(model)
    found = run_feeds(model, [one_run(model, inputs, i) for i in range(count)], names, where)
    for name in names:
        shapes = {values[name].shape for values in found}
        if len(shapes) > 1:
            listed = " and ".join(str(list(s)) for s in sorted(shapes)[:2])
            raise UnsupportedError(
                f"{where}: output '{name}' has sizes {listed} for two samples; its sizes must not depend on values: "
                "cut the model before what selects (NonMaxSuppression, NonZero, ...)"
            )
    return found


def _growing(single: Values, at_once: Values, base: int, count: int) -> Axes | None:
    """The axis of each output that is `base` for one batch and `count` for the other; None where another one grows."""
    axes: Axes = {}
    for name, one in single.items():
        several = at_once[name]
        if several.ndim != one.ndim:
            return None
        grown = [i for i in range(one.ndim) if one.shape[i] != several.shape[i]]
        if [(one.shape[i], several.shape[i]) for i in grown] not in ([], [(base, count)]):
            return None
        axes[name] = grown[0] if grown else None
    return axes


def _equal(singles: list[Values], at_once: Values, axes: Axes) -> bool:
    for name, axis in axes.items():
        each = [values[name] for values in singles]
        if axis is None:
            if not all(same(one, at_once[name]) for one in each):
                return False
            continue
        rows = np.stack([np.take(one, 0, axis=axis) for one in each])
        if not same(rows, np.moveaxis(at_once[name], axis, 0)):
            return False
    return any(axis is not None for axis in axes.values())


def _likely(first: Fitted, single: Values, base: int) -> Axes:
    """Where outputs of a batch that stays fixed have it: at the input's place or first, if the size is right."""
    places = dict.fromkeys((first.spec.batch_axis or 0, 0))
    return {
        name: next((p for p in places if p < one.ndim and one.shape[p] == base), None)
        for name, one in single.items()
    }


def _attempts(
    model: onnx.ModelProto, inputs: Sequence[Fitted], fixed: int | None, *, reshape: bool
) -> list[onnx.ModelProto]:
    copies = [_copy(model)]
    axis = next(one.spec.batch_axis for one in inputs if one.spec.batch_axis is not None)
    for replacement in (-1, 0) if fixed is not None and reshape else ():
        changed = _copy(model)
        if _reshape_freely(changed.graph, fixed or 1, axis or 0, replacement):
            copies.append(changed)
    for copied in copies:
        _declare(copied, inputs, None)
    return copies


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = type(model)()
    copied.CopyFrom(model)
    return copied


def _declare(model: onnx.ModelProto, inputs: Sequence[Fitted], batch: int | None) -> None:
    """States the batch of the inputs, in place, by the user's name for it; what was said of outputs and inside of the
    graph goes: it is inferred again by who needs it, and outputs are declared anew."""
    axes = {one.spec.name: one.spec.batch_axis for one in inputs}
    for value in model.graph.input:
        axis = axes[value.name]
        if axis is None:
            continue
        dim = value.type.tensor_type.shape.dim[axis]
        if batch is None:
            dim.dim_param = dim.dim_param or BATCH
        else:
            dim.dim_value = batch
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]


def _reshape_freely(graph: onnx.GraphProto, fixed: int, axis: int, replacement: int) -> bool:
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
        if sizes.ndim != 1 or len(sizes) <= axis or sizes[axis] != fixed:
            continue
        if replacement == -1 and -1 in sizes:
            continue
        sizes[axis] = replacement
        tensor.CopyFrom(numpy_helper.from_array(sizes, tensor.name))
        changed = True
    return changed
