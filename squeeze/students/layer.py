"""What one layer of a student computes, as numbers: the single source for building it and for its cost.

Three kinds by the number of spatial dimensions: 0 is a Linear, 1 a Conv1d, 2 a Conv2d; each with batch normalisation
that export folds into it. A block is a chain of layers, with or without a shortcut around it. `tokens.py` has what
transformers are made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer with normalisation. Padding keeps ceil(size / stride), hence kernels are odd, or as
    long as the stride: patches side by side."""

    inputs: int
    outputs: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    size: tuple[int, ...]  # spatial size of the input
    groups: int = 1
    relu: bool = True

    @property
    def out_size(self) -> tuple[int, ...]:
        """Spatial size of the output."""
        return tuple(-(-n // s) for n, s in zip(self.size, self.stride, strict=True))

    @property
    def padding(self) -> tuple[int, ...]:
        """Zeros at both ends of each spatial dimension."""
        return tuple(0 if k == s else k // 2 for k, s in zip(self.kernel, self.stride, strict=True))

    @property
    def weights(self) -> int:
        """Weights without the bias."""
        return self.outputs * (self.inputs // self.groups) * prod(self.kernel)

    @property
    def params(self) -> int:
        """Weights and one bias per output channel, as deployed (normalisation folded)."""
        return self.weights + self.outputs

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one sample."""
        return self.weights * prod(self.out_size)

    @property
    def activations(self) -> int:
        """Elements of the output for one sample."""
        return self.outputs * prod(self.out_size)

    @property
    def depthwise(self) -> bool:
        """Whether every channel is filtered on its own."""
        return self.groups > 1 and self.groups == self.inputs

    @property
    def mixes(self) -> bool:
        """Whether it sees more than one place of its input; projections and expansions do not."""
        return not self.kernel or prod(self.kernel) > 1


@dataclass(frozen=True)
class Block:
    """A chain of layers. With a shortcut (identity, or a projection layer) its output is added; then ReLU if `relu`."""

    main: tuple[Layer, ...]
    shortcut: bool = False
    projection: Layer | None = None
    relu: bool = False

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer of the block, the projection last."""
        return self.main if self.projection is None else (*self.main, self.projection)

    @property
    def outputs(self) -> int:
        """Channels of what it gives."""
        return self.main[-1].outputs


def dense(
    inputs: int,
    outputs: int,
    size: tuple[int, ...],
    *,
    kernel: int | tuple[int, ...] = 3,
    stride: int | tuple[int, ...] = 1,
    relu: bool = True,
) -> Layer:
    """An ordinary convolution over all input channels; a Linear when `size` is empty."""
    return Layer(inputs, outputs, _each(kernel, size), _each(stride, size), size, 1, relu)


def depthwise(
    channels: int,
    size: tuple[int, ...],
    *,
    kernel: int | tuple[int, ...] = 3,
    stride: int | tuple[int, ...] = 1,
) -> Layer:
    """One filter per channel."""
    return Layer(channels, channels, _each(kernel, size), _each(stride, size), size, channels)


def _each(value: int | tuple[int, ...], size: tuple[int, ...]) -> tuple[int, ...]:
    return (value,) * len(size) if isinstance(value, int) else value
