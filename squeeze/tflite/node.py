"""One operator of an ONNX file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Node:
    """One operator. inputs: "" where an optional one is left out. domain: of an operator that is not ONNX's own."""

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]  # Any: of each attribute's type
    origin: str = ""

    def input(self, i: int) -> str:
        return self.inputs[i] if i < len(self.inputs) else ""

    def ints(self, name: str, default: Iterable[int]) -> list[int]:
        return [int(value) for value in self.attributes.get(name, default)]
