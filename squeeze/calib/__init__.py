"""Calibration sets: real samples in three disjoint splits, and the way from a stored sample to the model's input.

    raw = calib.load("data.npz")                        .npz, .npy, an image folder, a bundled name, or a TOML
    data = raw.fitted(teacher.input, outputs=10)        data and model agree, or a ConfigError says where not
    for x in data.batches(data.calibrate, 64): ...      preprocessed, one batch at a time in memory

`fit` trains, `calibrate` finds activation ranges and shows progress, only the verdict sees `evaluate`.
Each step is a module: read and folder (bytes to arrays), keys (which array is what), labels (checks), split (who goes
where), fit (axes, scale and type for a model), set (the nouns), arrays (sets without files), selection (which samples
stand for all).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from squeeze import paths, spec
from squeeze.calib import folder as calib_folder
from squeeze.calib import keys as calib_keys
from squeeze.calib import labels as calib_labels
from squeeze.calib import modality as calib_modality
from squeeze.calib import read as calib_read
from squeeze.calib import split as calib_split
from squeeze.calib import toml as calib_toml
from squeeze.calib.arrays import from_arrays, sealed
from squeeze.calib.keys import Keys, Pair
from squeeze.calib.modality import Modality
from squeeze.calib.preprocess import Preprocess, arranged
from squeeze.calib.rows import Array, Raw, Rows, select, value_range
from squeeze.calib.set import Calib, Split
from squeeze.calib.toml import Declared
from squeeze.errors import ConfigError, unknown
from squeeze.workdir import digest_json

logger = logging.getLogger(__name__)

__all__ = [
    "Calib",
    "Modality",
    "Preprocess",
    "Rows",
    "Split",
    "describe",
    "from_arrays",
    "load",
    "names",
]

_FORMS = "a .npz, .npy or .toml file, a folder of images, or a bundled name"
_TYPES = {".npy", ".npz"}

Readers = dict[str, Callable[[], Raw]]


@dataclass(frozen=True)
class _Arrays:
    """Samples and labels as they were read; `where` names both for messages."""

    x: Raw
    y: Array | None
    where: str


def load(source: str, *, seed: int = 0, metric: str | None = None) -> Calib:
    """Reads a calibration set, checks it, and splits it by `seed`.

    source: .npz, .npy (no labels), an image folder, a bundled name, or a TOML (docs/calibration.md). A bare name is a
    bundled set before it is a folder; ./name is the folder. metric: goes before the TOML's.

    Raises ConfigError for anything wrong with files, keys, values or labels, and for too few samples.
    """
    declared, files = _located(source)
    metric = metric or declared.metric
    if metric is not None:
        calib_labels.check_metric(metric, source)
    found = _readers(files)
    keys = calib_keys.choose(found, declared.arrays.given(), source)
    arrays = _read(found, keys, source)
    try:
        arranged(arrays["fit"].x.shape[1:], declared.preprocess.layout)
    except ConfigError as e:
        raise ConfigError(f"{source}: {e}") from e

    known = calib_labels.read(
        [(a.y, len(a.x), f"{a.where}: labels") for a in arrays.values()], metric
    )
    labels = dict(zip(arrays, known.labels, strict=True))
    splits = _split(arrays, labels, declared, seed)
    assumed = known.assumed
    if keys.ignored:
        assumed = (*assumed, f"these arrays are not wanted: {', '.join(keys.ignored)}")
    for text in assumed:
        logger.warning("%s: assumed %s", source, text)
    return Calib(
        name=declared.name,
        source=source,
        digest=digest_json([s.digest for s in splits]),
        fit=splits[0],
        calibrate=splits[1],
        evaluate=splits[2],
        preprocess=declared.preprocess,
        modality=declared.modality or calib_modality.infer(splits[0].x),
        metric=known.metric,
        classes=known.classes,
        assumed=assumed,
    )


def names() -> list[str]:
    """The bundled sets."""
    return spec.names("calib")


def describe(calib: Calib) -> dict[str, Any]:  # Any: JSON
    """What was read, as JSON: samples by split and class, shape, type and range of values, digests, preprocessing."""
    splits = {"fit": calib.fit, "calibrate": calib.calibrate, "evaluate": calib.evaluate}
    low, high = value_range([s.x for s in splits.values()])
    x = calib.fit.x
    return {
        "name": calib.name,
        "source": calib.source,
        "digest": calib.digest,
        "modality": calib.modality,
        "metric": calib.metric,
        "classes": calib.classes,
        "samples": {"shape": list(x.shape[1:]), "dtype": str(x.dtype), "min": low, "max": high},
        "preprocess": calib.preprocess.model_dump(mode="json"),
        "assumed": list(calib.assumed),
        "splits": {name: _describe_split(split) for name, split in splits.items()},
    }


def _describe_split(split: Split) -> dict[str, Any]:  # Any: JSON
    found: dict[str, Any] = {"samples": len(split), "digest": split.digest}
    if split.y is None:
        found["labels"] = None
    elif split.y.dtype.kind == "i":
        classes, counts = np.unique(split.y, return_counts=True)
        found["classes"] = {str(c): int(n) for c, n in zip(classes, counts, strict=True)}
    else:
        found["labels"] = {"shape": list(split.y.shape[1:]), "dtype": str(split.y.dtype)}
    return found


def _located(source: str) -> tuple[Declared, list[Path]]:
    path = Path(source)
    if source in names():
        path = paths.shipped("calib") / f"{source}.toml"
    if path.suffix == ".toml":
        return calib_toml.load(path)
    if path.is_dir() or path.suffix in _TYPES:
        return Declared(schema=1, name=path.resolve().stem, data=(source,)), [path]
    if path.suffix or path.parent != Path():
        got = f"cannot read '{path.suffix}' files" if path.exists() else "no such file or folder"
        raise ConfigError(f"calibration set {source}: {got}; allowed: {_FORMS}")
    raise ConfigError(f"{unknown('calibration set', source, names())}; or {_FORMS}")


def _readers(files: list[Path]) -> Readers:
    found: Readers = {}
    for path in files:
        here: Readers = calib_folder.members(path) if path.is_dir() else calib_read.members(path)
        if both := sorted(found.keys() & here.keys()):
            raise ConfigError(f"{path}: array '{both[0]}' is in another file of this set too")
        found |= here
    return found


def _read(found: Readers, keys: Keys, source: str) -> dict[str, _Arrays]:
    """The arrays of each split that has its own, `fit` first; all samples alike in shape and type."""
    pairs = {"fit": keys.fit, "calibrate": keys.calibrate, "evaluate": keys.evaluate}
    arrays = {name: _one(found, pair, source) for name, pair in pairs.items() if pair}
    first = arrays["fit"]
    for other in arrays.values():
        if (other.x.shape[1:], other.x.dtype) != (first.x.shape[1:], first.x.dtype):
            raise ConfigError(
                f"{other.where}: samples {other.x.dtype} {list(other.x.shape[1:])}, but {first.where} has "
                f"{first.x.dtype} {list(first.x.shape[1:])}; all splits must be alike"
            )
    return arrays


def _one(found: Readers, pair: Pair, source: str) -> _Arrays:
    where = f"{source}: array '{pair.x}'"
    x = found[pair.x]()
    calib_labels.check_values(x, where)
    y = None if pair.y is None else np.asarray(found[pair.y]())
    return _Arrays(x, y, where if pair.y is None else f"{where} and '{pair.y}'")


def _split(
    arrays: dict[str, _Arrays], labels: dict[str, Array | None], declared: Declared, seed: int
) -> tuple[Split, Split, Split]:
    """fit, calibrate, evaluate: from their own arrays, and the rest from shares of `fit`."""
    whole, shares = arrays["fit"], declared.splits
    parts = calib_split.split(
        len(whole.x),
        labels["fit"],
        evaluate=0.0 if "evaluate" in arrays else shares.evaluate,
        calibrate=0.0 if "calibrate" in arrays else shares.calibrate,
        seed=seed,
        where=whole.where,
    )
    drawn = {"fit": parts.fit, "calibrate": parts.calibrate, "evaluate": parts.evaluate}
    fit, calibrate, evaluate = (
        sealed(arrays[name].x, labels[name])
        if name != "fit" and name in arrays
        else sealed(select(whole.x, index), None if labels["fit"] is None else labels["fit"][index])
        for name, index in drawn.items()
    )
    return fit, calibrate, evaluate
