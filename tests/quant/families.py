"""Small networks of the families that have to run in int8, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import nn

from squeeze import graph
from squeeze.export import to_ir
from tests.feeds import feed_of, interface_of

Floats = NDArray[np.float32]


def conv(
    i: int, o: int, k: int = 3, stride: int = 1, groups: int = 1, act: nn.Module | None = None
) -> nn.Sequential:
    layers = [nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o)]
    return nn.Sequential(*layers, *([act] if act else []))


class Residual(nn.Module):
    """Basic blocks, one with a convolution as shortcut and one with strided slices and zero channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 8, act=nn.ReLU())
        self.a1, self.a2 = conv(8, 8, act=nn.ReLU()), conv(8, 8)
        self.b1, self.b2, self.b3 = (
            conv(8, 12, 3, 2, act=nn.ReLU()),
            conv(12, 12),
            conv(8, 12, 1, 2),
        )
        self.c1, self.c2 = conv(12, 16, 3, 2, act=nn.ReLU()), conv(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = torch.relu(x + self.a2(self.a1(x)))
        x = torch.relu(self.b3(x) + self.b2(self.b1(x)))
        short = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        return torch.relu(short + self.c2(self.c1(x)))


class Depthwise(nn.Module):
    """Depthwise and pointwise convolutions with ReLU6."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(3, 8, 3, 2, act=nn.ReLU6()),
            conv(8, 8, 3, 1, 8, nn.ReLU6()),
            conv(8, 16, 1, act=nn.ReLU6()),
            conv(16, 16, 5, 2, 16, nn.ReLU6()),
            conv(16, 16, 1, act=nn.ReLU6()),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class Bottleneck(nn.Module):
    """Inverted bottlenecks with squeeze-and-excitation; the gate is a sigmoid or a hard sigmoid."""

    def __init__(self, gate: nn.Module, act: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.stem = conv(3, 8, 3, 2, act=act())
        self.wide, self.deep = conv(8, 16, 1, act=act()), conv(16, 16, 3, 1, 16, act())
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.ReLU(), nn.Conv2d(4, 16, 1), gate
        )
        self.narrow = conv(16, 8, 1)
        self.last = conv(8, 16, 1, act=act())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.deep(self.wide(x))
        return self.last(x + self.narrow(y * self.gate(y)))


class Concatenated(nn.Module):
    """Branches joined by Concat, with pooling and LeakyReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 8, act=nn.LeakyReLU(0.1))
        self.a, self.b = conv(8, 4, 1, act=nn.ReLU()), conv(8, 8, act=nn.ReLU())
        self.pool, self.average = nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2)
        self.last = conv(12, 16, act=nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.stem(x))
        return self.last(self.average(torch.cat([self.a(x), self.b(x)], 1)))


class PreActivation(nn.Module):
    """Normalisation and ReLU before the convolutions; the sum is read by both."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 1, 1)
        self.n1, self.c1 = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, 1, 1, bias=False)
        self.n2, self.c2 = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, 1, 1)
        self.n3, self.c3 = nn.BatchNorm2d(8), nn.Conv2d(8, 16, 3, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = x + self.c2(torch.relu(self.n2(self.c1(torch.relu(self.n1(x))))))
        return torch.relu(self.c3(torch.relu(x)) + self.c3(torch.relu(self.n3(x))))


class Sloped(nn.Module):
    """As networks for faces are: PReLU with a slope per channel, a shortcut, and a slope that all share."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 8, act=_slopes(8))
        self.wide, self.deep = conv(8, 16, 1, act=_slopes(16)), conv(16, 16, 3, 1, 16, _slopes(16))
        self.narrow = conv(16, 8, 1)
        self.last = conv(8, 16, 3, 2, act=_slopes(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.last(x + self.narrow(self.deep(self.wide(x))))


def _slopes(count: int) -> nn.PReLU:
    made = nn.PReLU(count)
    with torch.no_grad():
        made.weight.copy_(torch.linspace(0.05, 0.6, count))
    return made


class WithHead(nn.Module):
    """A body, the mean over space and a classifier."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3)))


def signal() -> nn.Module:
    """One-dimensional: a residual of depthwise convolutions, pooled and flattened."""

    class Signal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv1d(2, 8, 7, 2, 3), nn.BatchNorm1d(8), nn.ReLU())
            self.deep = nn.Sequential(
                nn.Conv1d(8, 8, 5, 1, 2, groups=8), nn.ReLU(), nn.Conv1d(8, 8, 1)
            )
            self.head = nn.Sequential(nn.MaxPool1d(4), nn.Flatten(), nn.Linear(32, 5))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            return self.head(torch.relu(x + self.deep(x)))

    return Signal()


def dense() -> nn.Module:
    """A multilayer perceptron."""
    return nn.Sequential(
        nn.Linear(20, 32),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Linear(32, 32),
        nn.ReLU(),
        nn.Linear(32, 5),
    )


IMAGE, SIGNAL, VECTOR = (3, 16, 16), (2, 32), (20,)
FAMILIES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "bottleneck": (lambda: WithHead(Bottleneck(nn.Sigmoid(), nn.ReLU6)), IMAGE),
    "bottleneck-hard": (lambda: WithHead(Bottleneck(nn.Hardsigmoid(), nn.Hardswish)), IMAGE),
    "concatenated": (lambda: WithHead(Concatenated()), IMAGE),
    "dense": (dense, VECTOR),
    "depthwise": (lambda: WithHead(Depthwise()), IMAGE),
    "pre-activation": (lambda: WithHead(PreActivation()), IMAGE),
    "residual": (lambda: WithHead(Residual()), IMAGE),
    "signal": (signal, SIGNAL),
    "sloped": (lambda: WithHead(Sloped()), IMAGE),
}


def inputs(name: str, count: int, seed: int = 0) -> Floats:
    """Smooth random inputs of a family."""
    shape = FAMILIES[name][1]
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


@cache
def exported(name: str) -> bytes:
    """The optimised float graph of a family; its normalisations have seen data."""
    torch.manual_seed(0)
    module = FAMILIES[name][0]()
    with torch.no_grad():
        for _ in range(4):
            module(torch.randn(32, *FAMILIES[name][1]))
    x = inputs(name, 3)
    model = to_ir(module.eval(), x, input_name="x", output_name="y")
    graph.optimise(model, feed_of(model, x), interface_of(model))
    return graph.to_bytes(model)


def model(name: str) -> ir.Model:
    """A fresh copy of the float graph of a family."""
    import onnx

    return ir.serde.deserialize_model(onnx.load_from_string(exported(name)))
