"""What a model says of a batch, in words that NumPy and torch share; imports neither."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Outputs(Generic[T]):
    """`T` is np.ndarray or torch.Tensor.

    logits: [n, ...] before a final Softmax or Sigmoid. taps: name -> a value inside the model, only those that it has:
    "embedding" [n, d], what enters the last linear layer; "feature_map" [n, c, h, w] (or [n, c, t]), what enters the
    global pooling.
    """

    logits: T
    taps: Mapping[str, T] = field(default_factory=dict)
