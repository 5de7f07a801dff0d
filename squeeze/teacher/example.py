"""What a model takes, found from what it declares and the data's first samples: layout, batch, sizes; or generated.

The batch of an input is the axis that is named like one, wherever it is; else the first axis, or another one that may
vary, if the data fits the others; else there is none, and a run takes one sample. Samples that have the model's full
rank with a size of 1 at the batch's place lose that axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.interface import TensorSpec
from squeeze.runtimes.signature import Input, generate
from squeeze.teacher.arrange import batch_axes, matched, others

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from squeeze.end import End
    from squeeze.feed import Feed

COUNT = 3
_MOST_ELEMENTS = 1 << 28


class MisfitError(ConfigError):
    """Samples of a shape or type that an input does not take."""


@dataclass(frozen=True)
class Fitted:
    """An input as the data fits it. spec.batch_size: what the model fixes it to. samples: [COUNT, *spec.shape]."""

    spec: TensorSpec
    samples: NDArray[np.generic]

    def part(self, start: int, count: int) -> NDArray[np.generic]:
        """`count` samples from `start` on as the model's own tensor; without a batch the first of them alone."""
        taken = self.samples[start : start + count]
        return self.spec.as_model(taken if self.spec.batch_axis is not None else taken[:1])


def fit_inputs(declared: Sequence[End], example: Feed | None, where: str) -> tuple[Fitted, ...]:
    """Every input with `COUNT` samples of `example` (generated where None).

    Raises MisfitError naming both sides when the example cannot be meant for an input; ConfigError when sizes of one
    name differ, and when there is no example but a size that only one could tell; UnsupportedError for batches that
    contradict.
    """
    samples = _by_name(declared, example, where)
    fitted = tuple(_fit(d, samples.get(d.name), where) for d in declared)
    _check_sizes(fitted, where)
    _check_vectors(fitted, where)
    return _with_one_batch(fitted, where)


def _by_name(
    declared: Sequence[End], example: Feed | None, where: str
) -> dict[str, NDArray[np.generic]]:
    if example is None:
        return {}
    if len(declared) == len(example) == 1:
        return {declared[0].name: next(iter(example.values()))}
    wanted = [d.name for d in declared]
    if set(wanted) != set(example):
        has = ", ".join(n or "one array without a name" for n in example)
        missing = ", ".join(n for n in wanted if n not in example) or "none"
        raise ConfigError(
            f"{where}: the model takes {len(wanted)} inputs ({', '.join(wanted)}), the data has {has}; "
            f"missing: {missing}. Give one array for each input, by its name"
        )
    return dict(example)


def _fit(declared: End, example: NDArray[np.generic] | None, where: str) -> Fitted:
    wants = _wants(declared)
    if example is None:
        return _generated(declared, f"{where}: the input {wants}")
    has = described(example)
    if len(example) == 0:
        raise ConfigError(f"{where}: got no example inputs; one or more are needed")
    found = matched(declared, example)
    if found is None:
        raise MisfitError(
            f"{where}: the teacher takes {wants}, the data gives {has}; store the samples along the first axis, each "
            "of the model's shape (layout under [preprocess] in a TOML says another order of its axes, resize there "
            "another height and width of images)"
        )
    axis, samples = found
    dtype = np.dtype(declared.dtype)
    if not _convertible(samples, dtype):
        raise MisfitError(
            f"{where}: the teacher takes {wants}, the data gives {has}; give data of that type"
        )
    repeated = np.resize(samples.astype(dtype), (COUNT, *samples.shape[1:]))
    return Fitted(_spec(declared, axis, samples.shape[1:]), np.ascontiguousarray(repeated))


def _spec(declared: End, axis: int | None, shape: tuple[int, ...]) -> TensorSpec:
    """An input of which not even the number of axes is said takes any sizes."""
    sizes = declared.sizes
    if sizes is None:
        sizes = ("",) * (len(shape) + (axis is not None))
    batch = sizes[axis] if axis is not None else None
    free = tuple((i, d) for i, d in enumerate(others(sizes, axis)) if isinstance(d, str))
    fixed = batch if isinstance(batch, int) else None
    return TensorSpec(declared.name, declared.dtype, tuple(shape), axis, fixed, free)


def _convertible(x: NDArray[np.generic], dtype: np.dtype[np.generic]) -> bool:
    """Whether `x` in the other type means the same numbers."""
    if x.dtype.kind not in "fiub":
        return False
    if dtype.kind == "f":
        return True
    if dtype.kind == "b":
        return x.dtype.kind != "f" and bool(np.isin(x, (0, 1)).all())
    limits = np.iinfo(dtype.name)
    whole = x.dtype.kind != "f" or bool(np.all(np.mod(x, 1) == 0))
    return whole and bool(limits.min <= x.min(initial=0) and x.max(initial=0) <= limits.max)


def _generated(declared: End, where: str) -> Fitted:
    """Seeded samples of the declared sizes, of which none may vary but the batch."""
    sizes = declared.sizes
    axis = batch_axes(declared)[0] if sizes is not None else None
    wanted = others(sizes, axis) if sizes is not None else ("",)
    shape = [d for d in wanted if isinstance(d, int)]
    if len(shape) < len(wanted):
        raise ConfigError(f"{where} has sizes that may vary; data is needed to know them (--calib)")
    if math.prod(shape) > _MOST_ELEMENTS:
        raise ConfigError(f"{where} is larger than any that squeeze compiles for")
    samples = generate(Input(declared.name, np.dtype(declared.dtype), (COUNT, *shape)))
    return Fitted(_spec(declared, axis, tuple(shape)), samples)


def _check_sizes(fitted: tuple[Fitted, ...], where: str) -> None:
    """Sizes that the model calls by one name are equal in all of its inputs."""
    known: dict[str, tuple[str, int]] = {}
    for one in fitted:
        for axis, name in one.spec.free:
            found = one.spec.shape[axis]
            other, size = known.setdefault(name, (one.spec.name, found))
            # What stands for two sizes of one tensor ("?") is no name.
            if name and size != found and other != one.spec.name:
                raise ConfigError(
                    f"{where}: size '{name}' is {size} in the data of '{other}' and {found} in that of "
                    f"'{one.spec.name}'; they must be equal"
                )


def _check_vectors(fitted: tuple[Fitted, ...], where: str) -> None:
    """An input of one axis that the model fixes is a vector of that many numbers, not that many samples of one; unless
    another input has a batch of as many."""
    sizes = {f.spec.batch_size for f in fitted if f.spec.shape}
    for one in fitted:
        spec = one.spec
        if spec.shape or spec.batch_axis is None or spec.batch_size in (None, 1, *sizes):
            continue
        count = spec.batch_size
        raise ConfigError(
            f"{where}: the model takes '{spec.name}' {spec.dtype} [{count}], which has no batch: a sample is {count} "
            f"numbers, and the data gives one a sample; store samples as [n, {count}], also if there is one alone"
        )


def _with_one_batch(fitted: tuple[Fitted, ...], where: str) -> tuple[Fitted, ...]:
    """A batch that is fixed to 1 beside one that may vary is no batch: the same tensor serves all samples."""
    batched = [f.spec for f in fitted if f.spec.batch_axis is not None]
    sizes = {spec.batch_size for spec in batched}
    if sizes >= {None, 1}:
        fitted = tuple(_unbatched(f) if f.spec.batch_size == 1 else f for f in fitted)
        sizes -= {1}
    alone = sizes - {1, None} and len(batched) < len(fitted)
    if len(sizes) > 1 or alone:
        told = ", ".join(
            f"'{f.spec.name}' has {'no batch' if f.spec.batch_axis is None else f.spec.batch_size or 'any batch'}"
            for f in fitted
        )
        raise UnsupportedError(
            f"{where}: the batches of its inputs contradict each other ({told}); export it with one that may vary"
        )
    return fitted


def _unbatched(one: Fitted) -> Fitted:
    axis = one.spec.batch_axis or 0
    shape = (*one.spec.shape[:axis], 1, *one.spec.shape[axis:])
    free = tuple((i + (i >= axis), name) for i, name in one.spec.free)
    spec = replace(one.spec, shape=shape, batch_axis=None, batch_size=None, free=free)
    return Fitted(spec, np.expand_dims(one.samples, 1 + axis))


def described(x: NDArray[np.generic]) -> str:
    """The type and the sizes of samples, for a message."""
    return f"{x.dtype} [{', '.join(['n', *map(str, x.shape[1:])])}]"


def _wants(declared: End) -> str:
    """The input in words, its likeliest batch as n."""
    if declared.sizes is None:
        return str(declared)
    axis = batch_axes(declared)[0]
    sizes = [str(d or "?") for d in declared.sizes]
    if axis is not None:
        sizes[axis] = "n"
    return f"'{declared.name}' {declared.dtype} [{', '.join(sizes)}]"
