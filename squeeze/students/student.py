"""The module class of the families: blocks of layers, global average pooling, a linear classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from squeeze.outputs import Outputs
from squeeze.students.layer import Block, Layer
from squeeze.students.positions import Positions
from squeeze.students.tokens import TokenBlock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.students.student_spec import Layout

AnyBlock = Block | TokenBlock

# What `Student.taps` gives beside the logits.
TAPS = frozenset({"embedding", "feature_map"})

_CONV: dict[int, type[nn.Conv1d] | type[nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}
_NORM: dict[int, type[nn.BatchNorm1d] | type[nn.BatchNorm2d]] = {
    0: nn.BatchNorm1d,
    1: nn.BatchNorm1d,
    2: nn.BatchNorm2d,
}


class Residual(nn.Module):
    """relu(main(x) + shortcut(x)), the ReLU only where the block has one."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.main = nn.Sequential(*map(_layer, block.main))
        self.shortcut = nn.Identity() if block.projection is None else _layer(block.projection)
        self.activation = nn.ReLU() if block.relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """x: [n, c, ...] -> [n, k, ...]."""
        total: Tensor = self.main(x) + self.shortcut(x)
        activated: Tensor = self.activation(total)
        return activated


class Student(nn.Module):
    """A student. `layers` are its layers as numbers, the classifier last.

    Input [n, *input_shape] float32, in the teacher's own layout; output logits [n, outputs].
    """

    def __init__(self, blocks: Sequence[AnyBlock], head: Layer, layout: Layout) -> None:
        super().__init__()
        self.layers = (*(layer for block in blocks for layer in block.layers), head)
        self.layout = layout
        self.trunk = nn.Sequential(*map(self.module_of, blocks))
        self.classifier = nn.Linear(head.inputs, head.outputs)

    def features(self, x: Tensor) -> Tensor:
        """[n, *input_shape] -> the map before pooling [n, d, ...], or [n, d] for an MLP."""
        if self.layout == "channels-last":
            x = x.movedim(-1, 1)
        elif self.layout == "no-channel":
            x = x.unsqueeze(1)
        elif self.layout == "flat":
            x = x.flatten(1)
        found: Tensor = self.trunk(x)
        return found

    def embed(self, features: Tensor) -> Tensor:
        """Global average pooling: [n, d, ...] -> [n, d]."""
        return features if features.ndim == 2 else features.mean(tuple(range(2, features.ndim)))

    def map_of(self, features: Tensor) -> Tensor:
        """The features as a map [n, d, ...], which they are."""
        return features

    def module_of(self, block: AnyBlock) -> nn.Module:
        """The module of one block."""
        if not isinstance(block, Block):
            raise TypeError(f"a convolutional student has no {type(block).__name__}")
        return Residual(block) if block.shortcut else nn.Sequential(*map(_layer, block.main))

    def taps(self, x: Tensor) -> Outputs[Tensor]:
        """Logits [n, c] of one forward pass, with the taps TAPS: "embedding" [n, d], "feature_map" [n, d, ...]."""
        features = self.features(x)
        embedding = self.embed(features)
        taps = {"embedding": embedding, "feature_map": self.map_of(features)}
        return Outputs(self.classifier(embedding), taps)

    def forward(self, x: Tensor) -> Tensor:
        """[n, *input_shape] -> logits [n, c]."""
        logits: Tensor = self.classifier(self.embed(self.features(x)))
        return logits


class Deployed(nn.Module):
    """A student with the activation that its teacher ends with."""

    def __init__(self, student: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.student = student
        self.activation = activation

    def forward(self, *x: Tensor) -> Tensor:
        """Inputs of the student, [n, ...] each -> probabilities [n, c]."""
        activated: Tensor = self.activation(self.student(*x))
        return activated


def initialise(student: Student, seed: int) -> None:
    """He-normal weights (He et al. 2015) from a generator of its own; a small classifier, so that logits start low."""
    generator = torch.Generator().manual_seed(seed)
    for module in student.modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d)):
            fan_out = module.weight.numel() / module.in_channels * module.groups
            with torch.no_grad():
                module.weight.normal_(0, (2 / fan_out) ** 0.5, generator=generator)
        elif isinstance(module, nn.Linear):
            # Where normalisation follows (no bias), ReLU does too.
            gain = 2 if module.bias is None else 1
            with torch.no_grad():
                module.weight.normal_(0, (gain / module.in_features) ** 0.5, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
        elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)):
            module.reset_parameters()
        elif isinstance(module, Positions):
            module.reset(generator)


def _layer(layer: Layer) -> nn.Sequential:
    rank = len(layer.kernel)
    linear: nn.Module
    if rank == 0:
        linear = nn.Linear(layer.inputs, layer.outputs, bias=False)
    else:
        linear = _CONV[rank](
            layer.inputs,
            layer.outputs,
            layer.kernel,  # type: ignore[arg-type]  # one entry per spatial dimension
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            groups=layer.groups,
            bias=False,
        )
    parts = [linear, _NORM[rank](layer.outputs)]
    return nn.Sequential(*parts, nn.ReLU()) if layer.relu else nn.Sequential(*parts)
