"""FusedMatMul: a product whose operands are transposed, and scaled, while they are read.

Left: those that move the batch among the other axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.teacher.onnx.fused.parts import Kept

if TYPE_CHECKING:
    from squeeze.teacher.onnx.fused.parts import Parts


def asked(parts: Parts) -> list[str]:
    """The operands that are transposed, whose axes have to be known."""
    return [
        str(parts.given(i))
        for i, name in enumerate(("transA", "transB"))
        if parts.attribute(name, 0)
    ]


def fused_mat_mul(parts: Parts) -> None:
    """alpha * A' @ B'."""
    if parts.attribute("transBatchA", 0) or parts.attribute("transBatchB", 0):
        raise Kept("its batch moves among the other axes")
    alpha = float(parts.attribute("alpha", 1.0))
    turned = []
    for index, attribute in enumerate(("transA", "transB")):
        name = str(parts.given(index))
        if parts.attribute(attribute, 0):
            order = list(range(len(parts.shape(index))))
            order[-2:] = order[:-3:-1]
            name = parts.op("Transpose", name, perm=order)
        turned.append(name)
    if alpha == 1.0:
        parts.op("MatMul", *turned, output=parts.wanted(0))
    else:
        product = parts.op("MatMul", *turned)
        parts.op("Mul", product, parts.constant(alpha), output=parts.wanted(0))
