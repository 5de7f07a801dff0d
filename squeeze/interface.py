"""What a model takes and gives, in words that NumPy, torch and onnxruntime share; imports none of the heavy ones."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from squeeze.errors import UnsupportedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH = re.compile(r".*batch.*|b|bs|bsz|n|nb", re.IGNORECASE)
_OF_A_SAMPLE = re.compile(
    r".*(height|width|len|seq|time|frame|token|past|cache).*|h|w|l|t|s", re.IGNORECASE
)
# As exporters call a size that nobody gave a name.
_NOBODYS = re.compile(
    r"(unk_*|s|u|dim_?|.*dynamic_axes_?|DynamicDimension\.)\d+|\?|", re.IGNORECASE
)

# Of one run of what others wrote.
_MOST_NUMBERS = 1 << 28


def named_batch_axes(sizes: Sequence[int | str]) -> list[int]:
    """Axes that may vary and whose name says that they are the batch, the likeliest first."""
    named = [(i, d) for i, d in enumerate(sizes) if isinstance(d, str) and d]
    clear = [i for i, d in named if "batch" in d.lower()]
    short = [i for i, d in named if _BATCH.fullmatch(d)]
    return list(dict.fromkeys([*clear, *short]))


def is_of_a_sample(size: int | str) -> bool:
    """Whether an axis may vary and its name says that it is no batch: a length, a height, time."""
    return isinstance(size, str) and _OF_A_SAMPLE.fullmatch(size) is not None


def is_named(size: int | str) -> bool:
    """Whether an axis may vary and somebody gave it a name, which an exporter did not make up."""
    return isinstance(size, str) and _NOBODYS.fullmatch(size) is None


@dataclass(frozen=True)
class Axis:
    """One axis of a tensor as the model has it.

    batch: one entry a sample; `size` is None where any number goes. fixed: always `size`. free: the model takes other
    sizes too; `size` is the one that the data has.
    """

    kind: Literal["batch", "fixed", "free"]
    size: int | None
    name: str = ""

    def __str__(self) -> str:
        if self.kind == "batch":
            return "n" if self.size is None else f"n={self.size}"
        return str(self.size) if self.kind == "fixed" else f"{self.name or 'free'}={self.size}"


@dataclass(frozen=True)
class TensorSpec:
    """A model's input or output: `shape` is that of one sample, without the batch; `dtype` a NumPy name ("int64").

    batch_axis: where the batch is in the model's own tensor; None when there is none, so that a run takes one sample.
    batch_size: None where it may vary. free: axes of `shape` -> name, for those that may have other sizes; those of one
    name vary together. Only an output's may have none.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    batch_axis: int | None = 0
    batch_size: int | None = None
    free: tuple[tuple[int, str], ...] = ()

    @property
    def axes(self) -> tuple[Axis, ...]:
        """All axes in the model's order."""
        names = dict(self.free)
        found = [
            Axis("free", size, names[i]) if i in names else Axis("fixed", size)
            for i, size in enumerate(self.shape)
        ]
        if self.batch_axis is not None:
            found.insert(self.batch_axis, Axis("batch", self.batch_size))
        return tuple(found)

    def as_model(self, x: NDArray[np.generic]) -> NDArray[np.generic]:
        """Samples [n, *shape] as one tensor of the model; without a batch axis n must be 1."""
        if self.batch_axis is None:
            if len(x) != 1:
                raise ValueError(f"'{self.name}' takes one sample a run, got {len(x)}")
            return np.asarray(x[0])
        return np.moveaxis(x, 0, self.batch_axis)

    def as_samples(self, x: NDArray[np.generic]) -> NDArray[np.generic]:
        """A tensor of the model as samples [n, *shape]."""
        return x[None] if self.batch_axis is None else np.moveaxis(x, self.batch_axis, 0)

    @property
    def is_sound(self) -> bool:
        """As that of an Interface."""
        places, axis, size = range(len(self.shape)), self.batch_axis, self.batch_size
        return (
            np.dtype(self.dtype).kind in "biuf"
            and all(d >= 0 for d in self.shape)
            and (axis is None or (type(axis) is int and 0 <= axis <= len(self.shape)))
            and (size is None or (type(size) is int and size >= 1))
            and math.prod(self.shape) * (size or 1) <= _MOST_NUMBERS
            and all(place in places for place, _ in self.free)
        )

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} [{', '.join(map(str, self.axes))}]"

    def to_json(self) -> dict[str, Any]:  # Any: a name, a dtype and sizes
        return {
            "name": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "batch_axis": self.batch_axis,
            "batch_size": self.batch_size,
            "free": [[axis, name] for axis, name in self.free],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TensorSpec:  # Any: what to_json gave
        return cls(
            str(data["name"]),
            str(data["dtype"]),
            tuple(int(d) for d in data["shape"]),
            data.get("batch_axis", 0),
            data.get("batch_size"),
            tuple((int(axis), str(name)) for axis, name in data.get("free", ())),
        )


@dataclass(frozen=True)
class Interface:
    """The named inputs and outputs of a model, in its own order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def is_sound(self) -> bool:
        """Whether the axes and types are of tensors of numbers, which is to be asked of what others wrote. Raises
        TypeError for a type that NumPy does not know."""
        return all(spec.is_sound for spec in (*self.inputs, *self.outputs))

    @property
    def batch_size(self) -> int | None:
        """How many samples a run takes: 1 where no input has a batch, None where any number goes."""
        batched = [spec for spec in self.inputs if spec.batch_axis is not None]
        if not batched:
            return 1
        return next((spec.batch_size for spec in batched if spec.batch_size is not None), None)

    @property
    def free(self) -> dict[str, int]:
        """Sizes of the inputs that may vary: name -> what the data has."""
        return {name: s.shape[axis] for s in self.inputs for axis, name in s.free}

    @property
    def run_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each input in one run as the data has it, with the batch that the model fixes, or 1."""
        return {
            spec.name: tuple(1 if a.size is None else a.size for a in spec.axes)
            for spec in self.inputs
        }

    @property
    def only_input(self) -> TensorSpec:
        """The input of a model that has one. Raises UnsupportedError for others."""
        return self._only(self.inputs, "input")

    @property
    def only_output(self) -> TensorSpec:
        """The output of a model that has one. Raises UnsupportedError for others."""
        return self._only(self.outputs, "output")

    def output(self, name: str) -> TensorSpec:
        """The output called `name`, which there is."""
        return next(spec for spec in self.outputs if spec.name == name)

    def to_json(self) -> dict[str, Any]:  # Any: specs
        return {
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Interface:  # Any: what to_json gave
        inputs, outputs = (
            tuple(TensorSpec.from_json(spec) for spec in data[side])
            for side in ("inputs", "outputs")
        )
        return cls(inputs, outputs)

    def _only(self, specs: tuple[TensorSpec, ...], side: str) -> TensorSpec:
        if len(specs) != 1:
            names = ", ".join(spec.name for spec in specs) or "none"
            raise UnsupportedError(
                f"the model has {len(specs)} {side}s ({names}); this needs a model with one"
            )
        return specs[0]
