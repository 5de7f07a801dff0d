"""What was read from a calibration set, as JSON for `squeeze calib`."""

from __future__ import annotations

from typing import Any

import numpy as np

from squeeze.calib.label_rows import form_of
from squeeze.calib.rows import Array, value_range
from squeeze.calib.set import Calib, Split


def describe(calib: Calib) -> dict[str, Any]:  # Any: JSON
    """What was read, as JSON: samples by split and class, shape, type and range of values, digests, preprocessing.

    With several inputs samples and preprocessing stand under `inputs`, by name.
    """
    inputs = {name: _describe_input(calib, name) for name in calib.preprocesses}
    return {
        "name": calib.name,
        "source": calib.source,
        "digest": calib.digest,
        "modality": calib.modality,
        "metric": calib.metric or "agreement",
        "classes": calib.classes,
        **({"class_names": list(calib.class_names)} if calib.class_names else {}),
        **(next(iter(inputs.values())) if len(inputs) == 1 else {"inputs": inputs}),
        **({} if calib.steps is None else {"steps": calib.steps}),
        **({} if calib.text is None else {"text": calib.text.to_json()}),
        "assumed": list(calib.assumed),
        "splits": {name: _describe_split(split) for name, split in calib.splits.items()},
    }


def _describe_input(calib: Calib, name: str) -> dict[str, Any]:  # Any: JSON
    arrays = [split.arrays[name] for split in calib.splits.values()]
    low, high = value_range(arrays)
    x = arrays[0]
    return {
        "samples": {"shape": list(x.shape[1:]), "dtype": str(x.dtype), "min": low, "max": high},
        "preprocess": calib.preprocesses[name].model_dump(mode="json"),
    }


def _describe_split(split: Split) -> dict[str, Any]:  # Any: JSON
    found: dict[str, Any] = {"samples": len(split), "digest": split.digest}
    if split.y is None:
        found["labels"] = None
    elif split.y.dtype.kind == "i" and split.y.ndim == 1:
        found["classes"] = _counts(split.y)
    else:
        found["labels"] = {"shape": list(split.y.shape[1:]), "dtype": str(split.y.dtype)}
        form = form_of([split.y])
        if form == "boxes":
            kinds = split.y[..., 4]
            found["boxes"] = _counts(kinds[kinds >= 0].astype(np.int64))
        elif form == "text":
            found["characters"] = int((split.y >= 0).sum())
    if split.groups is not None:
        found["groups"] = len(np.unique(split.groups))
    return found


def _counts(classes: Array) -> dict[str, int]:
    """How many there are of each class."""
    each, counts = np.unique(classes, return_counts=True)
    return {str(c): int(n) for c, n in zip(each, counts, strict=True)}
