"""RotaryEmbedding of the runtime, and of ONNX since opset 23: places as rotations (Su et al., "RoFormer", 2021).

    (a, b) -> (a cos - b sin, a sin + b cos)      pairs of halves of a head, or of neighbours where interleaved

Cases: [n, t, h * d] or [n, h, t, d]; the first numbers of a head alone; places [n, t], or [1], that of the first token;
       tables of the sample's own places [n, t, d / 2], in the standard.
Left:  texts packed behind each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from squeeze.teacher.onnx.fused import scores
from squeeze.teacher.onnx.fused.parts import Kept

if TYPE_CHECKING:
    from squeeze.teacher.onnx.fused.parts import Parts


@dataclass(frozen=True)
class _Inputs:
    """Where the node has its tables and its places."""

    cos: int
    sin: int
    places: int


_RUNTIME = _Inputs(cos=2, sin=3, places=1)
_STANDARD = _Inputs(cos=1, sin=2, places=3)


def asked_by_the_runtime(parts: Parts) -> list[str]:
    """x, the table of cosines, and the places."""
    return _asked(parts, _RUNTIME)


def asked_by_the_standard(parts: Parts) -> list[str]:
    """The same."""
    return _asked(parts, _STANDARD)


def of_the_runtime(parts: Parts) -> None:
    """Inputs: x, places, cosines, sines. Output: y."""
    if parts.attribute("is_packed_batching", 0):
        raise Kept("texts packed behind each other")
    _rotary(parts, _RUNTIME)


def of_the_standard(parts: Parts) -> None:
    """Inputs: x, cosines, sines, places. Output: y."""
    _rotary(parts, _STANDARD)


def _asked(parts: Parts, inputs: _Inputs) -> list[str]:
    return [name for i in (0, inputs.cos, inputs.places) if (name := parts.given(i))]


def _rotary(parts: Parts, inputs: _Inputs) -> None:
    x, shape, turned = str(parts.given(0)), parts.shape(0), 2 * parts.shape(inputs.cos)[-1]
    flat = len(shape) == 3
    if flat:
        heads = int(parts.attribute("num_heads", 0)) or shape[2] // turned
        size = shape[2] // heads
        x = parts.op("Reshape", x, parts.constant([0, 0, heads, size]))
    else:
        size = shape[3]
    cos, sin = (_rows(parts, inputs, index, flat=flat) for index in (inputs.cos, inputs.sin))
    neighbours = bool(parts.attribute("interleaved", 0))
    a, b = _pairs(parts, x, turned, neighbours=neighbours)
    ends = [
        parts.op("Sub", parts.op("Mul", a, cos), parts.op("Mul", b, sin)),
        parts.op("Add", parts.op("Mul", a, sin), parts.op("Mul", b, cos)),
    ]
    if neighbours:
        apart = [parts.op("Unsqueeze", end, parts.constant([4])) for end in ends]
        beside = parts.op("Concat", *apart, axis=4)
        ends = [parts.op("Reshape", beside, parts.constant([0, 0, 0, turned]))]
    if turned < size:
        ends.append(_cut(parts, x, turned, size))
    out = parts.wanted(0)
    if not flat:
        parts.op("Concat", *ends, output=out, axis=3)
        return
    whole = parts.op("Concat", *ends, axis=3)
    parts.op("Reshape", whole, parts.constant([0, 0, shape[2]]), output=out)


def _rows(parts: Parts, inputs: _Inputs, index: int, *, flat: bool) -> str:
    """The rows of a table for each place, with an axis of 1 for the heads."""
    table, at = str(parts.given(index)), parts.given(inputs.places)
    if at is not None:
        if len(parts.shape(inputs.places)) == 1:
            tokens = scores.places(parts, str(parts.given(0)), 1 if flat else 2)
            at = parts.op("Unsqueeze", parts.op("Add", tokens, at), parts.constant([0]))
        table = parts.op("Gather", table, at)
    return parts.op("Unsqueeze", table, parts.constant([2 if flat else 1]))


def _pairs(parts: Parts, x: str, turned: int, *, neighbours: bool) -> tuple[str, str]:
    if neighbours:
        return _cut(parts, x, 0, turned, 2), _cut(parts, x, 1, turned, 2)
    return _cut(parts, x, 0, turned // 2), _cut(parts, x, turned // 2, turned)


def _cut(parts: Parts, x: str, begin: int, end: int, step: int = 1) -> str:
    """Of the last of four axes."""
    return parts.op("Slice", x, *(parts.constant([i]) for i in (begin, end, 3, step)))
