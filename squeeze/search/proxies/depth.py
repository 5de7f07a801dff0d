"""Baseline: how many layers follow one another. At equal parameters and work, deeper students learn more."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from squeeze.search.panel import Panel
    from squeeze.students import Student


def score(student: Student, panel: Panel) -> float:
    """Linear layers, convolutions that see neighbours, attention; 1x1 ones (projections, expansions) do not count."""
    return float(sum(layer.mixes for layer in student.layers))
