"""FusedGemm and FusedConv: a product or a convolution with the activation behind it, and with a tensor added before it.

Left: activations that the standard does not call alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.teacher.onnx.fused.parts import Kept

if TYPE_CHECKING:
    from squeeze.teacher.onnx.fused.parts import Parts

# The activation, and its attributes in the order in which the runtime's parameters have them.
_ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "Clip": ("min", "max"),
    "HardSigmoid": ("alpha", "beta"),
    "LeakyRelu": ("alpha",),
    "Relu": (),
    "Sigmoid": (),
    "Tanh": (),
}
_OF_GEMM = ("alpha", "beta", "transA", "transB")
_OF_CONV = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")


def fused_gemm(parts: Parts) -> None:
    """Inputs: a, b, c. Its parameters are attributes of their own, activation_alpha and so on."""
    named = ("activation_alpha", "activation_beta", "activation_gamma")
    parameters = [parts.attribute(name, None) for name in named]
    _activated(parts, "Gemm", 3, _OF_GEMM, [p for p in parameters if p is not None])


def fused_conv(parts: Parts) -> None:
    """Inputs: x, w, b, and what is added."""
    _activated(parts, "Conv", 3, _OF_CONV, list(parts.attribute("activation_params", [])))


def _activated(
    parts: Parts, op_type: str, inputs: int, kept: tuple[str, ...], parameters: list[float]
) -> None:
    found = parts.attribute("activation", b"")
    activation = found.decode() if isinstance(found, bytes) else str(found)
    names = _ACTIVATIONS.get(activation, ())
    if activation not in ("", *_ACTIVATIONS) or len(names) > len(parameters):
        raise Kept(f"activation '{activation}'")
    attributes = {k: v for k in kept if (v := parts.attribute(k, None)) is not None}
    given = [parts.given(i) for i in range(inputs)]
    while given[-1] is None:
        given.pop()
    added, out = parts.given(inputs), parts.wanted(0)
    plain = added is None and not activation
    value = parts.op(op_type, *given, output=out if plain else None, **attributes)
    if added is not None:
        value = parts.op("Add", value, added, output=None if activation else out)
    if activation == "Clip":
        parts.op("Clip", value, *(parts.constant(float(p)) for p in parameters[:2]), output=out)
    elif activation:
        parts.op(activation, value, output=out, **dict(zip(names, parameters, strict=False)))
