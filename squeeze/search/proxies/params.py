"""Baseline: the number of parameters. Any other proxy has to order students better than this."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from squeeze.search.panel import Panel
    from squeeze.students import Student


def score(student: Student, panel: Panel) -> float:
    """Weights and biases as deployed, with normalisation folded."""
    return float(sum(layer.params for layer in student.layers))
