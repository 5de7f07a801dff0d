"""Small convolutional teachers, sorted: what slices are made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from squeeze import export, graph
from squeeze.interface import Interface, TensorSpec
from squeeze.shrink import network_to_shrink
from squeeze.shrink.supernet.normalised import normalised
from squeeze.shrink.supernet.slices import Slices
from squeeze.shrink.supernet.sorting import Sorted, sort
from squeeze.students import Network
from tests.shrink.networks import images, resnet


@dataclass(frozen=True)
class Teacher:
    """plain: the network of the optimised graph; made: the same one sorted, normalisation put back."""

    module: nn.Module
    plain: Network
    made: Sorted

    @property
    def slices(self) -> Slices:
        return Slices(self.made.sliceable)


def teacher(module: nn.Module | None = None, x: Tensor | None = None, outputs: int = 10) -> Teacher:
    """Of a module in eval mode that takes `x`; the residual network of these tests without one."""
    module = resnet() if module is None else module
    x = images(64) if x is None else x
    model = export.to_ir(module, x[:3].numpy(), input_name="x", output_name="y")
    ends = Interface(
        (TensorSpec("x", "float32", tuple(x.shape[1:])),), (TensorSpec("y", "float32", (outputs,)),)
    )
    graph.optimise(model, {"x": x[:1].numpy()}, ends)
    plain = network_to_shrink(model, ends, {"x": x[:2].numpy()})
    network = normalised(model, lambda: iter([x]))
    with torch.no_grad():
        torch.testing.assert_close(network(x), module(x), rtol=1e-4, atol=1e-4)
    return Teacher(module, plain, sort(plain, network, x[:2]))
