"""What a model takes and gives, in words that NumPy, torch and onnxruntime share; imports none of the heavy ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class TensorSpec:
    """A model's input or output: `shape` is without the batch, `dtype` a NumPy name ("float32", "int64")."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} [n{''.join(f', {d}' for d in self.shape)}]"

    def to_json(self) -> dict[str, Any]:  # Any: a name, a dtype and a list of sizes
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TensorSpec:  # Any: what to_json gave
        return cls(str(data["name"]), str(data["dtype"]), tuple(int(d) for d in data["shape"]))


@dataclass(frozen=True)
class Outputs(Generic[T]):
    """What a teacher or a student says about a batch; `T` is np.ndarray or torch.Tensor.

    logits: [n, ...] before a final Softmax or Sigmoid. embedding: [n, d], what enters the last linear layer.
    feature_map: [n, c, h, w] (or [n, c, t]), what enters the global pooling. The last two are None
    where a model has none.
    """

    logits: T
    embedding: T | None = None
    feature_map: T | None = None
