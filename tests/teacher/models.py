"""Small torch models of every kind that a teacher can be."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


class Vector(nn.Sequential):
    """An MLP for vectors of 6, three classes."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


class Image(nn.Module):
    """A CNN for [3, 8, 8], with a depthwise layer, pooled by a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, 1, 1, groups=8),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


class Signal(nn.Module):
    """A 1-D CNN for [2, 40], pooled by AdaptiveAvgPool1d."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(2, 6, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool1d(1))
        self.classifier = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.body(x).flatten(1))


class Tokens(nn.Module):
    """A bag of words: int64 [n, 12] of 50 words, three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.classifier = nn.Linear(16, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.embedding(ids).mean(1))


class ChannelsLast(nn.Module):
    """Takes [n, 8, 8, 3], as models from TensorFlow do."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Image()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x.permute(0, 3, 1, 2))


class Ending(nn.Module):
    """The MLP with a final activation."""

    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.inner, self.last = Vector(), last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.inner(x))


class Awkward(nn.Module):
    """A dict of one output, a block without gradients, a constant, an unsaved buffer, a default argument."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)
        self.register_buffer("shift", torch.ones(6), persistent=False)

    def forward(self, x: torch.Tensor, double: bool = True) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            x = (x - self.shift) * torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        return {"logits": self.layer(x) * (2 if double else 1)}


class Bag(nn.Module):
    """EmbeddingBag has an export that the runtime refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.EmbeddingBag(30, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.layer(ids)


@dataclass
class Found:
    """What a detector returns, as libraries of models have it."""

    boxes: torch.Tensor
    classes: torch.Tensor
    cache: torch.Tensor | None = None


class Detector(nn.Module):
    """A dataclass of boxes [n, 2, 4], the best of 3 classes [n], and nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.boxes, self.scores = nn.Linear(6, 8), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> Found:
        return Found(self.boxes(x).reshape(-1, 2, 4), self.scores(x).argmax(1))


class Encoder(nn.Module):
    """Tokens averaged where a mask is 1: a dict of logits [n, 3], of nothing, and of a pair of states."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.classifier = nn.Linear(16, 3)

    def forward(
        self, ids: torch.Tensor, mask: torch.Tensor, *, shift: torch.Tensor
    ) -> dict[str, object]:
        states = self.embedding(ids) * mask[..., None]
        mean = states.sum(1) / mask.sum(1, keepdim=True) + shift
        return {"logits": self.classifier(mean), "loss": None, "pair": (mean, states)}


class TimeFirst(nn.Module):
    """Takes [t, n, 6], gives the same and the mean over time."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.layer(x)
        return y, y.mean(0)


class Heatmap(nn.Module):
    """An output [n, 2, 8, 8]: no vector of classes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Mixing(nn.Module):
    """What one sample gives depends on the others."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Vector()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x - x.mean(0, keepdim=True) + 1)


class WrittenBatch(nn.Module):
    """Writes the batch that it is exported with into a reshape."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.inner, self.batch = Vector(), batch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x.reshape(self.batch, 6))


INPUTS: dict[str, torch.Tensor] = {
    "Vector": torch.linspace(-1, 1, 24).reshape(4, 6),
    "Image": torch.linspace(-1, 1, 4 * 192).reshape(4, 3, 8, 8),
    "Signal": torch.linspace(-1, 1, 320).reshape(4, 2, 40).sin(),
    "Tokens": torch.arange(48).reshape(4, 12),
    "ChannelsLast": torch.linspace(-1, 1, 4 * 192).reshape(4, 8, 8, 3),
    "Heatmap": torch.linspace(-1, 1, 4 * 192).reshape(4, 3, 8, 8),
}


def make(kind: type[nn.Module], *arguments: object, seed: int = 0) -> nn.Module:
    """A module with seeded weights, in eval mode."""
    torch.manual_seed(seed)
    return kind(*arguments).eval()
