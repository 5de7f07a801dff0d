"""Samples without labels beside those of a set, to train with: unlabelled text or pictures are enough for distillation.

They are stored as the set's own are. What calibrates and what judges stays what it was, and samples of it that are
among the extra ones are left away, so that nothing is judged by what it was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from squeeze.calib.rows import Array
from squeeze.calib.set import Calib, Split
from squeeze.calib.shared import digests
from squeeze.errors import ConfigError
from squeeze.workdir import digest_json

if TYPE_CHECKING:
    from squeeze.calib.text import Tokenised

_FILL = {"mask": 0, "types": 0}


def with_extra(data: Calib, others: Sequence[Calib]) -> Calib:
    """`data` with all samples of `others`, whatever splits they are in, to fit with, each once. Labels to fit with are
    not read then: the extra samples have none. Raises ConfigError where they have other arrays."""
    if not others:
        return data
    known = {d for split in data.splits.values() for d in digests(split)}
    parts: dict[str, list[Array]] = {n: [np.asarray(x[:])] for n, x in data.fit.arrays.items()}
    said: list[str] = []
    for other in others:
        arrays = {name: _stored(name, data, other) for name in data.fit.arrays}
        new = []
        for i, sample in enumerate(digests(Split(arrays, None, ""))):
            if sample not in known:
                known.add(sample)
                new.append(i)
        left = len(next(iter(arrays.values()))) - len(new)
        for name, array in arrays.items():
            parts[name].append(array[new])
        there = f", {left} were there already" if left else ""
        said.append(f"{other.source}: {len(new)} more samples to fit with{there}")
    if data.fit.y is not None:
        said.append(
            "labels of the samples to fit with are not used where extra ones, which have none, are among them"
        )
    digest = digest_json([data.fit.digest, *(other.digest for other in others)])
    joined = {name: np.concatenate(all_) for name, all_ in parts.items()}
    added = len(next(iter(joined.values()))) - len(data.fit)
    fit = Split(joined, None, digest, extra=added, own_y=data.fit.y)
    return replace(data.with_fit(fit), assumed=(*data.assumed, *said))


def own_samples(data: Calib) -> Calib:
    """`data` with its own samples alone to fit with, and their labels."""
    fit = data.fit
    if not fit.extra:
        return data
    own = fit.some(np.arange(len(fit) - fit.extra), "own")
    return data.with_fit(replace(own, y=fit.own_y, own_y=None))


def extra_samples(data: Calib) -> Calib:
    """`data` with the samples alone that were added, to fit with."""
    fit = data.fit
    added = fit.some(np.arange(len(fit) - fit.extra, len(fit)), "added")
    return data.with_fit(replace(added, extra=0, own_y=None))


def _stored(name: str, data: Calib, other: Calib) -> Array:
    """Its samples of one input, as those of `data` are stored."""
    wanted = data.fit.arrays[name]
    found = [s.arrays[name] for s in other.splits.values() if name in s.arrays]
    if not found:
        raise ConfigError(
            f"--extra {other.source}: has no samples of input '{name}', which {data.source} has"
        )
    array = np.concatenate([np.asarray(x[:]) for x in found])
    if data.text is not None and array.ndim == 2:
        array = _as_long(array, wanted.shape[1], name, data.text)
    if array.shape[1:] != wanted.shape[1:] or array.dtype != wanted.dtype:
        raise ConfigError(
            f"--extra {other.source}: samples of input '{name}' are {array.dtype} {list(array.shape[1:])}, those of "
            f"{data.source} are {wanted.dtype} {list(wanted.shape[1:])}; give them alike"
        )
    return array


def _as_long(array: Array, length: int, name: str, text: Tokenised) -> Array:
    """Texts padded to `length`; they are no longer, for they were cut there."""
    missing = length - array.shape[1]
    if missing <= 0:
        return array[:, :length]
    fill = _FILL.get(text.kinds.get(name, ""), text.pad_id)
    beside = (missing, 0) if text.pads_left else (0, missing)
    padded: Array = np.pad(array, ((0, 0), beside), constant_values=fill)
    return padded
