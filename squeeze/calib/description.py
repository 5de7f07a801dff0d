"""What was read from a calibration set, as JSON for `squeeze calib`."""

from __future__ import annotations

from typing import Any

import numpy as np

from squeeze.calib.rows import value_range
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
        **(next(iter(inputs.values())) if len(inputs) == 1 else {"inputs": inputs}),
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
    elif split.y.dtype.kind == "i":
        classes, counts = np.unique(split.y, return_counts=True)
        found["classes"] = {str(c): int(n) for c, n in zip(classes, counts, strict=True)}
    else:
        found["labels"] = {"shape": list(split.y.shape[1:]), "dtype": str(split.y.dtype)}
    return found
