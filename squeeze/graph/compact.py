"""Makes the file of a finished model small: what a runtime does not need goes, and what is there twice is there once.

Gone:    shapes and types of values inside, names that nobody sees, doc strings, metadata, producer.
Shared:  equal constants; what `presets` makes functions of.
Kept:    the inputs and outputs of the graph with their names and shapes; the shapes of those of graphs inside, such as
         the body of a Loop, which the runtime wants to know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count, product
from string import ascii_letters, digits

import onnx_ir as ir
from onnx_ir.passes.common import ClearMetadataAndDocStringPass

from squeeze.graph import presets


def compact(model: ir.Model) -> None:
    """Rewrites `model` in place; equal models become equal. Results stay as they are, to the last bit."""
    ClearMetadataAndDocStringPass()(model)
    model.producer_name = model.producer_version = model.domain = None
    model.model_version = None
    model.graph.name = "g"
    _share_constants(model.graph)
    presets.fold(model)
    _shorten(model.graph)
    for function in model.functions.values():
        _shorten_function(function)


def function_bytes(function: ir.Function) -> int:
    """What a function takes in the file of a compact model. `function` is changed."""
    _shorten_function(function)
    return len(ir.serde.serialize_function(function).SerializeToString())


def _shorten_function(function: ir.Function) -> None:
    _rename([*function.inputs, *_made(function.all_nodes())])
    for node in function.all_nodes():
        node.name = None


def _shorten(graph: ir.Graph) -> None:
    kept = {*graph.inputs, *graph.outputs}
    values = [
        *(v for inner in (graph, *graph.subgraphs()) for v in inner.initializers.values()),
        *(v for inner in graph.subgraphs() for v in inner.inputs),
        *_made(graph.all_nodes()),
    ]
    _rename([v for v in values if v not in kept], taken={str(v.name) for v in kept})
    shaped = kept | {v for inner in graph.subgraphs() for v in (*inner.inputs, *inner.outputs)}
    for value in values:
        if value not in shaped:
            value.shape = value.type = None
    for node in graph.all_nodes():
        node.name = None


def _made(nodes: Iterable[ir.Node]) -> Iterator[ir.Value]:
    return (value for node in nodes for value in node.outputs)


def _rename(values: list[ir.Value], taken: Iterable[str] = ()) -> None:
    """The shortest names for those that are read most."""
    for i, value in enumerate(values):  # out of the way of each other
        value.name = f".{i}"
    used = set(taken)
    free = (name for name in _names() if name not in used)
    for value in sorted(values, key=lambda value: -len(value.uses())):
        value.name = next(free)


def _names() -> Iterator[str]:
    for length in count(1):
        for first, *rest in product(ascii_letters, *[ascii_letters + digits] * (length - 1)):
            yield first + "".join(rest)


def _share_constants(graph: ir.Graph) -> None:
    known: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
    fixed = {*graph.inputs, *graph.outputs}
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if value in fixed or tensor is None or tensor.dtype == ir.DataType.STRING:
            continue
        key = (tensor.dtype.name, tuple(tensor.shape.numpy()), tensor.tobytes())
        first = known.setdefault(key, value)
        if first is not value:
            value.replace_all_uses_with(first)
            del graph.initializers[name]
