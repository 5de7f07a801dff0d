"""One pass through a network, node by node, for those that look at its values or change its weights on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from squeeze.students.network import Network

Node = dict[str, Any]  # Any: as `Network.nodes` has them


def walk(
    network: Network,
    x: Tensor,
    *,
    before: Callable[[Node, list[Tensor], Mapping[str, Tensor]], None] | None = None,
    after: Callable[[Node, Mapping[str, Tensor]], None] | None = None,
) -> Tensor:
    """The output of `network` for x [n, ...], without gradients.

    before(node, operands, values): asked before a node is computed; it may change the weights of its layer. values:
    those that are still read by it or later. after(node, values): with what the node made, by name.
    """
    found = network.given(x)
    with torch.no_grad():
        for node, done in zip(network.nodes, network.last_read(network.output), strict=True):
            operands = [network.operand(found, name) for name in node["inputs"]]
            if before is not None:
                before(node, operands, found)
            made = network.compute(node, operands)
            results = made if isinstance(made, tuple) else (made,)
            fresh = dict(zip(node["outputs"], results, strict=False))
            if after is not None:
                after(node, fresh)
            found.update(fresh)
            for name in done:
                found.pop(name, None)
    return found[network.output]
