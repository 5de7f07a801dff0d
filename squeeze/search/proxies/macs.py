"""Baseline: the multiply-accumulates of one inference. Any other proxy has to order students better than this."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from squeeze.search.panel import Panel
    from squeeze.students import Student


def score(student: Student, panel: Panel) -> float:
    """Multiply-accumulates for one sample."""
    return float(sum(layer.macs for layer in student.layers))
