"""LayerNormalization and RMS normalisation as the runtime fuses them: with the residual, with a bias, under old opsets.

Cases: SkipLayerNormalization and SkipSimplifiedLayerNormalization, x = input + bias + skip, normalised, and x itself;
       SimplifiedLayerNormalization, x * scale / sqrt(mean(x * x) + epsilon), over the last axis;
       LayerNormalization of opsets that do not have it, which the runtime knows under the standard name.
Left:  those whose mean or deviation is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.teacher.onnx.fused.parts import Kept

if TYPE_CHECKING:
    from squeeze.teacher.onnx.fused.parts import Parts

_EPSILON = 1e-12  # the runtime's, of those with a residual
_PLAIN_EPSILON = 1e-5


def skip_layer_normalization(parts: Parts) -> None:
    """Inputs: input, skip, gamma, beta, bias. Outputs: y, mean, deviation, x."""
    _check_unread(parts, 1, 2)
    x = _with_residual(parts, bias=4)
    epsilon = parts.attribute("epsilon", _EPSILON)
    _normalised(parts, x, parts.given(2), parts.given(3), epsilon)


def skip_simplified_layer_normalization(parts: Parts) -> None:
    """Inputs: input, skip, gamma, bias. Outputs as above."""
    _check_unread(parts, 1, 2)
    _scaled(
        parts, _with_residual(parts, bias=3), parts.given(2), parts.attribute("epsilon", _EPSILON)
    )


def simplified_layer_normalization(parts: Parts) -> None:
    """Inputs: x, scale. Outputs: y, deviation. RMSNormalization of opset 23 is the same by another name."""
    _check_unread(parts, 1)
    if parts.attribute("axis", -1) != -1:
        raise Kept("over several axes")
    epsilon = parts.attribute("epsilon", _PLAIN_EPSILON)
    _scaled(parts, str(parts.given(0)), parts.given(1), epsilon)


def layer_normalization(parts: Parts) -> None:
    """As the standard has it since opset 17."""
    _check_unread(parts, 1, 2)
    axis, epsilon = parts.attribute("axis", -1), parts.attribute("epsilon", _PLAIN_EPSILON)
    names = (parts.given(i) for i in range(3))
    parts.op("LayerNormalization", *names, output=parts.wanted(0), axis=axis, epsilon=epsilon)


def _check_unread(parts: Parts, *statistics: int) -> None:
    if any(parts.wanted(index) for index in statistics):
        raise Kept("its mean or deviation is read")


def _with_residual(parts: Parts, bias: int) -> str:
    """The bias first: it is that of the product before it."""
    x = parts.plus(str(parts.given(0)), parts.given(bias))
    return parts.op("Add", x, parts.given(1), output=parts.wanted(3))


def _normalised(parts: Parts, x: str, scale: str | None, bias: str | None, epsilon: float) -> None:
    names = (x, scale) if bias is None else (x, scale, bias)
    parts.op("LayerNormalization", *names, output=parts.wanted(0), axis=-1, epsilon=epsilon)


def _scaled(parts: Parts, x: str, scale: str | None, epsilon: float) -> None:
    squares = parts.op("ReduceMean", parts.op("Mul", x, x), parts.constant([-1]), keepdims=1)
    deviation = parts.op("Sqrt", parts.op("Add", squares, parts.constant(epsilon)))
    parts.op("Mul", parts.op("Div", x, deviation), scale, output=parts.wanted(0))
