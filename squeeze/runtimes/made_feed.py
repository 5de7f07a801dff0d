"""A sample for a model that nobody gave one: its inputs as ONNX Runtime states them, filled with seeded values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze.runtimes.ort import session
from squeeze.runtimes.shapes import shapes_of
from squeeze.runtimes.signature import generate, signature

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def made_feed(model: Path) -> dict[str, NDArray[Any]]:  # Any: of any element type
    """The tensors of one run by input name, batch 1. Raises MeasureError for what ONNX Runtime cannot open, and
    UnsupportedError for inputs other than tensors of numbers."""
    shapes, _ = one_run_shapes(model)
    opened = session(model)
    return {needs.name: generate(needs, shapes[needs.name]) for needs in signature(opened)}


def one_run_shapes(model: Path) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
    """The shape of each input in a run of one sample, and in words what was assumed of sizes that may vary."""
    opened = session(model)
    return shapes_of(signature(opened), {}, opened.get_modelmeta().custom_metadata_map)
