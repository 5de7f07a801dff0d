"""What is scored: the table of metrics, the user's own, and the drop between two models."""

from __future__ import annotations

from squeeze.metrics.table import METRICS, Metric, default_metric, describe, drop, resolve, score

__all__ = [
    "METRICS",
    "Metric",
    "default_metric",
    "describe",
    "drop",
    "resolve",
    "score",
]
