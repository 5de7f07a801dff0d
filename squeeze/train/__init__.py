"""Training: the one loop, what it learns towards, its checkpoints; `quantised/` for weights of few bits."""

from squeeze.train.loop import DistillResult, distill

__all__ = ["DistillResult", "distill"]
