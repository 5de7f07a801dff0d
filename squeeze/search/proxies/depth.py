"""Baseline: how many layers follow one another. At equal parameters and work, deeper students learn more."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from squeeze.search.panel import Panel
    from squeeze.students import Student


def score(student: Student, panel: Panel) -> float:
    """Linear layers and convolutions that see neighbours; 1x1 ones (projections, expansions) do not count."""
    return float(sum(not layer.kernel or prod(layer.kernel) > 1 for layer in student.layers))
