"""GELU in the runtime's forms: exact, by tanh, with a bias, and the sigmoid that stands for it.

Cases: Gelu, BiasGelu: x * (1 + erf(x / sqrt 2)) / 2 of x, or of x + bias; FastGelu: the same by tanh;
       QuickGelu: x * sigmoid(alpha * x).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from squeeze.teacher.onnx.fused.parts import Parts

_ALPHA = 1.702


def gelu(parts: Parts) -> None:
    """Inputs: x, and for some a bias."""
    x = parts.plus(str(parts.given(0)), parts.given(1))
    by = "tanh" if parts.node.op_type == "FastGelu" else "none"
    parts.op("Gelu", x, output=parts.wanted(0), approximate=by)


def quick_gelu(parts: Parts) -> None:
    """Input: x."""
    x = str(parts.given(0))
    scaled = parts.op("Mul", x, parts.constant(float(parts.attribute("alpha", _ALPHA))))
    parts.op("Mul", x, parts.op("Sigmoid", scaled), output=parts.wanted(0))
