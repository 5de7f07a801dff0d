"""A calibration set from arrays that are the model's inputs already: synthetic ones, or a program's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from squeeze.calib.keys import ONLY
from squeeze.calib.modality import Modality
from squeeze.calib.preprocess import Preprocess
from squeeze.calib.rows import Array, Raw, chunks
from squeeze.calib.set import Calib, Split
from squeeze.errors import ConfigError
from squeeze.feed import Feed
from squeeze.metrics import split_name
from squeeze.workdir import digest_json


def sealed(arrays: Mapping[str, Raw], y: Array | None) -> Split:
    """A split with the digest of its samples and labels. The name of an only input is not in it: the model gives it."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        if len(arrays) > 1:
            sha.update(f"input {name!r} ".encode())
        _add(sha, arrays[name])
    if y is not None:
        _add(sha, y)
    return Split(dict(arrays), y, sha.hexdigest())


def _add(sha: hashlib._Hash, x: Raw) -> None:
    sha.update(f"{x.dtype.str} {x.shape}".encode())
    for _, block in chunks(x):
        sha.update(np.ascontiguousarray(block).data)


def from_arrays(
    name: str,
    *,
    fit: Array | Feed,
    calibrate: Array | Feed,
    evaluate: Array | Feed,
    modality: Modality,
    metric: str | None = None,
    assumed: tuple[str, ...] = (),
) -> Calib:
    """A set without labels, judged by agreement with the teacher. Arrays: [n, ...] as the model takes them, n > 0; for
    a model with several inputs input name -> array. metric: METRIC or METRIC@OUTPUT, None for the usual one.

    Raises ConfigError when they are empty or differ in shape or type.
    """
    wanted, output = (None, None) if metric is None else split_name(metric)
    splits = [sealed(_named(arrays), None) for arrays in (fit, calibrate, evaluate)]
    kinds = {
        tuple((n, x.shape[1:], str(x.dtype)) for n, x in sorted(s.arrays.items())) for s in splits
    }
    counts = [{len(x) for x in s.arrays.values()} for s in splits]
    if len(kinds) != 1 or not all(len(count) == 1 and min(count) > 0 for count in counts):
        got = "; ".join(
            ", ".join(f"{x.dtype} {list(x.shape)}" for x in s.arrays.values()) for s in splits
        )
        raise ConfigError(
            f"{name}: got splits {got}; allowed: alike in shape and type, and none empty"
        )
    return Calib(
        name=name,
        source=name,
        digest=digest_json([s.digest for s in splits]),
        fit=splits[0],
        calibrate=splits[1],
        evaluate=splits[2],
        preprocesses={
            n: Preprocess(layout="as-is", scale=1.0, dtype=str(x.dtype))
            for n, x in splits[0].arrays.items()
        },
        modality=modality,
        metric=wanted,
        classes=None,
        output=output,
        assumed=assumed,
    )


def _named(arrays: Array | Feed) -> Feed:
    return arrays if isinstance(arrays, Mapping) else {ONLY: arrays}
