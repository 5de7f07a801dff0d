"""Residual networks as graphs give them, and a teacher of them that says something."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze.losses.kd import KD
from squeeze.outputs import Outputs
from squeeze.prune import Samples
from squeeze.shrink import Seen
from squeeze.students import Network
from tests.prune.zoo import Head, conv, imported, with_statistics

WIDTH = 16


class Block(nn.Module):
    """relu(x + two convolutions of x), with a projection where the stride or the width changes."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = conv(inputs, outputs, 3, stride)
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1), nn.BatchNorm2d(outputs))
        self.projection = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.projection(x) + self.second(self.first(x)))


class Resnet(nn.Module):
    """A stem, `depth` blocks, a block that halves the map, one more, and a head; `gone`: blocks that are left away."""

    def __init__(self, depth: int = 2) -> None:
        super().__init__()
        self.stem = conv(3, WIDTH)
        self.blocks = nn.ModuleList(
            [
                *(Block(WIDTH, WIDTH) for _ in range(depth)),
                Block(WIDTH, 2 * WIDTH, 2),
                Block(2 * WIDTH, 2 * WIDTH),
            ]
        )
        self.head = Head(2 * WIDTH)
        self.gone: tuple[int, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for i, block in enumerate(self.blocks):
            if i not in self.gone:
                x = block(x)
        found: Tensor = self.head(x)
        return found


def resnet(depth: int = 2) -> Resnet:
    """In eval mode, with statistics of normalisation as after training."""
    torch.manual_seed(0)
    made = Resnet(depth)
    with_statistics(made)
    return made.eval()


def images(count: int, seed: int = 1) -> Tensor:
    """[n, 3, 8, 8], smooth enough that a map says something of its neighbours."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 4, 4, generator=generator)
    return functional.interpolate(coarse, scale_factor=2, mode="bilinear")


def whole() -> tuple[Resnet, Network]:
    """The module, and the network of its graph."""
    module = resnet()
    return module, imported(module, images(3)).eval()


def seen(network: Network, count: int = 128) -> Seen:
    """Samples with what the network itself says of them, which is the teacher."""

    def samples(seed: int) -> Samples:
        x = images(count, seed)
        with torch.no_grad():
            return Samples(x, None, network(x))

    loss = KD(label_weight=0.0)
    return Seen(
        [samples(2)], samples(3), lambda a, b: loss(Outputs(a), Outputs(b), None), "classes"
    )
