"""The distinct convolutions of three small networks: what the int8 kernels are measured on."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Layer:
    """One convolution, batch 1; `pads` as in Conv: top, left, bottom, right."""

    network: str
    inputs: int
    outputs: int
    size: tuple[int, int]  # of x
    kernel: tuple[int, int] = (3, 3)
    stride: int = 1
    pads: tuple[int, int, int, int] = (1, 1, 1, 1)
    depthwise: bool = False
    residual: bool = False  # x is added to the result, as at the end of a ResNet's block

    @property
    def name(self) -> str:
        """Such as "dw3x3 64 /2 @24x24"."""
        kind = "dw" if self.depthwise else "conv"
        channels = str(self.inputs) if self.depthwise else f"{self.inputs}->{self.outputs}"
        stride = f" /{self.stride}" if self.stride > 1 else ""
        kernel, size = "x".join(map(str, self.kernel)), "x".join(map(str, self.size))
        return f"{kind}{kernel} {channels}{stride} @{size}{' + x' if self.residual else ''}"

    @property
    def out_size(self) -> tuple[int, int]:
        top, left, bottom, right = self.pads
        padded = (self.size[0] + top + bottom, self.size[1] + left + right)
        high, wide = ((p - k) // self.stride + 1 for p, k in zip(padded, self.kernel, strict=True))
        return high, wide

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return (self.outputs, 1 if self.depthwise else self.inputs, *self.kernel)

    @property
    def fan_in(self) -> int:
        """Products of one output."""
        return self.weight_shape[1] * self.kernel[0] * self.kernel[1]

    @property
    def macs(self) -> int:
        return self.out_size[0] * self.out_size[1] * self.outputs * self.fan_in

    @property
    def moved_bytes(self) -> int:
        """int8 x read (twice where it is added), weights read, y written."""
        x = self.size[0] * self.size[1] * self.inputs
        y = self.out_size[0] * self.out_size[1] * self.outputs
        return x + self.outputs * self.fan_in + y + (x if self.residual else 0)

    @property
    def feeds_next(self) -> bool:
        """Whether layers of its kind are measured as a chain: shape and spread of the values stay."""
        return self.inputs == self.outputs and self.size == self.out_size and not self.residual


def _resnet(inputs: int, outputs: int, size: int, stride: int = 1, kernel: int = 3) -> Layer:
    pads = (kernel // 2,) * 4
    return Layer("resnet20", inputs, outputs, (size, size), (kernel, kernel), stride, pads)


def _mobilenet(outputs: int, size: int, stride: int, *, inputs: int = 0) -> Layer:
    """Depthwise 3x3, or pointwise where the number of inputs is given."""
    if inputs:
        pads = (0, 0, 0, 0)
        return Layer("mobilenetv1-025", inputs, outputs, (size, size), (1, 1), 1, pads)
    # Frameworks that pad to ceil(size / stride) put the odd row and column at the end.
    pads = (1, 1, 1, 1) if stride == 1 else (0, 0, 1, 1)
    return Layer("mobilenetv1-025", outputs, outputs, (size, size), (3, 3), stride, pads, True)


LAYERS: tuple[Layer, ...] = (
    _resnet(3, 16, 32),
    _resnet(16, 16, 32),
    _resnet(16, 32, 32, stride=2),
    _resnet(16, 32, 32, stride=2, kernel=1),
    _resnet(32, 32, 16),
    _resnet(32, 64, 16, stride=2),
    _resnet(32, 64, 16, stride=2, kernel=1),
    _resnet(64, 64, 8),
    replace(_resnet(16, 16, 32), residual=True),
    replace(_resnet(32, 32, 16), residual=True),
    replace(_resnet(64, 64, 8), residual=True),
    Layer("mobilenetv1-025", 3, 8, (96, 96), stride=2, pads=(0, 0, 1, 1)),
    _mobilenet(8, 48, 1),
    _mobilenet(16, 48, 1, inputs=8),
    _mobilenet(16, 48, 2),
    _mobilenet(32, 24, 1, inputs=16),
    _mobilenet(32, 24, 1),
    _mobilenet(32, 24, 1, inputs=32),
    _mobilenet(32, 24, 2),
    _mobilenet(64, 12, 1, inputs=32),
    _mobilenet(64, 12, 1),
    _mobilenet(64, 12, 1, inputs=64),
    _mobilenet(64, 12, 2),
    _mobilenet(128, 6, 1, inputs=64),
    _mobilenet(128, 6, 1),
    _mobilenet(128, 6, 1, inputs=128),
    _mobilenet(128, 6, 2),
    _mobilenet(256, 3, 1, inputs=128),
    _mobilenet(256, 3, 1),
    _mobilenet(256, 3, 1, inputs=256),
    Layer("dscnn", 1, 64, (49, 10), (10, 4), 2, (4, 1, 5, 1)),
    Layer("dscnn", 64, 64, (25, 5), depthwise=True),
    Layer("dscnn", 64, 64, (25, 5), (1, 1), pads=(0, 0, 0, 0)),
)
