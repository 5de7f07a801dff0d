"""Gives a float32 graph the types that its users know: Cast nodes at its inputs and outputs, names stay.

Cases: an input or output whose type is another float than `interface` says. Left alone: those that have it already,
whole numbers and bools, and an input that is handed on as an output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

if TYPE_CHECKING:
    from squeeze.interface import Interface, TensorSpec

_FLOATS = {ir.DataType.DOUBLE, ir.DataType.FLOAT, ir.DataType.FLOAT16}


def retype_ends(model: ir.Model, interface: Interface) -> None:
    """Changes `model` in place so that its inputs and outputs have the types of `interface`, by name.

    The graph inside keeps its type; its own values at the ends are then called `<name>_float32`, by the type that they
    have. Names that `interface` does not have are left alone.
    """
    graph = model.graph
    taken = {v.name for v in (*graph.inputs, *graph.initializers.values())}
    taken |= {v.name for node in ir.traversal.RecursiveGraphIterator(graph) for v in node.outputs}
    wanted = {spec.name: _type(spec) for spec in (*interface.inputs, *interface.outputs)}
    for value in list(graph.inputs):
        if _differs(value, wanted) and not value.is_graph_output():
            _cast_input(graph, value, wanted[str(value.name)], taken)
    for index, value in enumerate(list(graph.outputs)):
        if _differs(value, wanted) and not value.is_graph_input():
            _cast_output(graph, index, wanted[str(value.name)], taken)


def _type(spec: TensorSpec) -> ir.DataType:
    return ir.DataType.from_numpy(np.dtype(spec.dtype))


def _differs(value: ir.Value, wanted: dict[str, ir.DataType]) -> bool:
    other = wanted.get(str(value.name))
    return other in _FLOATS and value.dtype in _FLOATS and value.dtype != other


def _cast_input(
    graph: ir.Graph, value: ir.Value, dtype: ir.DataType, taken: set[str | None]
) -> None:
    result = ir.Value(
        name=_free(f"{value.name}_{_word(value)}", taken), type=value.type, shape=value.shape
    )
    value.replace_all_uses_with(result)
    name = _free(f"{value.name}_cast", taken)
    attributes = {"to": int(value.dtype or ir.DataType.FLOAT)}
    cast = ir.node("Cast", [value], attributes, outputs=[result], name=name)
    value.type = ir.TensorType(dtype)
    graph.insert_before(graph[0], cast)


def _cast_output(graph: ir.Graph, index: int, dtype: ir.DataType, taken: set[str | None]) -> None:
    value = graph.outputs[index]
    name = value.name
    value.name = _free(f"{name}_{_word(value)}", taken)
    result = ir.Value(name=name, type=ir.TensorType(dtype), shape=value.shape)
    attributes = {"to": int(dtype)}
    cast = ir.node("Cast", [value], attributes, outputs=[result], name=_free(f"{name}_cast", taken))
    graph.outputs[index] = result
    graph.append(cast)


def _word(value: ir.Value) -> str:
    """The type as NumPy calls it."""
    return "" if value.dtype is None else value.dtype.numpy().name


def _free(name: str, taken: set[str | None]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
