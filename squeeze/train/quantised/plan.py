"""What of a float graph is quantised in training: exactly what the quantiser of exported graphs quantises.

The plan is read off `quant.place`, by names of values, so that the network which is trained is the one that is shipped.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import onnx_ir as ir

from squeeze.quant.place import activations, has_weights, place
from squeeze.students.imported import with_shapes


@dataclass(frozen=True)
class Plan:
    """`weighted`: outputs of the nodes whose weights are quantised, in order.

    made: value -> the value whose grid it has, for all readers
    read: (output of the reading node, value) -> the same, for int8 readers of float values
    absorbed: output of an activation that the file has not, since a grid saturates -> the value of that grid
    """

    weighted: tuple[str, ...]
    made: dict[str, str]
    read: dict[tuple[str, str], str]
    absorbed: dict[str, str]

    @property
    def roots(self) -> list[str]:
        """The values that have a grid of their own."""
        return sorted({*self.made.values(), *self.read.values()})


def plan(
    model: ir.Model,
    float_outputs: Collection[str] = (),
    *,
    activation_products: bool = False,
    integer_outputs: bool = False,
) -> Plan:
    """The plan for an optimised float graph, without nodes by first output; `model` stays as it is. The rest as for
    `squeeze.quant.place`."""
    found = place(
        with_shapes(model).graph,
        float_outputs,
        activation_products=activation_products,
        integer_outputs=integer_outputs,
    )
    nodes = set(found.nodes)
    made: dict[str, str] = {}
    read: dict[tuple[str, str], str] = {}
    absorbed: dict[str, str] = {}
    for value, source in found.sources.items():
        root = found.roots[value]
        saturated = value
        while saturated is not source:
            node = saturated.producer()
            assert node is not None  # an activation made it
            assert node.inputs[0] is not None
            absorbed[str(saturated.name)] = str(root.name)
            saturated = node.inputs[0]
        if source.producer() in nodes:
            if value is root:  # a tensor that was only moved is on the grid already
                made[str(value.name)] = str(root.name)
            continue
        for user, _ in value.uses():
            if user in nodes and value in activations(user):
                read[str(user.outputs[0].name), str(value.name)] = str(root.name)
    weighted = tuple(str(n.outputs[0].name) for n in found.nodes if has_weights(n))
    return Plan(weighted, made, read, absorbed)
