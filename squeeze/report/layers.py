"""The layers of the shipped model: operator, shape, time, share of the latency, bits and bytes of the weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from squeeze.report import words

Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Layer:
    """A line of the table; `width` is the bar's, in percent of the slowest layer's."""

    name: str
    op: str
    shape: str
    time: str
    share: str
    width: float
    macs: str
    bits: str
    bytes: str


def table(layers: list[Json] | None) -> list[Layer]:
    """The layers in the order they run."""
    found = layers or []
    top = max((layer.get("share") or 0 for layer in found), default=0) or 1
    return [
        Layer(
            name=str(layer.get("name", "")),
            op=str(layer.get("op", "")),
            shape=_shape(layer.get("shape")),
            time=f"{layer['us']:.3g} µs" if layer.get("us") is not None else words.MISSING,
            share=words.share(layer.get("share")),
            width=100 * (layer.get("share") or 0) / top,
            macs=words.count(layer.get("macs")),
            bits=words.plain(layer.get("bits")),
            bytes=words.byte_size(layer.get("bytes")),
        )
        for layer in found
    ]


def are_named(layers: list[Json] | None) -> bool:
    """Whether a name says more than the operator and a number, as of files that have no names."""
    return any(
        not str(one.get("name", "")).removeprefix(f"{one.get('op', '')}_").isdigit()
        for one in layers or []
    )


def are_timed(manifest: Json) -> bool:
    """Whether the times of the layers are those of what was measured: they are ONNX Runtime's, of this machine."""
    student = (manifest.get("measurements") or {}).get("student") or {}
    said = student.get("source", "measured"), student.get("runtime", "onnxruntime")
    return said == ("measured", "onnxruntime")


def _shape(shape: object) -> str:
    return (
        words.TIMES.join(map(str, shape)) if isinstance(shape, (list, tuple)) else str(shape or "")
    )
