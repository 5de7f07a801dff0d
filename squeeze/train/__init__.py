"""Training: the one loop (`loop`), what it learns towards (`lesson`), students (`student`); `quantised/` for weights of
few bits and for what pruning left."""

from squeeze.train.compute import Compute

__all__ = ["Compute"]
