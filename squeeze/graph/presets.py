"""Writes once what many nodes and bodies of a finished model repeat: as functions of the model, which runtimes inline.

preset   a node of ours with its attributes. Attributes are two thirds of a node, and layers of one stage share them.
decoder  the steps from packed indices to weights, of which the body of each codebook op has a copy.

Both are plain model-local functions, in a domain of their own; ONNX Runtime inlines them before it looks for kernels.
"""

from __future__ import annotations

from collections import defaultdict
from string import ascii_letters

import onnx_ir as ir

from squeeze import ops
from squeeze.ops.body import Body
from squeeze.ops.codebook import WEIGHT_ATTRIBUTES, WEIGHT_INPUTS, decoded_weights

DOMAIN = "s"  # a byte, because each node that uses one repeats it
DECODER = "_"


def fold(model: ir.Model) -> None:
    """Makes, in place, presets of nodes and the shared decoder where the file gets smaller by that."""
    _share_decoder(model)
    alike: dict[tuple[str, int, bytes], list[ir.Node]] = defaultdict(list)
    for node in model.graph:
        if node.domain == ops.DOMAIN and len(node.outputs) == 1 and all(node.inputs):
            alike[node.op_type, len(node.inputs), _attribute_bytes(node)].append(node)
    taken = {f.name for f in model.functions.values() if f.domain == DOMAIN}
    names = [letter for letter in ascii_letters if letter not in taken]
    for (op_type, _, attributes), nodes in alike.items():
        if not names:
            break
        preset = _preset(names[0], nodes[0])
        saved = len(attributes) + len(ops.DOMAIN) + len(op_type) - len(DOMAIN) - 1
        if saved * len(nodes) <= len(ir.serde.serialize_function(preset).SerializeToString()):
            continue
        _add(model, preset)
        name = names.pop(0)
        for node in nodes:
            node.domain, node.op_type = DOMAIN, name
            node.attributes.clear()


def decoder(opset: int) -> ir.Function:
    """indices, codebooks -> weights, with the attributes of the codebook ops."""
    body = Body(WEIGHT_INPUTS)
    return body.function(DECODER, DOMAIN, opset, decoded_weights(body), WEIGHT_ATTRIBUTES)


def _share_decoder(model: ir.Model) -> None:
    found = [(f, w) for f in model.functions.values() if (w := _decoded(f)) is not None]
    if len(found) < 2:
        return
    for function, weights in found:
        needed = _ancestors(weights)
        steps = [node for node in function if node in needed]
        inputs = [value for value in function.inputs if value.name in WEIGHT_INPUTS]
        attributes = [ir.RefAttr(key, key, kind) for key, kind in WEIGHT_ATTRIBUTES.items()]
        call = ir.Node(DOMAIN, DECODER, inputs, attributes)
        call.outputs[0].name, weights.name = weights.name, None
        function.insert_before(steps[0], call)
        weights.replace_all_uses_with(call.outputs[0])
        function.remove(steps, safe=True)
        function.opset_imports[DOMAIN] = 1
    _add(model, decoder(model.graph.opset_imports[""]))


def _decoded(function: ir.Function) -> ir.Value | None:
    """The weights in the body of a codebook op: what is brought into the shape `w_shape`; None in other bodies."""
    if function.domain != ops.DOMAIN:
        return None
    for node in function:
        if any(a.ref_attr_name == "w_shape" for a in node.attributes.values()):
            for user, _ in node.outputs[0].uses():
                if user.op_type == "Reshape":
                    return user.outputs[0]
    return None


def _ancestors(value: ir.Value) -> set[ir.Node]:
    """The nodes that `value` is computed by."""
    found: set[ir.Node] = set()
    waiting: list[ir.Value | None] = [value]
    while waiting:
        value_or_none = waiting.pop()
        node = value_or_none.producer() if value_or_none is not None else None
        if node is not None and node not in found:
            found.add(node)
            waiting += node.inputs
    return found


def _attribute_bytes(node: ir.Node) -> bytes:
    proto = ir.serde.serialize_node(node)
    del proto.input[:], proto.output[:]
    for name in ("name", "op_type", "domain"):
        proto.ClearField(name)
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def _preset(name: str, node: ir.Node) -> ir.Function:
    inputs = [ir.Value(name=letter) for letter in ascii_letters[: len(node.inputs)]]
    inner = ir.Node(node.domain, node.op_type, inputs, list(node.attributes.values()))
    inner.outputs[0].name = "_"
    graph = ir.Graph(
        inputs, inner.outputs, nodes=[inner], opset_imports={ops.DOMAIN: ops.VERSION}, name=name
    )
    return ir.Function(DOMAIN, name, graph=graph, attributes=[])


def _add(model: ir.Model, function: ir.Function) -> None:
    model.functions[function.identifier()] = function
    model.graph.opset_imports[DOMAIN] = 1
