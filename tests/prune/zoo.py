"""Small networks of every kind of coupling, as plain torch modules."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze import export
from squeeze.students import Network
from squeeze.students.imported import imported as of_graph


def conv(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Head(nn.Module):
    def __init__(self, inputs: int, outputs: int = 10) -> None:
        super().__init__()
        self.fc = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((2, 3)))


class Residual(nn.Module):
    """An identity shortcut, then one by projection."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 16)
        self.a1, self.a2 = (
            conv(16, 24),
            nn.Sequential(nn.Conv2d(24, 16, 3, 1, 1), nn.BatchNorm2d(16)),
        )
        self.b1, self.b2 = (
            conv(16, 32, 3, 2),
            nn.Sequential(nn.Conv2d(32, 32, 3, 1, 1), nn.BatchNorm2d(32)),
        )
        self.projection = nn.Sequential(nn.Conv2d(16, 32, 1, 2), nn.BatchNorm2d(32))
        self.head = Head(32)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = functional.relu(self.a2(self.a1(x)) + x)
        x = functional.relu(self.b2(self.b1(x)) + self.projection(x))
        return self.head(x)


class Depthwise(nn.Module):
    """Inverted residuals."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 16)
        self.up, self.depth = conv(16, 48, 1), conv(48, 48, 3, 1, 48)
        self.down = nn.Sequential(nn.Conv2d(48, 16, 1, bias=False), nn.BatchNorm2d(16))
        self.last = conv(16, 40, 1)
        self.head = Head(40)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.down(functional.relu6(self.depth(self.up(x))))
        return self.head(self.last(x))


class Grouped(nn.Module):
    """ResNeXt-like: groups between dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 32)
        self.first, self.second = conv(32, 48, 3, 1, 4), conv(48, 32, 3, 1, 2)
        self.head = Head(32)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(self.stem(x))))


class Concat(nn.Module):
    """Each layer sees what all before it made."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 16)
        self.one, self.two = conv(16, 16), conv(32, 24)
        self.norm, self.transition = nn.BatchNorm2d(56), conv(56, 32, 1)
        self.head = Head(32)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.cat([x, self.one(x)], 1)
        x = torch.cat([self.two(x), x], 1)
        return self.head(self.transition(functional.relu(self.norm(x))))


class InputConcat(nn.Module):
    """The input itself is one of the parts."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.next = conv(3, 16), conv(19, 24)
        self.head = Head(24)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.next(torch.cat([x, self.stem(x)], 1)))


class Chunk(nn.Module):
    """CSP-like: one half goes through layers, and all are joined."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.split = conv(3, 16), conv(16, 48, 1)
        self.inner, self.join = conv(24, 24), conv(72, 32, 1)
        self.head = Head(32)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.split(self.stem(x)).chunk(2, 1)
        return self.head(self.join(torch.cat([b, self.inner(b), a], 1)))


class Split(nn.Module):
    """Parts of other sizes, written in the code."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.split = conv(3, 24), conv(24, 40, 1)
        self.inner, self.join = conv(24, 32), conv(48, 24, 1)
        self.head = Head(24)

    def forward(self, x: Tensor) -> Tensor:
        a, b = torch.split(self.split(self.stem(x)), [16, 24], 1)
        return self.head(self.join(torch.cat([a, self.inner(b)], 1)))


class SqueezeExcite(nn.Module):
    """A gate per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body = conv(3, 16), conv(16, 32)
        self.narrow, self.widen = nn.Conv2d(32, 16, 1), nn.Conv2d(16, 32, 1)
        self.last = conv(32, 24)
        self.head = Head(24)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(self.stem(x))
        gate = functional.silu(self.narrow(x.mean((2, 3), keepdim=True)))
        return self.head(self.last(x * torch.sigmoid(self.widen(gate))))


class Attention(nn.Module):
    """Patches, one block of a vision transformer, the mean of its tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 4, 4)
        self.position = nn.Parameter(torch.randn(1, 4, 32) * 0.1)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(32), nn.LayerNorm(32), nn.LayerNorm(32)
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)
        self.fc1, self.fc2 = nn.Linear(32, 64), nn.Linear(64, 32)
        self.classifier = nn.Linear(32, 10)

    def attend(self, x: Tensor) -> Tensor:
        n, t, d = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, 4, d // 4).permute(2, 0, 3, 1, 4).unbind(0)
        shares = (q @ k.transpose(-2, -1) * (d // 4) ** -0.5).softmax(-1)
        return self.out((shares @ v).transpose(1, 2).reshape(n, t, d))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        x = x + self.attend(self.norm1(x))
        x = x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))
        return self.classifier(self.norm3(x).mean(1))


class Signal(nn.Module):
    """1-D convolutions, flattened."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv1d(2, 16, 5, 2, 2), nn.BatchNorm1d(16), nn.ReLU())
        self.two = nn.Sequential(nn.Conv1d(16, 24, 3, 2, 1), nn.BatchNorm1d(24), nn.ReLU())
        self.fc = nn.Linear(24 * 8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.two(self.one(x)).flatten(1))


class Flat(nn.Module):
    """LeNet-like: maps flattened to a layer of numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(3, 16), conv(16, 24, 3, 2)
        self.fc1, self.fc2 = nn.Linear(24 * 4 * 4, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.relu(self.fc1(self.two(self.one(x)).flatten(1))))


class Scaled(nn.Module):
    """A learned scale per channel, and a nonlinearity that is not zero at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 24, 3, 1, 1), nn.Conv2d(24, 16, 3, 1, 1)
        self.scale = nn.Parameter(torch.rand(1, 24, 1, 1) + 0.5)
        self.prelu = nn.PReLU(16)
        self.head = Head(16)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.sigmoid(self.one(x)) * self.scale
        return self.head(self.prelu(self.two(x)))


class Perceptron(nn.Module):
    """Fully connected layers."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Linear(20, 48), nn.BatchNorm1d(48), nn.ReLU())
        self.two, self.three = nn.Linear(48, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.three(torch.tanh(self.two(self.one(x))))


class SpatialGate(nn.Module):
    """One number per position: its single channel meets all channels of the other factor."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body = conv(3, 16), conv(16, 24)
        self.gate, self.last = nn.Conv2d(24, 1, 1), conv(24, 16)
        self.head = Head(16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(self.stem(x))
        return self.head(self.last(x * torch.sigmoid(self.gate(x))))


class Shuffle(nn.Module):
    """Channels of two groups are interleaved."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first = conv(3, 16), conv(16, 32, 1, 1, 2)
        self.second, self.last = conv(32, 32, 1, 1, 2), conv(32, 24)
        self.head = Head(24)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.stem(x))
        n, c, h, w = x.shape
        x = x.reshape(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.head(self.last(self.second(x)))


class Sliced(nn.Module):
    """Some channels by number, and the sum of all."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body, self.last = conv(3, 24), conv(16, 24), conv(24, 16)
        self.head = Head(16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(self.last(self.body(x[:, 4:20]) + x.sum(1, keepdim=True)))


class Shared(nn.Module):
    """One layer that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body, self.last = conv(3, 16), conv(16, 16), conv(16, 24)
        self.head = Head(24)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.last(self.body(self.body(self.stem(x)))))


class Drawn(nn.Module):
    """A random chain of residuals, concats, halves, gates, depthwise and grouped convolutions."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = np.random.default_rng(seed)
        width = int(draw.integers(2, 5)) * 8
        self.kinds: list[str] = []
        self.stem, self.parts = conv(3, width), nn.ModuleList()
        for _ in range(4):
            kind = str(
                draw.choice(["residual", "concat", "halves", "gate", "depthwise", "grouped"])
            )
            wide = int(draw.integers(2, 6)) * 8
            self.kinds.append(kind)
            if kind == "residual":
                parts = [conv(width, wide), nn.Conv2d(wide, width, 1)]
            elif kind == "concat":
                parts = [conv(width, wide)]
                width += wide
            elif kind == "halves":
                parts = [conv(width, 2 * wide, 1), conv(wide, wide)]
                width = wide
            elif kind == "gate":
                parts = [nn.Conv2d(width, 8, 1), nn.Conv2d(8, width, 1)]
            elif kind == "depthwise":
                parts = [conv(width, width, 3, 1, width), conv(width, wide, 1)]
                width = wide
            else:
                parts = [conv(width, wide, 1, 1, 4)]
                width = wide
            self.parts.append(nn.ModuleList(parts))
        self.head = Head(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for kind, parts in zip(self.kinds, self.parts, strict=True):
            if kind == "residual":
                x = functional.relu(x + parts[1](parts[0](x)))
            elif kind == "concat":
                x = torch.cat([parts[0](x), x], 1)
            elif kind == "halves":
                a, b = parts[0](x).chunk(2, 1)
                x = a + parts[1](b)
            elif kind == "gate":
                mean = x.mean((2, 3), keepdim=True)
                x = x * torch.sigmoid(parts[1](functional.relu(parts[0](mean))))
            else:
                for part in parts:
                    x = part(x)
        return self.head(x)


class Padded(nn.Module):
    """The shortcut of the first residual networks: every second position, and channels of zeros at both ends."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 16)
        self.a1, self.a2 = conv(16, 24, 3, 2), nn.Conv2d(24, 32, 3, 1, 1)
        self.b1, self.b2 = conv(32, 24), nn.Conv2d(24, 32, 3, 1, 1)
        self.head = Head(32)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        shortcut = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 8, 8))
        x = functional.relu(self.a2(self.a1(x)) + shortcut)
        return self.head(functional.relu(self.b2(self.b1(x)) + x))


class Sloped(nn.Module):
    """PReLU with a slope per channel inside of a shortcut, and one slope for all behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1), nn.PReLU(16))
        self.wide, self.slopes = nn.Conv2d(16, 32, 3, 1, 1), nn.PReLU(32)
        self.narrow, self.one = nn.Conv2d(32, 16, 3, 1, 1), nn.PReLU()
        self.head = Head(16)
        for slopes in (self.stem[1], self.slopes):
            nn.init.uniform_(slopes.weight, 0.05, 0.6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(self.one(x + self.narrow(self.slopes(self.wide(x)))))


class Neighbours(nn.Module):
    """Each channel is divided by what its neighbours are, as in the first large convolutional networks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = conv(3, 16), nn.LocalResponseNorm(5, alpha=1.0)
        self.a, self.b = conv(16, 32), conv(32, 16)
        self.head = Head(16)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.b(self.a(self.norm(self.stem(x)))))


IMAGE, SIGNAL, FEATURES = (3, 8, 8), (2, 32), (20,)

ZOO: dict[str, tuple[type[nn.Module], tuple[int, ...]]] = {
    "attention": (Attention, IMAGE),
    "chunk": (Chunk, IMAGE),
    "concat": (Concat, IMAGE),
    "depthwise": (Depthwise, IMAGE),
    "flat": (Flat, IMAGE),
    "grouped": (Grouped, IMAGE),
    "input-concat": (InputConcat, IMAGE),
    "neighbours": (Neighbours, IMAGE),
    "padded": (Padded, IMAGE),
    "perceptron": (Perceptron, FEATURES),
    "residual": (Residual, IMAGE),
    "scaled": (Scaled, IMAGE),
    "shared": (Shared, IMAGE),
    "shuffle": (Shuffle, IMAGE),
    "signal": (Signal, SIGNAL),
    "sliced": (Sliced, IMAGE),
    "sloped": (Sloped, IMAGE),
    "spatial-gate": (SpatialGate, IMAGE),
    "split": (Split, IMAGE),
    "squeeze-excite": (SqueezeExcite, IMAGE),
}


def made(name: str, seed: int = 0) -> tuple[nn.Module, Tensor]:
    """The network in eval mode with statistics as after training, and three samples."""
    kind, shape = ZOO[name]
    torch.manual_seed(seed)
    return with_statistics(kind()), torch.randn(3, *shape)


def with_statistics(module: nn.Module) -> nn.Module:
    """In eval mode, with normalisation as after training."""
    for layer in module.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.3, 0.3)
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 1.5)
    return module.eval()


def imported(module: nn.Module, x: Tensor) -> Network:
    """The module's ONNX export as a Network, with its weights."""
    return of_graph(export.to_ir(module, x.numpy(), input_name="x", output_name="y"))
