"""What ONNX activations compute, in torch: as `functions.py`, each of one value and in its shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Attributes = dict[str, Any]  # Any: numbers, lists of numbers and words, as JSON has them
Function = Callable[[Attributes, list[Tensor]], Any]  # Any: a tensor, or several of Split

_SELU_ALPHA, _SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875


def _prelu(a: Attributes, x: list[Tensor]) -> Tensor:
    """The slope is one number, one per channel [c, 1, ...], or whatever broadcasts."""
    value, slope = x
    dims = value.ndim
    if slope.numel() == 1 or (
        dims > 1 and tuple(slope.shape) == (value.shape[1], *[1] * (dims - 2))
    ):
        return functional.prelu(value, slope.reshape(-1))  # one pass
    return torch.where(value < 0, value * slope, value)


def _selu(a: Attributes, x: list[Tensor]) -> Tensor:
    alpha, gamma = a.get("alpha", _SELU_ALPHA), a.get("gamma", _SELU_GAMMA)
    return functional.elu(x[0], alpha) * float(gamma)


def _thresholded(a: Attributes, x: list[Tensor]) -> Tensor:
    return torch.where(x[0] > a.get("alpha", 1.0), x[0], 0.0)


ACTIVATIONS: dict[str, Function] = {
    "Celu": lambda a, x: functional.celu(x[0], a.get("alpha", 1.0)),
    "Elu": lambda a, x: functional.elu(x[0], a.get("alpha", 1.0)),
    "Erf": lambda a, x: torch.erf(x[0]),
    "Gelu": lambda a, x: functional.gelu(x[0], approximate=a.get("approximate", "none")),
    "HardSigmoid": lambda a, x: (x[0] * a.get("alpha", 0.2) + a.get("beta", 0.5)).clamp(0, 1),
    "HardSwish": lambda a, x: functional.hardswish(x[0]),
    "LeakyRelu": lambda a, x: functional.leaky_relu(x[0], a.get("alpha", 0.01)),
    "LogSoftmax": lambda a, x: functional.log_softmax(x[0], a.get("axis", -1)),
    "Mish": lambda a, x: functional.mish(x[0]),
    "PRelu": _prelu,
    "Relu": lambda a, x: functional.relu(x[0]),
    "Selu": _selu,
    "Sigmoid": lambda a, x: torch.sigmoid(x[0]),
    "Softmax": lambda a, x: functional.softmax(x[0], a.get("axis", -1)),
    "Softplus": lambda a, x: functional.softplus(x[0]),
    "Softsign": lambda a, x: functional.softsign(x[0]),
    "Tanh": lambda a, x: torch.tanh(x[0]),
    "ThresholdedRelu": _thresholded,
}
