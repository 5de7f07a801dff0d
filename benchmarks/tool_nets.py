"""Two networks for timing the tool, written by torch: shapes as people ship them, weights as they are initialised."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

import squeeze


def _block(inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


class Separable(nn.Sequential):
    """Thirteen depthwise and pointwise convolutions and a classifier, [n, 3, 160, 160] -> [n, 1000]: 4.2 M weights."""

    def __init__(self) -> None:
        widths = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
        widths += [(512, 1)] * 5 + [(1024, 2), (1024, 1)]
        layers: list[nn.Module] = [_block(3, 32, 3, 2)]
        last = 32
        for width, stride in widths:
            layers += [_block(last, last, 3, stride, groups=last), _block(last, width, 1, 1)]
            last = width
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, 1000))


class _Silu(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return y * y.sigmoid()


class _Split(nn.Module):
    """Two halves, of which one goes through residual pairs of convolutions; all are joined again."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.half = width // 2
        self.first, self.last = _Silu(width, width, 1), _Silu(2 * width, width, 1)
        pairs = [nn.Sequential(*[_Silu(self.half, self.half) for _ in "ab"]) for _ in "ab"]
        self.pairs = nn.ModuleList(pairs)

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.first(x).split(self.half, 1))
        for pair in self.pairs:
            parts.append(parts[-1] + pair(parts[-1]))
        joined: Tensor = self.last(torch.cat(parts, 1))
        return joined


class Detector(nn.Module):
    """A backbone with SiLU and three heads, [n, 3, 256, 256] -> boxes and scores [n, 4 + 8, 1344]: 2 M weights."""

    def __init__(self, classes: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(_Silu(3, 16, 3, 2), _Silu(16, 32, 3, 2), _Split(32))
        widths = (32, 64, 128, 256)
        self.stages = nn.ModuleList(
            nn.Sequential(_Silu(a, b, 3, 2), _Split(b)) for a, b in pairwise(widths)
        )
        self.boxes = nn.ModuleList(nn.Conv2d(w, 4, 1) for w in widths[1:])
        self.scores = nn.ModuleList(nn.Conv2d(w, classes, 1) for w in widths[1:])

    def forward(self, x: Tensor) -> Tensor:
        x, found = self.stem(x), []
        for stage, boxes, scores in zip(self.stages, self.boxes, self.scores, strict=True):
            x = stage(x)
            both = torch.cat([128 + 64 * boxes(x), scores(x).sigmoid()], 1)
            found.append(both.flatten(2))
        return torch.cat(found, 2)


NETS: dict[str, tuple[type[nn.Module], int]] = {
    "separable": (Separable, 160),
    "detector": (Detector, 256),
}


def write(name: str, path: Path) -> int:
    """Saves the network as ONNX; returns the side of its images. Statistics of its norms are those of random images."""
    make, side = NETS[name]
    torch.manual_seed(0)
    net, images = make(), torch.rand(8, 3, side, side)
    with torch.no_grad():
        for _ in range(20):
            net(images)
    squeeze.save(net.eval(), images[:2], path)
    return side
