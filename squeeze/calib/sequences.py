"""Samples that are sequences, [n, steps, ...]: each step becomes a sample of its own, and those of one sequence stay
together, in their order.

A model with states takes them one after the other; states begin anew with each sequence.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from squeeze.calib.rows import Array, Raw, Rows
from squeeze.errors import ConfigError


def steps_of(x: Mapping[str, Raw], where: str, fewest: int) -> int:
    """How many steps a sequence has. Raises ConfigError where arrays have no axis of steps, or not the same, and for
    less than `fewest` sequences."""
    found = {name: values.shape[1] for name, values in x.items() if values.ndim > 1}
    if len(set(found.values())) != 1:
        got = "; ".join(f"{name} {['n', *values.shape[1:]]}" for name, values in x.items())
        raise ConfigError(
            f"{where}: got {got}; allowed with steps = true: [n, steps, ...], the same steps in every array, or one "
            "number for each sequence"
        )
    samples = len(next(iter(x.values())))
    if samples < fewest:
        raise ConfigError(
            f"{where}: {samples} sequences, at least {fewest} are needed, one for each split; cut them into shorter "
            "ones"
        )
    return next(iter(found.values()))


def unrolled(x: Mapping[str, Raw], steps: int) -> dict[str, Raw]:
    """Samples of steps: [n * steps, ...]; what is one number for each sequence is that for all of its steps."""
    return {
        name: _rows(values) if values.ndim > 1 else each(values, steps)
        for name, values in x.items()
    }


def unrolled_labels(y: Array, steps: int) -> Array:
    """[n, steps, ...] are labels of the steps, all others those of the sequence, for each of its steps."""
    if y.ndim > 1 and y.shape[1] == steps:
        return y.reshape(len(y) * steps, *y.shape[2:])
    return np.repeat(y, steps, axis=0) if y.ndim else y


def each(values: Raw, steps: int) -> Array:
    """What belongs to a sequence, for each of its steps."""
    return np.repeat(np.asarray(values[:]), steps, axis=0)


def number_of(samples: int, steps: int) -> Array:
    """The sequence of each step, [samples]."""
    return np.arange(samples) // steps


def _rows(values: Raw) -> Raw:
    if isinstance(values, Rows):
        return values.unrolled()
    return values.reshape(-1, *values.shape[2:])
