"""What passes ask of the values of a graph: is it constant, who reads it; and how they put new ones in."""

from __future__ import annotations

from collections.abc import Container

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph import lineage

Array = NDArray[np.generic]


def constant(value: ir.Value | None) -> Array | None:
    """The contents of an initialiser that no input can override; None for everything else."""
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    return value.const_value.numpy()


def contents(value: ir.Value | None) -> Array | None:
    """As `constant`, also of what a Constant makes, as graphs inside have them."""
    made = None if value is None else value.producer()
    if made is None or not is_op(made, "Constant"):
        return constant(value)
    tensor = made.attributes.get("value")
    return None if tensor is None else np.asarray(tensor.as_tensor().numpy())


def add_constant(graph: ir.Graph, name: str, array: Array) -> ir.Value:
    """A new initialiser called `name`, or `name_2`, ... where that is taken."""
    unique = fresh(name, graph.initializers)
    tensor = ir.tensor(np.asarray(array, order="C"), name=unique)
    value = ir.Value(name=unique, shape=ir.Shape(array.shape), const_value=tensor)
    value.type = ir.TensorType(tensor.dtype)
    graph.register_initializer(value)
    return value


def names(graph: ir.Graph) -> set[str]:
    """The names of all values and nodes, those of graphs inside too."""
    found: set[str] = set()
    for one in (graph, *graph.subgraphs()):
        found.update(str(v.name) for v in (*one.inputs, *one.initializers.values()))
    for node in graph.all_nodes():
        found.update(str(name) for name in (node.name, *(v.name for v in node.outputs)))
    return found


def fresh(name: str, taken: Container[str]) -> str:
    """`name`, or `name_2`, ... where that is taken."""
    unique, count = name, 1
    while unique in taken:
        count += 1
        unique = f"{name}_{count}"
    return unique


def tell_apart(model: ir.Model) -> None:
    """Gives values and nodes whose name others have too one of their own, in place, bodies of If, Loop and Scan
    included; what the whole graph takes and gives keeps its names. For what makes new values beside the user's."""
    graph = model.graph
    ends = {*graph.inputs, *graph.outputs}
    taken, nodes = {str(v.name) for v in ends}, set[str]()
    for one in (graph, *graph.subgraphs()):
        made = (v for n in one for v in n.outputs)
        for value in (*one.inputs, *one.initializers.values(), *made):
            if value.name and value not in ends:
                if value.name in taken:
                    value.name = fresh(value.name, taken)
                taken.add(value.name)
        for node in one:
            if node.name:
                if node.name in nodes:
                    node.name = fresh(node.name, nodes)
                nodes.add(node.name)


def only_user(value: ir.Value) -> ir.Node | None:
    """The node that alone reads `value`, once; None when there are more readers, when that one is in the body of an If,
    Loop or Scan beside it, and when it is an output of the graph."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    made, user = value.producer(), uses[0].node
    return user if user.graph is (value.graph if made is None else made.graph) else None


def producer(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """The ONNX node of one of these types that makes `value`, or None."""
    node = value.producer() if value is not None else None
    return node if node is not None and is_op(node, *op_types) else None


def is_op(node: ir.Node, *op_types: str) -> bool:
    """Whether `node` is an operator of ONNX itself of one of these types."""
    return node.domain in ("", "ai.onnx") and node.op_type in op_types


def replace(old: ir.Value, new: ir.Value) -> None:
    """Everybody who read `old` reads `new`. An output of the graph keeps its name, type and shape; what nobody reads
    any longer leaves its marks (`lineage`) to what took its place."""
    if old.is_graph_output():
        new.name, old.name = old.name, f"{old.name}_replaced"
        new.type, new.shape = old.type, old.shape
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    lineage.hand_on(old, new)


def bypass(node: ir.Node) -> bool:
    """Removes a node that hands its first input on. False, and nothing done, when it is all there is between an input
    or a constant and an output of the graph."""
    source, result = node.inputs[0], node.outputs[0]
    if source is None:
        return False
    if result.is_graph_output() and (source.producer() is None or source.is_graph_output()):
        return False
    replace(result, source)
    graph_of(node).remove(node, safe=True)
    return True


def graph_of(node: ir.Node) -> ir.Graph:
    """The graph that `node` is in."""
    graph = node.graph
    if not isinstance(graph, ir.Graph):
        raise TypeError(f"{node.op_type} is in no graph")
    return graph


def integer(node: ir.Node, name: str, default: int) -> int:
    """An integer attribute, or what ONNX takes where it is absent."""
    attribute = node.attributes.get(name)
    return attribute.as_int() if attribute is not None else default


def real(node: ir.Node, name: str, default: float) -> float:
    """A float attribute, or what ONNX takes where it is absent."""
    attribute = node.attributes.get(name)
    return attribute.as_float() if attribute is not None else default


def text(node: ir.Node, name: str, default: str) -> str:
    """A string attribute, or what ONNX takes where it is absent."""
    attribute = node.attributes.get(name)
    return attribute.as_string() if attribute is not None else default


def integers(node: ir.Node, name: str) -> list[int] | None:
    """A list attribute, or None where it is absent."""
    attribute = node.attributes.get(name)
    return list(attribute.as_ints()) if attribute is not None else None


def axes_of(node: ir.Node) -> list[int] | None:
    """The axes of a reduction, Squeeze or Unsqueeze: an attribute, or since opset 13 or 18 a second input. None where
    they are absent or computed."""
    found = integers(node, "axes")
    if found is None and len(node.inputs) > 1:
        given = constant(node.inputs[1])
        found = None if given is None else [int(axis) for axis in given.reshape(-1)]
    return found


def rank(value: ir.Value | None) -> int | None:
    """The number of dimensions including the batch, or None when it is unknown."""
    return None if value is None or value.shape is None else len(value.shape)


def known_dims(value: ir.Value | None, start: int = 0) -> list[int] | None:
    """The dimensions from `start` on when all of them are fixed numbers, else None."""
    if value is None or value.shape is None:
        return None
    dims = [d for d in value.shape[start:] if isinstance(d, int)]
    return dims if len(dims) == len(value.shape[start:]) else None
