"""A calibration set from arrays that are the model's inputs already: synthetic ones, or a program's own."""

from __future__ import annotations

import hashlib

import numpy as np

from squeeze.calib.modality import Modality
from squeeze.calib.preprocess import Preprocess
from squeeze.calib.rows import Array, Raw, chunks
from squeeze.calib.set import Calib, Split
from squeeze.errors import ConfigError
from squeeze.workdir import digest_json


def sealed(x: Raw, y: Array | None) -> Split:
    """A split with the digest of its samples and labels."""
    sha = hashlib.sha256(f"{x.dtype.str} {x.shape}".encode())
    for _, block in chunks(x):
        sha.update(np.ascontiguousarray(block).data)
    if y is not None:
        sha.update(f"{y.dtype.str} {y.shape}".encode())
        sha.update(np.ascontiguousarray(y).data)
    return Split(x, y, sha.hexdigest())


def from_arrays(
    name: str,
    *,
    fit: Array,
    calibrate: Array,
    evaluate: Array,
    modality: Modality,
    assumed: tuple[str, ...] = (),
) -> Calib:
    """A set without labels, judged by agreement with the teacher. Arrays: [n, ...] as the model takes them, n > 0.

    Raises ConfigError when they are empty or differ in shape or type.
    """
    splits = [sealed(x, None) for x in (fit, calibrate, evaluate)]
    kinds = {(s.x.shape[1:], str(s.x.dtype)) for s in splits}
    if len(kinds) != 1 or not all(map(len, splits)):
        got = ", ".join(f"{s.x.dtype} {list(s.x.shape)}" for s in splits)
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
        preprocess=Preprocess(layout="as-is", scale=1.0, dtype=str(fit.dtype)),
        modality=modality,
        metric="agreement",
        classes=None,
        assumed=assumed,
    )
