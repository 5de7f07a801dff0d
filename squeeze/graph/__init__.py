"""The ONNX graph after export: files, passes that are verified one by one, and lowering to our own ops."""

from __future__ import annotations

from squeeze.graph.choose import fastest, undone
from squeeze.graph.compact import compact
from squeeze.graph.counting import count_ops
from squeeze.graph.files import load, save, to_bytes

# Imported here and not when first used: the submodule of the same name would take the function's place.
from squeeze.graph.lower import lower
from squeeze.graph.optimiser import optimise
from squeeze.graph.sizes import with_sizes

__all__ = [
    "compact",
    "count_ops",
    "fastest",
    "load",
    "lower",
    "optimise",
    "save",
    "to_bytes",
    "undone",
    "with_sizes",
]
