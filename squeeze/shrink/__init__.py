"""Students that are their teacher made smaller: blocks and channels go, what is left is refitted, then distilled.

whole = network_to_shrink(graph, interface, example)      the teacher as a torch network; `refusal` says why not
children = Children(whole, Seen(fit, held, loss, space))   one for each depth and cost, not trained
choose(children, Bound(...), measure=...).child            the nearest to the teacher inside the bound
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from squeeze.errors import UnsupportedError
from squeeze.prune.reduction import checked_network
from squeeze.shrink.children import Child, Children, Seen
from squeeze.shrink.choice import Bound, Chosen, choose
from squeeze.students.network import Network

if TYPE_CHECKING:
    import onnx_ir as ir

    from squeeze.feed import Feed
    from squeeze.interface import Interface

__all__ = [
    "Bound",
    "Child",
    "Children",
    "Chosen",
    "Seen",
    "choose",
    "network_to_shrink",
    "refusal",
]

_FINAL = ("Sigmoid", "Softmax")


def network_to_shrink(model: ir.Model, interface: Interface, example: Feed) -> Network:
    """The convolutional network of a float graph, in eval mode, which gives logits: without a final activation.

    Raises UnsupportedError for graphs that torch cannot run, and for networks that are not convolutional.
    """
    found = checked_network(model, interface, example)
    if not any(isinstance(layer, (nn.Conv1d, nn.Conv2d)) for layer in found.layers.values()):
        raise UnsupportedError("it has no convolutions")
    for node in found.nodes:
        if node["op"] == "LayerNormalization":
            raise UnsupportedError(
                f"LayerNormalization '{node['outputs'][0]}' needs all of its channels"
            )
    last = found.nodes[-1]
    if last["op"] not in _FINAL:
        return found
    plain = found.description()
    logits = Network({**plain, "nodes": plain["nodes"][:-1], "output": last["inputs"][0]})
    logits.load_state_dict(found.state_dict())
    return logits.eval()


def refusal(model: ir.Model, interface: Interface, example: Feed) -> str:
    """Why `model` cannot be made smaller, in one line; "" when it can. Cheap: nothing is scored."""
    try:
        network_to_shrink(model, interface, example)
    except UnsupportedError as e:
        return str(e)
    return ""
