"""Distillation: the teacher labels views of the data once, a student learns from the labels."""

from squeeze.distill.labels import cache_labels
from squeeze.distill.loop import DistillResult, distill

__all__ = ["DistillResult", "cache_labels", "distill"]
