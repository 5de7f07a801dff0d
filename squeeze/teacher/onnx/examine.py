"""What a graph in squeeze's form takes and gives, and where its final activation and its taps are."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx

from squeeze.interface import Interface, TensorSpec
from squeeze.teacher.example import COUNT
from squeeze.teacher.onnx.external import all_nodes
from squeeze.teacher.onnx.runtime import (
    Tensors,
    check_output,
    one_run,
    output_names,
    run_feeds,
    run_values,
    together,
)
from squeeze.teacher.onnx.taps import (
    Activation,
    Taps,
    activation,
    apply_activation,
    candidates,
    choose,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from squeeze.end import End, Size
    from squeeze.teacher.example import Fitted
    from squeeze.teacher.onnx.batch import Batched
    from squeeze.teacher.onnx.sizes import Reference


def interface_of(
    batched: Batched,
    inputs: Sequence[Fitted],
    outputs: Mapping[str, End],
    known: Reference | None,
    where: str,
) -> Interface:
    """The interface in the user's types. outputs: what the file declared of them before anything was changed; what
    they are is what the runtime gives. known: runs of the user's graph in other sizes.

    Raises ConfigError for an output that is empty, NaN or infinite on the inputs' samples.
    """
    model = batched.model
    feeds = [one_run(model, inputs, i) for i in range(COUNT)]
    runs = run_feeds(model, feeds, output_names(model), where)
    specs = []
    for name, axis in batched.axes.items():
        moving = set[int]() if known is None else known.moving(name)
        spec = _output(outputs[name], runs[0][name], axis, moving)
        check_output(np.concatenate([spec.as_samples(r[name])[:1] for r in runs]), name, where)
        specs.append(_sized(spec, batched.size))
    return Interface(tuple(_sized(one.spec, batched.size) for one in inputs), tuple(specs))


def _output(
    declared: End, value: NDArray[np.generic], axis: int | None, moving: set[int]
) -> TensorSpec:
    sizes = declared.sizes if declared.sizes is not None else ()
    said: Sequence[Size | None] = sizes if len(sizes) == value.ndim else (None,) * value.ndim
    shape, free = list[int](), list[tuple[int, str]]()
    for i, (size, name) in enumerate(zip(value.shape, said, strict=True)):
        if i == axis:
            continue
        if isinstance(name, str) or i in moving:
            free.append((len(shape), name if isinstance(name, str) else ""))
        shape.append(size)
    dtype = declared.dtype if value.dtype.kind == "f" else value.dtype.name
    return TensorSpec(declared.name, dtype, tuple(shape), axis, None, tuple(free))


def _sized(spec: TensorSpec, batch_size: int | None) -> TensorSpec:
    return replace(spec, batch_size=None if spec.batch_axis is None else batch_size)


def taps_of(
    model: onnx.ModelProto, interface: Interface, inputs: Sequence[Fitted], where: str
) -> tuple[Activation, Taps]:
    """The final activation and the taps of a model with one output; with several, there are none."""
    graph = model.graph
    if len(interface.outputs) > 1:
        return "none", Taps(graph.output[0].name)
    spec = interface.only_output
    kind, logits = _activation(graph, spec)
    path = candidates(graph, logits)
    inside = {s.value for s in path} | {o for s in path for o in s.node.output if o}
    ends = {v.name for v in (*graph.input, *graph.output)}
    names = sorted((inside | {logits}) - ends)
    feed = _feed(model, interface, inputs)
    values = run_values(_with_outputs(model, names), feed, [spec.name, *names], where)
    values |= feed  # an activation may be all that the model is
    output = values[spec.name]
    if kind != "none" and not _is_activation(kind, values[logits], output):
        kind, logits = "none", _in_float32(graph, spec)
        path = candidates(graph, logits)
    # Frames or patches that are folded into the batch belong to no sample.
    samples = output.shape[:1]
    shapes = {n: v.shape for n, v in values.items() if v.shape[:1] == samples}
    plain = len(spec.shape) == 1 and spec.batch_axis == 0
    return kind, choose(graph, logits, path, shapes) if plain else Taps(logits)


def _activation(graph: onnx.GraphProto, output: TensorSpec) -> tuple[Activation, str]:
    kind, logits = activation(graph)
    return (kind, logits) if kind != "none" else (kind, _in_float32(graph, output))


def _in_float32(graph: onnx.GraphProto, output: TensorSpec) -> str:
    """The output, before the Cast that gives it the user's type."""
    if output.dtype not in ("float16", "float64"):
        return output.name
    return next(
        (n.input[0] for n in graph.node if n.op_type == "Cast" and output.name in n.output),
        output.name,
    )


def _feed(model: onnx.ModelProto, interface: Interface, inputs: Sequence[Fitted]) -> Tensors:
    several = interface.batch_size is None
    return together(model, inputs, COUNT) if several else one_run(model, inputs)


def _is_activation(
    kind: Activation, logits: NDArray[np.generic], output: NDArray[np.generic]
) -> bool:
    if logits.shape != output.shape:
        return False
    tolerance = 1e-3 if output.dtype == np.float16 else 1e-4
    return bool(np.allclose(apply_activation(kind, logits), output, atol=tolerance))


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
