"""Which sizes stay free: names for those that have none, and whether a changed graph computes the same for others too.

A size that the user's own graph does not take says nothing. One for which the changed graph fails, or gives something
else, is fixed to the data's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze.errors import ConfigError
from squeeze.interface import Interface
from squeeze.other_sizes import Sizes, other_sizes, resized
from squeeze.teacher.example import Fitted
from squeeze.teacher.onnx.float32 import HALF, agree, has_half
from squeeze.teacher.onnx.runtime import SAME, Values, one_run, opened, output_names, run_opened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx
    import onnxruntime as ort
    from numpy.typing import NDArray

    Array = NDArray[Any]  # Any: of any element type


@dataclass(frozen=True)
class Runs:
    """A graph that is open for runs of one sample in any sizes."""

    model: onnx.ModelProto
    inputs: Sequence[Fitted]
    where: str
    session: ort.InferenceSession | None

    @classmethod
    def of(cls, model: onnx.ModelProto, inputs: Sequence[Fitted], where: str) -> Runs:
        """Opens `model`; where the runtime cannot (in its own precision, or opset), it takes no sizes."""
        try:
            return cls(model, inputs, where, opened(model, where))
        except ConfigError:
            return cls(model, inputs, where, None)

    @property
    def interface(self) -> Interface:
        """Of the inputs alone."""
        return Interface(tuple(one.spec for one in self.inputs), ())

    def at(self, sizes: Mapping[str, int]) -> Values | None:
        """Every output with the free axes in these sizes; None where the graph does not take them."""
        if self.session is None:
            return None
        feed = {one.spec.name: one.samples for one in self.inputs}
        changed = resized(feed, self.interface, sizes)
        inputs = [Fitted(one.spec, changed[one.spec.name]) for one in self.inputs]
        names = output_names(self.model)
        try:
            return run_opened(self.session, one_run(self.model, inputs), names, self.where)
        except ConfigError:
            return None


@dataclass(frozen=True)
class Reference:
    """The user's graph, and what it gives in the data's sizes and in some others that it takes."""

    runs: Runs
    plain: Values | None
    others: tuple[tuple[Sizes, Values], ...]

    def moving(self, output: str) -> set[int]:
        """Axes of an output whose sizes follow those of inputs."""
        if self.plain is None:
            return set()
        known = self.plain[output].shape
        found = [v[output].shape for _, v in self.others if v[output].ndim == len(known)]
        return {i for i in range(len(known)) if any(shape[i] != known[i] for shape in found)}


def reference(model: onnx.ModelProto, inputs: Sequence[Fitted], where: str) -> Reference:
    """`model` as the user has it, tried on other sizes."""
    runs = Runs.of(model, inputs, where)
    found: list[tuple[Sizes, Values]] = []

    def takes(sizes: Sizes) -> bool:
        values = runs.at(sizes)
        if values is not None:
            found.append((sizes, values))
        return values is not None

    free = runs.interface.free
    plain = runs.at(free)
    if plain is not None:
        other_sizes(free, takes)
    return Reference(runs, plain, tuple(found))


def broken(model: onnx.ModelProto, interface: Interface, known: Reference) -> set[str]:
    """The names of free axes that cannot have other sizes in the changed graph `model`."""
    runs = Runs.of(model, known.runs.inputs, known.runs.where)
    free = runs.interface.free
    axes = {spec.name: spec.batch_axis for spec in interface.outputs}
    tolerance = HALF if has_half(known.runs.model) else SAME

    def same(sizes: Sizes, wanted: Values | None) -> bool:
        got = None if wanted is None else runs.at(sizes)
        return (
            wanted is not None
            and got is not None
            and all(agree(_one(wanted[n], a), _one(got[n], a), tolerance) for n, a in axes.items())
        )

    failed: set[str] = set()
    for sizes, wanted in known.others:
        if not same(sizes, wanted):
            for name in (name for name, size in sizes.items() if size != free[name]):
                alone = {**free, name: sizes[name]}
                if not same(alone, known.runs.at(alone)):
                    failed.add(name)
    return failed


def with_names(inputs: Sequence[Fitted]) -> tuple[Fitted, ...]:
    """Axes of one name vary together, so that those without a name get one, from input and place.

    A name that stands for two sizes in one tensor, such as "?", is none.
    """
    taken = {name for one in inputs for _, name in one.spec.free}
    sizes = {
        (one.spec.name, name, one.spec.shape[i]) for one in inputs for i, name in one.spec.free
    }
    counts = Counter((tensor, name) for tensor, name, _ in sizes)
    unclear = {"", *(name for (_, name), count in counts.items() if count > 1)}
    return tuple(_named(one, unclear, taken) for one in inputs)


def _named(one: Fitted, unclear: set[str], taken: set[str]) -> Fitted:
    free = []
    for index, name in one.spec.free:
        if name in unclear:
            batch = one.spec.batch_axis
            unique = f"{one.spec.name}_{index + (batch is not None and index >= batch)}"
            while unique in taken:
                unique += "_"
            taken.add(unique)
            free.append((index, unique))
        else:
            free.append((index, name))
    return Fitted(replace(one.spec, free=tuple(free)), one.samples)


def fixed(inputs: Sequence[Fitted], names: set[str]) -> tuple[Fitted, ...]:
    """The same, with the free axes of these names fixed to the data's sizes."""
    return tuple(
        Fitted(
            replace(one.spec, free=tuple(f for f in one.spec.free if f[1] not in names)),
            one.samples,
        )
        for one in inputs
    )


def _one(value: Array, axis: int | None) -> Array:
    """The first sample, for the user's batch may be fixed to several."""
    return value if axis is None else np.take(value, [0], axis=axis)
