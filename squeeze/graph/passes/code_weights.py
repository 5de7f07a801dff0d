"""Gives planned int8 layers whose weights use few values the codebook form: 2, 3 or 4 bits each, with equal results.

    QConv -> QCodebookConv       QConvAdd -> QCodebookConvAdd       QGemm -> QCodebookGemm
    QConvLookup, QGemmLookup     the coded layer, then Clip of its integers, or the function in operators of ONNX
    QGemmAdd                     QCodebookGemm, then QAdd
    QGemmReal                    QCodebookGemmReal

Only bytes count here: a layer is coded when its file gets smaller by that, the ONNX body of the op included.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from squeeze import ops
from squeeze.graph.codes import Codes, cheapest
from squeeze.graph.compact import function_bytes
from squeeze.graph.layout import Planned, Unit
from squeeze.graph.lookups import apart
from squeeze.ops.body import Body
from squeeze.ops.codebook import WEIGHT_INPUTS, decoded_weights

Array = NDArray[Any]  # Any: constants of several element types
Inputs = Mapping[str, ir.Value | Array]

FAMILY = "codebooks"
# In a compact file: what a coded node has beside the inputs of the plain one, and what each node behind it takes.
NODE_BYTES = 90
TAIL_BYTES = 50

_WEIGHTS = {"QConv": "w", "QGemm": "b"}


@dataclass(frozen=True)
class Coded:
    """`nodes`, the coded layer and what follows it, in place of one planned node; `saved_bytes` without the body."""

    nodes: Unit
    saved_bytes: int


def coded(unit: Unit) -> Coded | None:
    """The coded form of a planned layer and what is behind it; None for all others and where it is not smaller."""
    plan, *behind = unit
    base = next((name for name in _WEIGHTS if plan.op_type.startswith(name)), None)
    if plan.domain != ops.DOMAIN or base is None:
        return None
    w = plan.inputs[_WEIGHTS[base]]
    assert not isinstance(w, ir.Value)  # of our own making
    codes = cheapest(w)
    if codes is None:
        return None
    tail = plan.op_type.removeprefix(base)
    op_type = base.replace("Q", "QCodebook")
    stays = op_type + tail in ops.SIGNATURES
    behind_bytes = TAIL_BYTES * (1 if plan.formula is None else len(plan.formula.steps) + 2)
    saved = w.nbytes - codes.bytes - NODE_BYTES - (0 if stays else behind_bytes)
    if saved <= 0:
        return None
    inputs = _coded_inputs(plan, base, codes)
    made = replace(
        plan,
        family=FAMILY,
        op_type=op_type + (tail if stays else ""),
        inputs=inputs,
        attributes={**code_attributes(codes), **plan.attributes},
    )
    return Coded((*((made,) if stays else _split(made)), *behind), saved)


def code_attributes(codes: Codes) -> dict[str, tuple[int, ...] | int]:
    """The attributes of a codebook op that tell how its indices are packed."""
    return {"w_shape": codes.shape, "bits": codes.bits, "bucket": codes.bucket}


def paying(found: Iterable[Coded], opset: int) -> list[Coded]:
    """Those of `found` that together save more than the bodies of their ops take."""
    groups: dict[str, list[Coded]] = defaultdict(list)
    for one in found:
        groups[one.nodes[0].op_type].append(one)
    decoder = function_bytes(_decoder(opset))
    kept: list[Coded] = []
    saved = 0
    for op_type, group in groups.items():
        body = function_bytes(ops.FUNCTIONS[op_type](ops.DOMAIN, opset)) - decoder
        total = sum(one.saved_bytes for one in group)
        if total > body:
            kept += group
            saved += total - body
    return kept if saved > decoder else []


def _coded_inputs(plan: Planned, base: str, codes: Codes) -> dict[str, ir.Value | Array]:
    weights = _WEIGHTS[base]
    found: dict[str, ir.Value | Array] = {}
    for name, value in plan.inputs.items():
        if name == weights:
            found |= {"indices": codes.indices, "codebooks": codes.codebooks}
        else:
            found["w_scale" if name == f"{weights}_scale" else name] = value
    return found


def _split(made: Planned) -> Unit:
    """`made` up to the rounded product, and the function behind it, or the sum behind a matrix product."""
    if made.formula is not None:
        return apart(made, made.op_type)
    y = made.y
    signature = ops.SIGNATURES[made.op_type].inputs
    own = {name: value for name, value in made.inputs.items() if name in signature}
    grid = [made.inputs[f"gemm_{part}"] for part in ("scale", "zero_point")]
    own |= dict(zip(("y_scale", "y_zero_point"), grid, strict=True))
    middle = ir.Value(name=f"{y.name}_product", type=y.type, shape=y.shape)
    layer = replace(made, y=middle, inputs=own, tied=())
    inputs: Inputs = {
        "a": middle,
        "a_scale": grid[0],
        "a_zero_point": grid[1],
        "b": made.inputs["residual"],
        "b_scale": made.inputs["residual_scale"],
        "b_zero_point": made.inputs["residual_zero_point"],
        **{name: made.inputs[name] for name in ("y_scale", "y_zero_point")},
    }
    total = Planned(FAMILY, "QAdd", f"{made.name}_add", made.last, y, inputs)
    return layer, total


def _decoder(opset: int) -> ir.Function:
    """The part that all bodies of codebook ops share."""
    body = Body(WEIGHT_INPUTS)
    return body.function("decoder", ops.DOMAIN, opset, decoded_weights(body))
